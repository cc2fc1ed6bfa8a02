import { expect, test } from "vitest";
import { findShift, joinRegions } from "../../src/canvas/layer";

const view = { scale: 1.5, left: 10.25, top: 20.5 };

test("a view that moved by whole pixels is a shift, whatever fraction it began with", () => {
  expect(findShift(view, { ...view, left: 13.25, top: 18.5 })).toEqual({ x: 3, y: -2 });
});

test("a part of a pixel or another scale is no shift", () => {
  expect(findShift(view, { ...view, left: 10.75 })).toBeNull();
  expect(findShift(view, { ...view, scale: 1.6 })).toBeNull();
});

test("regions that fill the one around them become it, and so do many", () => {
  const left = { left: 0, top: 0, right: 10, bottom: 10 };
  const right = { left: 10, top: 0, right: 20, bottom: 10 };
  expect(joinRegions([left, right])).toEqual([{ left: 0, top: 0, right: 20, bottom: 10 }]);
  const far = { left: 500, top: 500, right: 510, bottom: 510 };
  expect(joinRegions([left, far])).toEqual([left, far]);
  expect(joinRegions(Array.from({ length: 20 }, (_, place) => ({ ...far, left: place })))).toHaveLength(1);
});
