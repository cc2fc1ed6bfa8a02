import { expect, test } from "vitest";
import {
  boxArea,
  boxBetween,
  boxContains,
  boxEncloses,
  boxesMeet,
  clipBox,
  dragHandle,
  findHandle,
  HANDLES,
  handlePoint,
  joinBoxes,
  limitMove,
  placePoint,
} from "../../src/geometry/boxes";
import { type BoxXyxy, imagePoint, screenPoint } from "../../src/geometry/points";
import { toScreen } from "../../src/geometry/view";

const PICTURE = { width: 100, height: 80 };
const BOX: BoxXyxy = [10, 20, 50, 60];

test("any two opposite corners make the same box", () => {
  const corners = [imagePoint(10, 20), imagePoint(50, 60)] as const;
  expect(boxBetween(...corners)).toEqual(BOX);
  expect(boxBetween(imagePoint(50, 20), imagePoint(10, 60))).toEqual(BOX);
});

test("a box is clipped to the picture, down to nothing", () => {
  expect(clipBox([-5, -5, 120, 40], PICTURE)).toEqual([0, 0, 100, 40]);
  expect(boxArea(clipBox([-9, 10, -2, 20], PICTURE))).toBe(0);
});

test("areas are in square pixels, and an inverted box has none", () => {
  expect(boxArea(BOX)).toBe(1600);
  expect(boxArea([50, 20, 10, 60])).toBe(0);
});

test("borders belong to a box, and touching boxes meet", () => {
  expect(boxContains(BOX, 50, 60)).toBe(true);
  expect(boxContains(BOX, 50.1, 60)).toBe(false);
  expect(boxesMeet(BOX, [50, 60, 70, 70])).toBe(true);
  expect(boxesMeet(BOX, [51, 20, 70, 70])).toBe(false);
  expect(boxEncloses(BOX, BOX)).toBe(true);
  expect(boxEncloses(BOX, [9, 30, 20, 40])).toBe(false);
  expect(joinBoxes(BOX, [0, 30, 20, 70])).toEqual([0, 20, 50, 70]);
  expect(joinBoxes(null, BOX)).toBe(BOX);
});

test("a move ends at the border; what already is outside may only come back", () => {
  expect(limitMove(BOX, 70, -30, PICTURE)).toEqual({ byX: 50, byY: -20 });
  expect(limitMove([-10, 0, 20, 90], -5, 5, PICTURE)).toEqual({ byX: 0, byY: 0 });
  expect(limitMove([-10, 0, 20, 90], 5, -5, PICTURE)).toEqual({ byX: 5, byY: 0 });
  expect(limitMove([0, 0, 20, 90], 0, -20, PICTURE).byY).toBe(0);
});

test("drawn points lie in the picture, at hundredths of a pixel", () => {
  expect(placePoint(imagePoint(33.33333, -4), PICTURE)).toEqual({ x: 33.33, y: 0 });
});

test("each handle is found where it is drawn, whatever the zoom", () => {
  for (const scale of [0.5, 1, 7]) {
    const view = { scale, left: 13, top: -4 };
    for (const handle of HANDLES) expect(findHandle(BOX, toScreen(view, handlePoint(BOX, handle)), view)).toBe(handle);
  }
});

test("edges are grabbed along their length, from a few CSS pixels outside too, and the middle is free", () => {
  const view = { scale: 2, left: 0, top: 0 };
  expect(findHandle(BOX, screenPoint(40, 33), view)).toBe("n");
  expect(findHandle(BOX, screenPoint(40, 31), view)).toBeNull();
  expect(findHandle(BOX, screenPoint(60, 80), view)).toBeNull();
  expect(findHandle(BOX, screenPoint(107, 127), view)).toBe("se");
});

test("a tiny box can still be moved by its middle", () => {
  expect(findHandle([10, 10, 22, 22], screenPoint(16, 16), { scale: 1, left: 0, top: 0 })).toBeNull();
});

test("a handle moves its own sides only", () => {
  const to = imagePoint(70, 5);
  expect(dragHandle(BOX, "e", to, PICTURE)).toEqual([10, 20, 70, 60]);
  expect(dragHandle(BOX, "n", to, PICTURE)).toEqual([10, 5, 50, 60]);
  expect(dragHandle(BOX, "ne", to, PICTURE)).toEqual([10, 5, 70, 60]);
});

test("a box that is dragged over itself turns over", () => {
  expect(dragHandle(BOX, "nw", imagePoint(80, 70), PICTURE)).toEqual([50, 60, 80, 70]);
});

test("a resized box stays in the picture and keeps a pixel", () => {
  expect(dragHandle(BOX, "se", imagePoint(500, 500), PICTURE)).toEqual([10, 20, 100, 80]);
  expect(dragHandle(BOX, "e", imagePoint(10.2, 0), PICTURE)).toEqual([10, 20, 11, 60]);
  expect(dragHandle(BOX, "e", imagePoint(9.9, 0), PICTURE)).toEqual([9, 20, 10, 60]);
  expect(dragHandle([0, 0, 5, 5], "e", imagePoint(-4, 0), PICTURE)).toEqual([0, 0, 1, 5]);
  expect(dragHandle([90, 0, 100, 5], "w", imagePoint(200, 0), PICTURE)).toEqual([99, 0, 100, 5]);
});
