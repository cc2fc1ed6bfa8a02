import { expect, test } from "vitest";
import { imagePoint, type Ring } from "../../src/geometry/points";
import {
  clipRing,
  insertVertex,
  moveRing,
  moveVertex,
  nearestEdge,
  nearestVertex,
  pointOf,
  removeVertex,
  ringArea,
  ringBounds,
  ringContains,
  ringLength,
} from "../../src/geometry/rings";

const SQUARE: Ring = [0, 0, 10, 0, 10, 10, 0, 10];
/** An L: a square of 10 without its lower right quarter. */
const ELL: Ring = [0, 0, 10, 0, 10, 5, 5, 5, 5, 10, 0, 10];

test("area of an L, worked by hand", () => {
  expect(ringArea(ELL)).toBe(75);
});

test("the order of the points does not matter", () => {
  expect(ringArea([0, 10, 10, 10, 10, 0, 0, 0])).toBe(100);
});

test("a line has no area", () => {
  expect(ringArea([0, 0, 3, 3, 6, 6])).toBe(0);
  expect(ringArea([0, 0, 3, 3])).toBe(0);
});

test("the notch of an L is outside", () => {
  expect(ringContains(ELL, 2, 8)).toBe(true);
  expect(ringContains(ELL, 8, 8)).toBe(false);
  expect(ringContains(ELL, 8, 2)).toBe(true);
  expect(ringContains(ELL, -1, 2)).toBe(false);
});

test("what is covered twice is outside, by the even-odd rule", () => {
  const star: Ring = [50, 0, 79, 90, 2, 35, 98, 35, 21, 90];
  expect(ringContains(star, 50, 50)).toBe(false);
  expect(ringContains(star, 50, 10)).toBe(true);
});

test("the nearest vertex and edge, and the point on the edge", () => {
  expect(nearestVertex(SQUARE, 9, 8)).toEqual({ index: 2, distance: Math.hypot(1, 2) });
  expect(nearestEdge(SQUARE, 4, 12)).toEqual({ index: 2, distance: 2, at: { x: 4, y: 10 } });
  // The edge from the last point to the first has the last point's index.
  expect(nearestEdge(SQUARE, -3, 5)).toEqual({ index: 3, distance: 3, at: { x: 0, y: 5 } });
});

test("vertices come, move and go", () => {
  expect(insertVertex(SQUARE, 3, imagePoint(0, 5))).toEqual([0, 0, 10, 0, 10, 10, 0, 10, 0, 5]);
  expect(insertVertex(SQUARE, 0, imagePoint(5, -1))).toEqual([0, 0, 5, -1, 10, 0, 10, 10, 0, 10]);
  expect(moveVertex(SQUARE, 1, imagePoint(12, 1))).toEqual([0, 0, 12, 1, 10, 10, 0, 10]);
  expect(removeVertex(SQUARE, 1)).toEqual([0, 0, 10, 10, 0, 10]);
  expect(removeVertex([0, 0, 1, 0, 0, 1], 0)).toBeNull();
  expect(moveRing(SQUARE, 1, -2)).toEqual([1, -2, 11, -2, 11, 8, 1, 8]);
});

test("indices go round", () => {
  expect(pointOf(SQUARE, -1)).toEqual({ x: 0, y: 10 });
  expect(pointOf(SQUARE, 5)).toEqual({ x: 10, y: 0 });
});

test("bounds are those of the points", () => {
  expect(ringBounds(ELL)).toEqual([0, 0, 10, 10]);
});

test("a ring is clipped to the picture", () => {
  const clipped = clipRing([-5, 2, 5, 2, 5, 8, -5, 8], { width: 10, height: 10 }) as Ring;
  expect(ringArea(clipped)).toBe(30);
  expect(ringBounds(clipped)).toEqual([0, 2, 5, 8]);
  expect(clipRing([20, 20, 30, 20, 30, 30], { width: 10, height: 10 })).toBeNull();
  expect(clipRing(SQUARE, { width: 10, height: 10 })).toHaveLength(8);
});

test("the way around a ring goes back to its first point", () => {
  expect(ringLength([0, 0, 3, 0, 3, 4])).toBe(12);
});
