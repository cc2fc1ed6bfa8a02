import { expect, test } from "vitest";
import { countOf, formatBytes } from "../../src/ui/format";

test("one is singular, thousands have commas", () => {
  expect(countOf(1, "picture")).toBe("1 picture");
  expect(countOf(0, "picture")).toBe("0 pictures");
  expect(countOf(12345, "category", "categories")).toBe("12,345 categories");
});

test.each([
  [999, "999 B"],
  [1000, "1.0 kB"],
  [12_345_678, "12.3 MB"],
  [250_000_000, "250 MB"],
])("%i bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
