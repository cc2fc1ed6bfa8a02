import { expect, test } from "vitest";
import { inWorkspace } from "../../src/ui/shell";

test("a command names the workspace", () => {
  expect(inWorkspace("sightline show parts", "/data/line-1")).toBe("sightline show parts --workspace /data/line-1");
  expect(inWorkspace("sightline show parts", undefined)).toBe("sightline show parts");
});

test("a folder with spaces, quotes or letters of other scripts stays one word", () => {
  expect(inWorkspace("x", "/my data")).toBe("x --workspace '/my data'");
  expect(inWorkspace("x", "/it's")).toBe(`x --workspace '/it'"'"'s'`);
  expect(inWorkspace("x", "/Prüfung")).toBe("x --workspace '/Prüfung'");
});
