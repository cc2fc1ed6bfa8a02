import { expect, test } from "vitest";
import { emptyMask, paintStroke } from "../../src/geometry/masks";
import { imagePoint } from "../../src/geometry/points";
import { decodeMask, encodeMask } from "../../src/geometry/rle";
import { type Annotation, asHuman } from "../../src/labels/annotation";
import {
  areaOf,
  boundsOf,
  clipAnnotation,
  covers,
  geometryOf,
  moveAnnotation,
  withPolygons,
} from "../../src/labels/shapes";
import { box, SIZE } from "../editor/world";

const BOX = box("a", 10, 10, 30, 20);
const POLYGONS: Annotation = {
  category: "a",
  polygons: [
    [0, 0, 10, 0, 0, 10],
    [20, 20, 30, 20, 30, 30, 20, 30],
  ],
};
const IMAGE: Annotation = { category: "a" };

function disc(x: number, y: number, radius: number): Annotation {
  const mask = emptyMask(SIZE);
  paintStroke(mask, imagePoint(x, y), imagePoint(x, y), radius, 1);
  return { category: "a", mask: encodeMask(mask) };
}

test("the richest geometry names an annotation", () => {
  expect([BOX, POLYGONS, disc(5, 5, 2), IMAGE].map(geometryOf)).toEqual(["box", "polygons", "mask", "image"]);
  expect(geometryOf({ ...POLYGONS, box_xyxy: [0, 0, 30, 30] })).toBe("polygons");
});

test("bounds and area speak of all rings and pixels", () => {
  expect(boundsOf(POLYGONS)).toEqual([0, 0, 30, 30]);
  expect(areaOf(POLYGONS)).toBe(150);
  expect(boundsOf(disc(50, 40, 0.5))).toBeNull();
  expect(boundsOf(disc(50.5, 40.5, 0.5))).toEqual([50, 40, 51, 41]);
  expect(areaOf(disc(50.5, 40.5, 0.5))).toBe(1);
  expect([boundsOf(IMAGE), areaOf(IMAGE), areaOf(BOX)]).toEqual([null, 0, 200]);
});

test("a point is in an annotation, or within the tolerance of its outline", () => {
  expect(covers(BOX, 31, 15)).toBe(false);
  expect(covers(BOX, 31, 15, 2)).toBe(true);
  expect(covers(POLYGONS, 6, 6)).toBe(false);
  expect(covers(POLYGONS, 6, 6, 2)).toBe(true);
  expect(covers(POLYGONS, 25, 25)).toBe(true);
  expect(covers(disc(50, 40, 5), 50, 44)).toBe(true);
  expect(covers(disc(50, 40, 5), 50, 46)).toBe(false);
  expect(covers(IMAGE, 1, 1, 9)).toBe(false);
});

test("a move changes every geometry, and the box beside it", () => {
  expect(moveAnnotation(BOX, 1, 2, SIZE).box_xyxy).toEqual([11, 12, 31, 22]);
  expect(moveAnnotation(withPolygons({ ...BOX }, POLYGONS.polygons ?? []), 1, 2, SIZE)).toMatchObject({
    box_xyxy: [1, 2, 31, 32],
    polygons: [
      [1, 2, 11, 2, 1, 12],
      [21, 22, 31, 22, 31, 32, 21, 32],
    ],
  });
  expect(boundsOf(moveAnnotation(disc(50, 40, 5), 3.4, -2, SIZE))).toEqual([48, 33, 58, 43]);
});

test("coordinates do not grow digits by being moved", () => {
  expect(moveAnnotation(box("a", 0.1, 0.1, 5, 5), 0.2, 0.2, SIZE).box_xyxy).toEqual([0.3, 0.3, 5.2, 5.2]);
});

test("what is clipped away entirely is null", () => {
  const small = { width: 15, height: 15 };
  expect(clipAnnotation(BOX, small)).toEqual({ ...BOX, box_xyxy: [10, 10, 15, 15] });
  expect(clipAnnotation(box("a", 20, 20, 30, 30), small)).toBeNull();
  expect(clipAnnotation(POLYGONS, small)?.polygons).toHaveLength(1);
  expect(clipAnnotation(disc(50, 40, 5), small)).toBeNull();
  expect(decodeMask(clipAnnotation(disc(14, 7, 3), small)?.mask ?? { ...small, counts: "" })).toMatchObject(small);
  expect(clipAnnotation(IMAGE, small)).toBe(IMAGE);
});

test("what a person takes over is no prediction any more", () => {
  expect(asHuman({ ...BOX, origin: "model", confidence: 0.7 })).toEqual({ ...BOX, origin: "human", confidence: null });
});
