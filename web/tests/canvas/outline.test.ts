import { expect, test } from "vitest";
import { boxOutline, findHandles, outlineOf, ringOutline } from "../../src/canvas/outline";

const view = { scale: 2, left: 10, top: 0 };
const canvas = { width: 200, height: 100 };

test("a box is written in pixels of the canvas", () => {
  expect(boxOutline([0, 1, 10, 20], view)).toBe("M10 2H30V40H10Z");
});

test("a ring is open while it is drawn", () => {
  expect(ringOutline([0, 0, 5, 0, 5, 5], view, false)).toBe("M10 0L20 0L20 10");
  expect(ringOutline([0, 0, 5, 0, 5, 5], view, true)).toBe("M10 0L20 0L20 10Z");
  expect(ringOutline([], view, true)).toBe("");
});

test("several rings are one outline", () => {
  const polygons = [
    [0, 0, 5, 0, 5, 5],
    [10, 10, 15, 10, 15, 15],
  ];
  expect(outlineOf({ category: "dent", polygons }, view).match(/M/g)).toHaveLength(2);
});

test("the label of a whole picture has no outline", () => {
  expect(outlineOf({ category: "dent" }, view)).toBe("");
});

test("handles need room and a place on the canvas", () => {
  const ring = [0, 0, 1, 0, 20, 0, 500, 0];
  expect(findHandles(ring, view, canvas).map(({ index }) => index)).toEqual([0, 2]);
});

test("what is tiny on the screen has a ring around it instead of an outline on it", () => {
  const pore = { category: "pore", box_xyxy: [10, 10, 13, 12] as const };
  expect(outlineOf(pore, { scale: 1, left: 0, top: 0 })).toBe("M4.5 11a7 7 0 1 0 14 0a7 7 0 1 0 -14 0Z");
  expect(outlineOf(pore, { scale: 4, left: 0, top: 0 })).toBe("M40 40H52V48H40Z");
});
