import { describe, expect, test } from "vitest";
import {
  drawLine,
  findNearest,
  findTicks,
  formatValue,
  makeScale,
  roundSpan,
  spanOf,
} from "../../../src/ui/chart/scale";

describe("spans", () => {
  test("nothing spans nothing", () => expect(spanOf([])).toBeNull());
  test("one value spans itself", () => expect(spanOf([3])).toEqual([3, 3]));
  test("the least and the most", () => expect(spanOf([2, -1, 5, 0])).toEqual([-1, 5]));
  test("are widened to round numbers", () => {
    expect(roundSpan([0.07, 0.93], 5)).toEqual([0, 1]);
    expect(roundSpan([2.1, 7.4], 4)).toEqual([2, 8]);
  });
  test("round ones stay as they are", () => expect(roundSpan([0, 100], 5)).toEqual([0, 100]));
  test("one value gets room around it", () => {
    expect(roundSpan([4, 4], 5)).toEqual([2, 6]);
    expect(roundSpan([0, 0], 5)).toEqual([-1, 1]);
  });
});

describe("ticks", () => {
  test("are 1, 2 or 5 times a power of ten apart", () => {
    expect(findTicks([0, 1], 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(findTicks([0, 4000], 4)).toEqual([0, 1000, 2000, 3000, 4000]);
    expect(findTicks([0, 0.0021], 4)).toEqual([0, 0.001, 0.002]);
  });
  test("hold no dust of binary fractions", () => expect(findTicks([0.1, 0.3], 2)).toEqual([0.1, 0.2, 0.3]));
  test("lie within the span", () => expect(findTicks([0.3, 2.6], 3)).toEqual([1, 2]));
  test("of a span without length are its one value", () => expect(findTicks([7, 7], 5)).toEqual([7]));
});

test("a scale goes there and back", () => {
  const scale = makeScale([10, 20], [100, 0]);
  expect(scale.toPixels(12.5)).toBe(75);
  expect(scale.toValue(75)).toBe(12.5);
});

test("a line begins at its first point", () => {
  const x = makeScale([0, 2], [0, 200]);
  const y = makeScale([0, 1], [100, 0]);
  expect(
    drawLine(
      [
        { x: 0, y: 0 },
        { x: 2, y: 0.5 },
      ],
      x,
      y,
    ),
  ).toBe("M0.0 100.0L200.0 50.0");
  expect(drawLine([], x, y)).toBe("");
});

describe("the nearest point", () => {
  const points = [0, 10, 20].map((x) => ({ x, y: 0 }));
  test.each([
    [-5, 0],
    [4, 0],
    [6, 1],
    [14, 1],
    [99, 2],
  ])("of %d is number %d", (x, place) => expect(findNearest(points, x)).toBe(place));
  test("of no points is none", () => expect(findNearest([], 1)).toBe(-1));
});

test.each([
  [0, "0"],
  [0.123456, "0.123"],
  [12.345, "12.3"],
  [345.67, "345.7"],
  [4000, "4,000"],
  [0.0002, "2e−4"],
  [-0.5, "-0.5"],
])("%d is shown as %s", (value, text) => expect(formatValue(value)).toBe(text));
