import { expect, test } from "vitest";
import { describeFilling } from "../../../src/pages/label/use-tracks";

const filling = (filled: number[], stale: number[] = []) => ({ first: 0, last: 9, filled, kept: 0, stale });

test("what was proposed is counted in frames, however many objects", () => {
  expect(describeFilling([filling([1, 2, 3])])).toBe("Proposed in 3 frames: look through them.");
  expect(describeFilling([filling([1, 2]), filling([2])])).toBe("Proposed in 2 frames: look through them.");
  expect(describeFilling([filling([])])).toBe("Nothing new to propose.");
});

test("frames that others edited meanwhile are told", () => {
  expect(describeFilling([filling([1], [2])])).toBe(
    "Proposed in 1 frame: look through them. 1 frame edited meanwhile stayed as they were.",
  );
});
