/** How hands move the view: pure arithmetic of panning, pinching and wheels, in CSS pixels of the canvas. */
import { type ScreenPoint, screenPoint } from "../geometry/points";
import { panView, type View, zoomView } from "../geometry/view";

/** One notch of a wheel, in the pixels that browsers report. */
const LINE = 16;
const PAGE = 400;

/**
 * The view after the hand went from one point to another: by whole device pixels, so that nothing is blurred and what is painted can
 * be shifted.
 */
export function dragView(view: View, from: ScreenPoint, to: ScreenPoint, ratio: number): View {
  return panView(view, Math.round((to.x - from.x) * ratio) / ratio, Math.round((to.y - from.y) * ratio) / ratio);
}

/** The view after two fingers went from one pair of points to another: what was under each finger stays under it. */
export function pinchView(
  view: View,
  from: readonly [ScreenPoint, ScreenPoint],
  to: readonly [ScreenPoint, ScreenPoint],
): View {
  const factor = distance(to) / Math.max(1, distance(from));
  const zoomed = zoomView(view, middle(from), factor);
  return panView(zoomed, middle(to).x - middle(from).x, middle(to).y - middle(from).y);
}

/** By what a turn of the wheel zooms; a pinch on a touchpad comes as a wheel with ctrl and small steps. */
export function wheelFactor(event: {
  readonly deltaY: number;
  readonly deltaMode: number;
  readonly ctrlKey: boolean;
}): number {
  const pixels = event.deltaY * (event.deltaMode === 1 ? LINE : event.deltaMode === 2 ? PAGE : 1);
  const limited = Math.max(-240, Math.min(240, pixels));
  return Math.exp(-limited * (event.ctrlKey ? 0.01 : 0.002));
}

function distance([a, b]: readonly [ScreenPoint, ScreenPoint]): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function middle([a, b]: readonly [ScreenPoint, ScreenPoint]): ScreenPoint {
  return screenPoint((a.x + b.x) / 2, (a.y + b.y) / 2);
}
