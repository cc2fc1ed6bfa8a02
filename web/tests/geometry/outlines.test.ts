import { expect, test } from "vitest";
import { emptyMask } from "../../src/geometry/masks";
import {
  crossesItself,
  dropRepeats,
  ringOf,
  segmentsMeet,
  simplifyLine,
  simplifyRing,
  splitRing,
} from "../../src/geometry/outlines";
import { type ImagePoint, imagePoint } from "../../src/geometry/points";
import { nearestEdge, ringContains } from "../../src/geometry/rings";
import { traceMask } from "../../src/geometry/tracing";
import { seeded } from "../editor/world";

const at = imagePoint;

test("points of a straight line are left out, corners stay", () => {
  const line = [at(0, 0), at(1, 0.1), at(2, 0), at(2, 5)];
  expect(simplifyLine(line, 0.5)).toEqual([at(0, 0), at(2, 0), at(2, 5)]);
  expect(simplifyLine(line, 0.05)).toEqual(line);
  expect(simplifyLine([at(1, 1)], 1)).toEqual([at(1, 1)]);
});

test("no point that was left out is further from the line than the tolerance", () => {
  const random = seeded(11);
  const line: ImagePoint[] = [];
  for (let i = 0; i < 400; i++) line.push(at(i / 4 + random(), 20 * Math.sin(i / 30) + random()));
  const simple = simplifyLine(line, 1);
  expect(simple.length).toBeLessThan(line.length / 3);
  const furthest = Math.max(...line.map((point) => nearestEdge(ringOf(simple), point.x, point.y).distance));
  expect(furthest).toBeLessThanOrEqual(1 + 1e-9);
});

test("a long line does not overflow the stack", () => {
  const line = Array.from({ length: 10_000 }, (_, i) => at(i, (i % 2) * 3));
  expect(simplifyLine(line, 1)).toHaveLength(10_000);
});

test("a bow tie crosses itself, a star does, a square and an L do not", () => {
  expect(crossesItself([0, 0, 10, 10, 10, 0, 0, 10])).toBe(true);
  expect(crossesItself([50, 0, 79, 90, 2, 35, 98, 35, 21, 90])).toBe(true);
  expect(crossesItself([0, 0, 10, 0, 10, 10, 0, 10])).toBe(false);
  expect(crossesItself([0, 0, 10, 0, 10, 5, 5, 5, 5, 10, 0, 10])).toBe(false);
  expect(crossesItself([0, 0, 10, 0, 0, 10])).toBe(false);
});

test("segments meet at ends, across and along each other, but not side by side", () => {
  expect(segmentsMeet(at(0, 0), at(2, 2), at(0, 2), at(2, 0))).toBe(true);
  expect(segmentsMeet(at(0, 0), at(2, 0), at(2, 0), at(3, 3))).toBe(true);
  expect(segmentsMeet(at(0, 0), at(4, 0), at(1, 0), at(2, 0))).toBe(true);
  expect(segmentsMeet(at(0, 0), at(4, 0), at(5, 0), at(6, 0))).toBe(false);
  expect(segmentsMeet(at(0, 0), at(4, 0), at(0, 1), at(4, 1))).toBe(false);
  expect(segmentsMeet(at(0, 0), at(4, 0), at(2, 1), at(2, 5))).toBe(false);
});

test("a point that follows its like is left out", () => {
  expect(dropRepeats([at(1, 1), at(1, 1), at(2, 1), at(1, 1)])).toEqual([at(1, 1), at(2, 1), at(1, 1)]);
});

test("an outline that meets itself in points is split there, and what it encloses is filled", () => {
  const eight = [0, 0, 1, 0, 1, 1, 2, 1, 2, 2, 1, 2, 1, 1, 0, 1];
  expect(splitRing(eight)).toEqual([
    [1, 1, 2, 1, 2, 2, 1, 2],
    [0, 0, 1, 0, 1, 1, 0, 1],
  ]);
  const around = [0, 0, 3, 0, 3, 2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 3, 0, 3];
  expect(splitRing(around)).toEqual([[0, 0, 3, 0, 3, 2, 2, 2, 2, 3, 0, 3]]);
});

test("the outlines of a mask, split and simplified, cross themselves nowhere and hold all of it", () => {
  const random = seeded(5);
  for (let turn = 0; turn < 30; turn++) {
    const mask = emptyMask({ width: 24, height: 18 });
    for (let i = 0; i < mask.data.length; i++) mask.data[i] = random() < 0.6 ? 1 : 0;
    const parts = traceMask(mask).outer.flatMap(splitRing);
    expect(parts.filter((ring) => crossesItself(simplifyRing(ring, 0.75) ?? ring))).toEqual([]);
    mask.data.forEach((isSet, i) => {
      const [x, y] = [(i % 24) + 0.5, Math.floor(i / 24) + 0.5];
      if (isSet) expect(parts.some((ring) => ringContains(ring, x, y))).toBe(true);
    });
  }
});
