import { expect, test } from "vitest";
import { appendLog, MAX_LOG } from "../../../src/pages/jobs/log";

test("what came stands at the end", () => expect(appendLog("one\n", "two\n")).toBe("one\ntwo\n"));

test("of a log that is too long whole lines go, the first ones", () => {
  const lines = "0123456789\n".repeat(MAX_LOG / 10);
  const shown = appendLog(lines, "last\n");
  expect(shown.length).toBeLessThanOrEqual(MAX_LOG);
  expect(shown.startsWith("0123456789\n")).toBe(true);
  expect(shown.endsWith("\nlast\n")).toBe(true);
});
