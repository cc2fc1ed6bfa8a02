import { expect, test } from "vitest";
import { formatAgo, formatDuration, secondsBetween } from "../../src/ui/time";

test.each([
  [-3, "0 s"],
  [12.4, "12 s"],
  [59.6, "1 min"],
  [200, "3 min 20 s"],
  [240, "4 min"],
  [1500, "25 min"],
  [7500, "2 h 05 min"],
  [7200, "2 h"],
  [356_400, "4 d 03 h"],
])("%d s is %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

const NOW = Date.parse("2026-03-10T12:00:00Z");

test.each([
  ["2026-03-10T11:59:40Z", "just now"],
  ["2026-03-10T12:00:20Z", "just now"],
  ["2026-03-10T11:58:50Z", "1 min ago"],
  ["2026-03-10T09:00:00Z", "3 h ago"],
  ["2026-03-08T12:00:00Z", "2 d ago"],
  ["2026-02-01T12:00:00Z", "2026-02-01"],
])("%s was %s", (iso, text) => expect(formatAgo(iso, NOW)).toBe(text));

test("a length of time goes from one moment to another, or to now", () => {
  expect(secondsBetween("2026-03-10T11:00:00Z", "2026-03-10T11:00:30Z")).toBe(30);
  expect(secondsBetween("2026-03-10T11:00:00Z", NOW)).toBe(3600);
});
