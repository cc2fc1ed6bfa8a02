/** Outlines as the overlay writes them: SVG path data in CSS pixels of the canvas, and the vertices that have room for a handle. Pure. */
import {
  type BoxXyxy,
  type ImagePoint,
  imagePoint,
  type Ring,
  type ScreenPoint,
  screenPoint,
} from "../geometry/points";
import { toScreen, type View } from "../geometry/view";
import type { Annotation } from "../labels/annotation";
import { boundsOf } from "../labels/shapes";
import { isTiny, MARKER_RADIUS } from "./style";

/** Handles nearer to each other would cover the outline. */
const HANDLE_GAP = 9;

/** A mask has the outline of its box, and what is tiny a ring around it. */
export function outlineOf(annotation: Annotation, view: View): string {
  const bounds = boundsOf(annotation);
  if (bounds && isTiny(bounds, view.scale)) return markerOutline(bounds, view);
  if (annotation.polygons && !annotation.mask)
    return annotation.polygons.map((ring) => ringOutline(ring, view, true)).join("");
  const box = boundsOf(annotation);
  return box ? boxOutline(box, view) : "";
}

/** A ring around a shape that is too small to be seen below its outline. */
function markerOutline([left, top, right, bottom]: BoxXyxy, view: View): string {
  const { x, y } = toScreen(view, imagePoint((left + right) / 2, (top + bottom) / 2));
  const [radius, across] = [MARKER_RADIUS, 2 * MARKER_RADIUS];
  return `M${write(x - radius)} ${write(y)}a${radius} ${radius} 0 1 0 ${across} 0a${radius} ${radius} 0 1 0 -${across} 0Z`;
}

export function boxOutline(box: BoxXyxy, view: View): string {
  const low = toScreen(view, imagePoint(box[0], box[1]));
  const high = toScreen(view, imagePoint(box[2], box[3]));
  return `M${write(low.x)} ${write(low.y)}H${write(high.x)}V${write(high.y)}H${write(low.x)}Z`;
}

export function ringOutline(ring: Ring, view: View, closed: boolean): string {
  const points = [];
  for (let at = 0; at + 1 < ring.length; at += 2) {
    const { x, y } = vertexAt(ring, at / 2, view);
    points.push(`${write(x)} ${write(y)}`);
  }
  return points.length > 0 ? `M${points.join("L")}${closed ? "Z" : ""}` : "";
}

/** An open line; of one point, a dot that a round pen shows. */
export function lineOutline(points: readonly ImagePoint[], view: View): string {
  const written = points.map((point) => toScreen(view, point)).map(({ x, y }) => `${write(x)} ${write(y)}`);
  return written.length > 0 ? `M${[...written, written.at(-1)].join("L")}` : "";
}

export function vertexAt(ring: Ring, index: number, view: View): ScreenPoint {
  return toScreen(view, imagePoint(ring[2 * index] ?? 0, ring[2 * index + 1] ?? 0));
}

/** The topmost vertex of all rings. */
export function peakOf(rings: readonly Ring[]): { readonly x: number; readonly y: number } {
  let peak = { x: 0, y: Number.POSITIVE_INFINITY };
  for (const ring of rings) {
    for (let at = 0; at + 1 < ring.length; at += 2) {
      const [x, y] = [ring[at] as number, ring[at + 1] as number];
      if (y < peak.y) peak = { x, y };
    }
  }
  return peak;
}

export type Vertex = { readonly index: number; readonly at: ScreenPoint };

/** The vertices of a ring on the canvas, without those too near to the one before. */
export function findHandles(
  ring: Ring,
  view: View,
  canvas: { readonly width: number; readonly height: number },
): readonly Vertex[] {
  const handles: Vertex[] = [];
  let last = screenPoint(Number.NEGATIVE_INFINITY, 0);
  for (let index = 0; 2 * index + 1 < ring.length; index += 1) {
    const at = vertexAt(ring, index, view);
    const isSeen = at.x >= -8 && at.y >= -8 && at.x <= canvas.width + 8 && at.y <= canvas.height + 8;
    if (!isSeen || Math.hypot(at.x - last.x, at.y - last.y) < HANDLE_GAP) continue;
    handles.push({ index, at });
    last = at;
  }
  return handles;
}

// A tenth of a CSS pixel is finer than any screen; shorter texts are parsed sooner.
function write(value: number): string {
  return String(Math.round(value * 10) / 10);
}
