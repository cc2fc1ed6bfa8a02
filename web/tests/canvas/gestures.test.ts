import { expect, test } from "vitest";
import { dragView, pinchView, wheelFactor } from "../../src/canvas/gestures";
import { screenPoint } from "../../src/geometry/points";
import { toImage } from "../../src/geometry/view";

const view = { scale: 2, left: 10.25, top: 20 };

test("a drag moves by whole device pixels", () => {
  const moved = dragView(view, screenPoint(0, 0), screenPoint(3.3, -1.2), 2);
  expect(moved).toEqual({ scale: 2, left: 13.75, top: 19 });
});

test("what was under each finger stays under it", () => {
  const from = [screenPoint(100, 100), screenPoint(200, 100)] as const;
  const to = [screenPoint(50, 140), screenPoint(250, 140)] as const;
  const pinched = pinchView(view, from, to);
  expect(pinched.scale).toBe(4);
  for (const finger of [0, 1] as const) {
    const [before, after] = [toImage(view, from[finger]), toImage(pinched, to[finger])];
    expect(after.x).toBeCloseTo(before.x);
    expect(after.y).toBeCloseTo(before.y);
  }
});

test("turning the wheel away enlarges, and back gives the same scale", () => {
  const away = wheelFactor({ deltaY: -100, deltaMode: 0, ctrlKey: false });
  const back = wheelFactor({ deltaY: 100, deltaMode: 0, ctrlKey: false });
  expect(away).toBeGreaterThan(1);
  expect(away * back).toBeCloseTo(1);
});

test("lines count as pixels, and one jump of a wheel zooms no more than a little", () => {
  expect(wheelFactor({ deltaY: 3, deltaMode: 1, ctrlKey: false })).toBeCloseTo(
    wheelFactor({ deltaY: 48, deltaMode: 0, ctrlKey: false }),
  );
  expect(wheelFactor({ deltaY: -9999, deltaMode: 0, ctrlKey: false })).toBeLessThan(2);
});
