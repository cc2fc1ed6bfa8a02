/** Closed outlines `[x0, y0, x1, y1, ...]` of at least three points: area, inside or outside, nearest vertex and edge, editing. */
import { clamp, roundPixel } from "./boxes";
import { type BoxXyxy, type ImagePoint, imagePoint, type Ring, type Size } from "./points";

export const MIN_RING_POINTS = 3;

export function countPoints(ring: Ring): number {
  return ring.length >> 1;
}

/** The point of an index; indices go round. */
export function pointOf(ring: Ring, index: number): ImagePoint {
  const count = countPoints(ring);
  const at = 2 * (((index % count) + count) % count);
  return imagePoint(ring[at] as number, ring[at + 1] as number);
}

/** Twice the signed area: positive where the points go clockwise on the screen (y grows downwards). */
export function doubleArea(ring: Ring): number {
  let sum = 0;
  let x0 = ring[ring.length - 2] as number;
  let y0 = ring[ring.length - 1] as number;
  for (let i = 0; i < ring.length; i += 2) {
    const x1 = ring[i] as number;
    const y1 = ring[i + 1] as number;
    sum += x0 * y1 - x1 * y0;
    x0 = x1;
    y0 = y1;
  }
  return sum;
}

/** Square pixels by the shoelace formula; where a ring crosses itself, parts may cancel. */
export function ringArea(ring: Ring): number {
  return ring.length < 2 * MIN_RING_POINTS ? 0 : Math.abs(doubleArea(ring)) / 2;
}

/** How long the way around is, pixels. */
export function ringLength(ring: Ring): number {
  let sum = 0;
  for (let i = 0; i < countPoints(ring); i++) {
    const [a, b] = [pointOf(ring, i), pointOf(ring, i + 1)];
    sum += Math.hypot(b.x - a.x, b.y - a.y);
  }
  return sum;
}

export function ringBounds(ring: Ring): BoxXyxy {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < ring.length; i += 2) {
    const x = ring[i] as number;
    const y = ring[i + 1] as number;
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
  }
  return [x0, y0, x1, y1];
}

/** Whether a point is inside, by the even-odd rule: a ray to the right crosses the outline an odd number of times. */
export function ringContains(ring: Ring, x: number, y: number): boolean {
  let inside = false;
  let x0 = ring[ring.length - 2] as number;
  let y0 = ring[ring.length - 1] as number;
  for (let i = 0; i < ring.length; i += 2) {
    const x1 = ring[i] as number;
    const y1 = ring[i + 1] as number;
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
    x0 = x1;
    y0 = y1;
  }
  return inside;
}

export type NearVertex = { readonly index: number; readonly distance: number };

export function nearestVertex(ring: Ring, x: number, y: number): NearVertex {
  let index = 0;
  let best = Infinity;
  for (let i = 0; i < ring.length; i += 2) {
    const square = ((ring[i] as number) - x) ** 2 + ((ring[i + 1] as number) - y) ** 2;
    if (square < best) {
      best = square;
      index = i >> 1;
    }
  }
  return { index, distance: Math.sqrt(best) };
}

/** An edge by the index of its first vertex, and the point of it that is nearest. */
export type NearEdge = { readonly index: number; readonly distance: number; readonly at: ImagePoint };

export function nearestEdge(ring: Ring, x: number, y: number): NearEdge {
  let nearest: NearEdge = { index: 0, distance: Infinity, at: imagePoint(x, y) };
  for (let i = 0; i < countPoints(ring); i++) {
    const at = nearestOnSegment(pointOf(ring, i), pointOf(ring, i + 1), x, y);
    const distance = Math.hypot(at.x - x, at.y - y);
    if (distance < nearest.distance) nearest = { index: i, distance, at };
  }
  return nearest;
}

function nearestOnSegment(a: ImagePoint, b: ImagePoint, x: number, y: number): ImagePoint {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy;
  const part = square === 0 ? 0 : clamp(((x - a.x) * dx + (y - a.y) * dy) / square, 0, 1);
  return imagePoint(a.x + part * dx, a.y + part * dy);
}

export function moveRing(ring: Ring, byX: number, byY: number): Ring {
  return ring.map((value, i) => roundPixel(value + (i % 2 === 0 ? byX : byY)));
}

export function moveVertex(ring: Ring, index: number, to: ImagePoint): Ring {
  const moved = [...ring];
  moved[2 * index] = to.x;
  moved[2 * index + 1] = to.y;
  return moved;
}

/** The ring with a new vertex on the edge of this index; the new vertex has the next index. */
export function insertVertex(ring: Ring, edge: number, at: ImagePoint): Ring {
  return [...ring.slice(0, 2 * edge + 2), at.x, at.y, ...ring.slice(2 * edge + 2)];
}

/** The ring without a vertex; null where less than a triangle would be left. */
export function removeVertex(ring: Ring, index: number): Ring | null {
  if (countPoints(ring) <= MIN_RING_POINTS) return null;
  return [...ring.slice(0, 2 * index), ...ring.slice(2 * index + 2)];
}

/** The part of a ring inside the picture (Sutherland and Hodgman 1974); null where nothing is left. */
export function clipRing(ring: Ring, picture: Size): Ring | null {
  let points: Ring = ring;
  points = clipHalf(points, 0, 0, 1);
  points = clipHalf(points, 0, picture.width, -1);
  points = clipHalf(points, 1, 0, 1);
  points = clipHalf(points, 1, picture.height, -1);
  return countPoints(points) >= MIN_RING_POINTS && ringArea(points) > 0 ? points : null;
}

/** Keeps what lies on one side of a line across an axis (0: x, 1: y). */
function clipHalf(ring: Ring, axis: 0 | 1, limit: number, side: 1 | -1): Ring {
  const kept: number[] = [];
  for (let i = 0; i < countPoints(ring); i++) {
    const a = pointOf(ring, i - 1);
    const b = pointOf(ring, i);
    const [from, to] = axis === 0 ? [a.x, b.x] : [a.y, b.y];
    const [fromIn, toIn] = [(from - limit) * side >= 0, (to - limit) * side >= 0];
    if (fromIn !== toIn) {
      const part = (limit - from) / (to - from);
      if (axis === 0) kept.push(limit, a.y + part * (b.y - a.y));
      else kept.push(a.x + part * (b.x - a.x), limit);
    }
    if (toIn) kept.push(b.x, b.y);
  }
  return kept;
}
