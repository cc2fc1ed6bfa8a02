/** What a drawn outline needs before it becomes a ring: fewer points than the hand made, and a check that it does not cross itself. */
import type { ImagePoint, Ring } from "./points";
import { countPoints, doubleArea, MIN_RING_POINTS, pointOf, ringArea } from "./rings";

/** An open line with fewer points, none of the left out ones further than the tolerance from it (Douglas and Peucker 1973). */
export function simplifyLine(points: readonly ImagePoint[], tolerance: number): ImagePoint[] {
  if (points.length < 3) return [...points];
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const spans: [number, number][] = [[0, points.length - 1]]; // a stack of its own: a long freehand line would overflow the call stack
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [first, last] = span;
    const furthest = findFurthest(points, first, last);
    if (furthest.distance <= tolerance) continue;
    keep[furthest.index] = 1;
    spans.push([first, furthest.index], [furthest.index, last]);
  }
  return points.filter((_, i) => keep[i] === 1);
}

/** A ring with fewer points, as an open line is simplified between its two corners that lie furthest apart; null: nothing is left. */
export function simplifyRing(ring: Ring, tolerance: number): Ring | null {
  const points = Array.from({ length: countPoints(ring) }, (_, index) => pointOf(ring, index));
  const far = furthestFrom(points, furthestFrom(points, 0));
  const turned = [...points.slice(far), ...points.slice(0, far)];
  const opposite = furthestFrom(turned, 0);
  const there = simplifyLine(turned.slice(0, opposite + 1), tolerance);
  const back = simplifyLine([...turned.slice(opposite), turned[0] as ImagePoint], tolerance);
  const simple = ringOf([...there.slice(0, -1), ...back.slice(0, -1)]);
  return countPoints(simple) >= MIN_RING_POINTS && ringArea(simple) > 0 ? simple : null;
}

/** The parts of a traced outline that meet in single points only, each a ring that meets itself nowhere; holes between them are filled. */
export function splitRing(ring: Ring): Ring[] {
  const parts: Ring[] = [];
  const isClockwise = doubleArea(ring) > 0;
  const way: ImagePoint[] = [];
  const places = new Map<string, number>(); // of the points of the way
  const close = (from: number) => {
    const loop = way.splice(from);
    for (const { x, y } of loop) places.delete(`${x},${y}`);
    const part = ringOf(loop);
    if (doubleArea(part) > 0 === isClockwise) parts.push(part);
  };
  for (let i = 0; i < countPoints(ring); i++) {
    const point = pointOf(ring, i);
    const key = `${point.x},${point.y}`;
    const before = places.get(key);
    if (before !== undefined) close(before);
    places.set(key, way.push(point) - 1);
  }
  close(0);
  return parts;
}

function furthestFrom(points: readonly ImagePoint[], from: number): number {
  const { x, y } = points[from] as ImagePoint;
  const distances = points.map((point) => Math.hypot(point.x - x, point.y - y));
  return distances.indexOf(distances.reduce((most, distance) => Math.max(most, distance), 0));
}

function findFurthest(points: readonly ImagePoint[], first: number, last: number): { index: number; distance: number } {
  const a = points[first] as ImagePoint;
  const b = points[last] as ImagePoint;
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  let found = { index: first, distance: -1 };
  for (let i = first + 1; i < last; i++) {
    const p = points[i] as ImagePoint;
    const distance =
      length === 0
        ? Math.hypot(p.x - a.x, p.y - a.y)
        : Math.abs((b.x - a.x) * (a.y - p.y) - (a.x - p.x) * (b.y - a.y)) / length;
    if (distance > found.distance) found = { index: i, distance };
  }
  return found;
}

/** Whether two edges of a ring that are not neighbours share a point. */
export function crossesItself(ring: Ring): boolean {
  const count = countPoints(ring);
  for (let i = 0; i < count; i++) {
    for (let j = i + 2; j < count; j++) {
      if (i === 0 && j === count - 1) continue; // neighbours round the end
      if (segmentsMeet(pointOf(ring, i), pointOf(ring, i + 1), pointOf(ring, j), pointOf(ring, j + 1))) return true;
    }
  }
  return false;
}

/** Whether two segments share a point, ends included. */
export function segmentsMeet(a: ImagePoint, b: ImagePoint, c: ImagePoint, d: ImagePoint): boolean {
  const [ca, cb] = [turn(c, d, a), turn(c, d, b)];
  const [ac, ad] = [turn(a, b, c), turn(a, b, d)];
  if (ca !== cb && ac !== ad) return true;
  return (
    (ca === 0 && isBetween(c, d, a)) ||
    (cb === 0 && isBetween(c, d, b)) ||
    (ac === 0 && isBetween(a, b, c)) ||
    (ad === 0 && isBetween(a, b, d))
  );
}

function turn(a: ImagePoint, b: ImagePoint, p: ImagePoint): number {
  return Math.sign((b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x));
}

function isBetween(a: ImagePoint, b: ImagePoint, p: ImagePoint): boolean {
  return (
    Math.min(a.x, b.x) <= p.x && p.x <= Math.max(a.x, b.x) && Math.min(a.y, b.y) <= p.y && p.y <= Math.max(a.y, b.y)
  );
}

/** The corners of points that were clicked, without those that repeat the one before. */
export function dropRepeats(points: readonly ImagePoint[]): ImagePoint[] {
  return points.filter((point, i) => {
    const before = points[i - 1];
    return !before || before.x !== point.x || before.y !== point.y;
  });
}

export function ringOf(points: readonly ImagePoint[]): Ring {
  return points.flatMap((point) => [point.x, point.y]);
}
