import { expect, test } from "vitest";
import { imagePoint, screenPoint } from "../../src/geometry/points";
import { fitView, MAX_SCALE, MIN_SCALE, panView, toImage, toScreen, zoomView } from "../../src/geometry/view";

test("the way to the screen and back ends where it began", () => {
  const view = { scale: 2.5, left: 7, top: -3 };
  expect(toScreen(view, imagePoint(4, 2))).toEqual({ x: 17, y: 2 });
  expect(toImage(view, screenPoint(17, 2))).toEqual({ x: 4, y: 2 });
});

test("a fitted picture lies in the middle of the canvas", () => {
  expect(fitView({ width: 100, height: 50 }, { width: 232, height: 232 })).toEqual({ scale: 2, left: 16, top: 66 });
  expect(fitView({ width: 4, height: 4 }, { width: 1000, height: 1000 }).scale).toBe(8);
});

test("what is under the pointer stays there while zooming, within limits", () => {
  const at = screenPoint(30, 40);
  const view = { scale: 1, left: 5, top: 6 };
  for (const factor of [2, 0.3, 1e9, 1e-9]) {
    const zoomed = zoomView(view, at, factor);
    expect(toImage(zoomed, at).x).toBeCloseTo(toImage(view, at).x, 9);
    expect(toImage(zoomed, at).y).toBeCloseTo(toImage(view, at).y, 9);
    expect(zoomed.scale).toBeGreaterThanOrEqual(MIN_SCALE);
    expect(zoomed.scale).toBeLessThanOrEqual(MAX_SCALE);
  }
  expect(panView(view, 3, -2)).toEqual({ scale: 1, left: 8, top: 4 });
});
