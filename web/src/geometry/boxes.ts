/** Rectangles `[xMin, yMin, xMax, yMax]` in pixels of the picture: made from points, kept inside the picture, resized by handles. */
import { type BoxXyxy, type ImagePoint, imagePoint, type ScreenPoint, type Size } from "./points";
import { toScreen, type View } from "./view";

/** The rectangle between two opposite corners, given in any order. */
export function boxBetween(a: ImagePoint, b: ImagePoint): BoxXyxy {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}

/** The part inside the picture; of a box that lies outside, an empty one on the picture's border. */
export function clipBox([x0, y0, x1, y1]: BoxXyxy, picture: Size): BoxXyxy {
  return [
    clamp(x0, 0, picture.width),
    clamp(y0, 0, picture.height),
    clamp(x1, 0, picture.width),
    clamp(y1, 0, picture.height),
  ];
}

/** A drawn point: inside the picture, to a hundredth of a pixel. */
export function placePoint(point: ImagePoint, picture: Size): ImagePoint {
  return imagePoint(roundPixel(clamp(point.x, 0, picture.width)), roundPixel(clamp(point.y, 0, picture.height)));
}

/** To a hundredth of a pixel: finer is no one's intent, and would only fill the journal with digits. */
export function roundPixel(value: number): number {
  return Math.round(value * 100) / 100;
}

export function boxWidth(box: BoxXyxy): number {
  return box[2] - box[0];
}

export function boxHeight(box: BoxXyxy): number {
  return box[3] - box[1];
}

/** Square pixels; 0 for an inverted box. */
export function boxArea(box: BoxXyxy): number {
  return Math.max(0, boxWidth(box)) * Math.max(0, boxHeight(box));
}

export function moveBox([x0, y0, x1, y1]: BoxXyxy, byX: number, byY: number): BoxXyxy {
  return [roundPixel(x0 + byX), roundPixel(y0 + byY), roundPixel(x1 + byX), roundPixel(y1 + byY)];
}

export function joinBoxes(a: BoxXyxy | null, b: BoxXyxy | null): BoxXyxy | null {
  if (!a || !b) return a ?? b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

/** Borders belong to the box. */
export function boxContains(box: BoxXyxy, x: number, y: number): boolean {
  return x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3];
}

/** Whether two boxes share a point; touching ones do. */
export function boxesMeet(a: BoxXyxy, b: BoxXyxy): boolean {
  return a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
}

export function boxEncloses(outer: BoxXyxy, inner: BoxXyxy): boolean {
  return outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3];
}

/** How far a thing with these bounds may move, at most by what is asked, so that it stays inside the picture. */
export function limitMove(bounds: BoxXyxy, byX: number, byY: number, picture: Size): { byX: number; byY: number } {
  return {
    byX: limitShift(bounds[0], bounds[2], byX, picture.width),
    byY: limitShift(bounds[1], bounds[3], byY, picture.height),
  };
}

// What already reaches over the border may come back, but goes no further out.
function limitShift(low: number, high: number, by: number, length: number): number {
  return by < 0 ? Math.max(by, Math.min(0, 0 - low)) : Math.min(by, Math.max(0, length - high));
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** A corner or an edge of a box, by the wind rose: "nw" is the top left corner, "n" the top edge. */
export type Handle = "nw" | "n" | "ne" | "e" | "se" | "s" | "sw" | "w";

/** Corners before edges: where both are near, a corner is meant. */
export const HANDLES: readonly Handle[] = ["nw", "ne", "se", "sw", "n", "e", "s", "w"];

/** Where a handle is drawn. */
export function handlePoint(box: BoxXyxy, handle: Handle): ImagePoint {
  const x = handle.includes("w") ? box[0] : handle.includes("e") ? box[2] : (box[0] + box[2]) / 2;
  const y = handle.includes("n") ? box[1] : handle.includes("s") ? box[3] : (box[1] + box[3]) / 2;
  return imagePoint(x, y);
}

/** The handle under a point of the screen: a corner within the tolerance (CSS pixels), else an edge along its whole length. */
export function findHandle(box: BoxXyxy, at: ScreenPoint, view: View, tolerance = 8): Handle | null {
  const low = toScreen(view, imagePoint(box[0], box[1]));
  const high = toScreen(view, imagePoint(box[2], box[3]));
  // Small boxes keep a middle by which they can be moved.
  const reach = Math.min(tolerance, Math.max(2, Math.min(high.x - low.x, high.y - low.y) / 3));
  const inside = (value: number, from: number, to: number) => value >= from - tolerance && value <= to + tolerance;
  if (!inside(at.x, low.x, high.x) || !inside(at.y, low.y, high.y)) return null;
  const near = (value: number, edge: number, outward: number) =>
    Math.abs(value - edge) <= ((value - edge) * outward > 0 ? tolerance : reach);
  const north = near(at.y, low.y, -1);
  const south = near(at.y, high.y, 1);
  const west = near(at.x, low.x, -1);
  const east = near(at.x, high.x, 1);
  const vertical = nearer(north, south, at.y - low.y, high.y - at.y, "n", "s");
  const horizontal = nearer(west, east, at.x - low.x, high.x - at.x, "w", "e");
  return ((vertical + horizontal) as Handle) || null;
}

function nearer(first: boolean, second: boolean, toFirst: number, toSecond: number, a: string, b: string): string {
  if (first && second) return Math.abs(toFirst) <= Math.abs(toSecond) ? a : b;
  return first ? a : second ? b : "";
}

/** The box after its handle was dragged to a point: it may turn over, stays in the picture and at least `minimum` pixels wide and high. */
export function dragHandle(box: BoxXyxy, handle: Handle, to: ImagePoint, picture: Size, minimum = 1): BoxXyxy {
  const [x0, x1] = dragSides(box[0], box[2], handle.includes("w"), handle.includes("e"), to.x, picture.width, minimum);
  const [y0, y1] = dragSides(box[1], box[3], handle.includes("n"), handle.includes("s"), to.y, picture.height, minimum);
  return [x0, y0, x1, y1];
}

function dragSides(
  low: number,
  high: number,
  movesLow: boolean,
  movesHigh: boolean,
  to: number,
  length: number,
  minimum: number,
): [number, number] {
  if (!movesLow && !movesHigh) return [low, high];
  return spanFrom(movesLow ? high : low, clamp(to, 0, length), length, minimum);
}

/** The span from a fixed side to a moving one, at least `minimum` long: away from the fixed side if the picture has room there. */
export function spanFrom(fixed: number, to: number, length: number, minimum: number): [number, number] {
  if (Math.abs(to - fixed) >= minimum) return [Math.min(fixed, to), Math.max(fixed, to)];
  const room = to >= fixed ? length - fixed >= minimum : fixed < minimum;
  return room ? [fixed, fixed + minimum] : [fixed - minimum, fixed];
}
