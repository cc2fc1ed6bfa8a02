/** Masks as pixels while they are painted: one byte a pixel, row by row, 0 or 1. Painting touches and reports only what the brush reaches. */
import type { BoxXyxy, ImagePoint, Size } from "./points";

export type Mask = Size & { readonly data: Uint8Array };

export function emptyMask(picture: Size): Mask {
  return { width: picture.width, height: picture.height, data: new Uint8Array(picture.width * picture.height) };
}

/**
 * Sets every pixel whose centre lies within `radius` of the line from one point to the next (a stroke of a round brush).
 * Returns the rectangle of whole pixels that changed, null where none did.
 */
export function paintStroke(
  mask: Mask,
  from: ImagePoint,
  to: ImagePoint,
  radius: number,
  value: 0 | 1,
): BoxXyxy | null {
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
  const bottom = Math.min(mask.height - 1, Math.ceil(Math.max(from.y, to.y) + radius));
  let changed: BoxXyxy | null = null;
  for (let row = top; row <= bottom; row++) {
    const span = strokeSpan(from, to, radius, row + 0.5);
    if (!span) continue;
    // A pixel belongs to the brush when its centre, half a pixel in, does.
    const left = Math.max(0, Math.ceil(span[0] - 0.5));
    const right = Math.min(mask.width - 1, Math.floor(span[1] - 0.5));
    const touched = fillRow(mask, row, left, right, value);
    if (touched) changed = widen(changed, touched[0], row, touched[1]);
  }
  return changed;
}

/** Where a horizontal line cuts a stroke: the hull of the discs at both ends and of the band between them. */
function strokeSpan(from: ImagePoint, to: ImagePoint, radius: number, y: number): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  const add = (a: number, b: number) => {
    if (a < low) low = a;
    if (b > high) high = b;
  };
  for (const end of [from, to]) {
    const square = radius * radius - (y - end.y) ** 2;
    if (square >= 0) add(end.x - Math.sqrt(square), end.x + Math.sqrt(square));
  }
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  if (length > 0) {
    // The band's four corners; the line cuts its outline where one of the four edges passes y.
    const [nx, ny] = [(-dy / length) * radius, (dx / length) * radius];
    const xs = [from.x + nx, to.x + nx, to.x - nx, from.x - nx];
    const ys = [from.y + ny, to.y + ny, to.y - ny, from.y - ny];
    for (let i = 0; i < 4; i++) {
      const [x0, y0] = [xs[i] as number, ys[i] as number];
      const [x1, y1] = [xs[(i + 1) % 4] as number, ys[(i + 1) % 4] as number];
      if (y0 === y1 || y < Math.min(y0, y1) || y > Math.max(y0, y1)) continue;
      const x = x0 + ((y - y0) / (y1 - y0)) * (x1 - x0);
      add(x, x);
    }
  }
  return low <= high ? [low, high] : null;
}

function fillRow(mask: Mask, row: number, left: number, right: number, value: 0 | 1): [number, number] | null {
  const start = row * mask.width;
  let [first, last] = [left, right];
  while (first <= last && mask.data[start + first] === value) first++;
  while (last >= first && mask.data[start + last] === value) last--;
  if (first > last) return null;
  mask.data.fill(value, start + first, start + last + 1);
  return [first, last];
}

function widen(box: BoxXyxy | null, left: number, row: number, right: number): BoxXyxy {
  if (!box) return [left, row, right + 1, row + 1];
  return [Math.min(box[0], left), Math.min(box[1], row), Math.max(box[2], right + 1), Math.max(box[3], row + 1)];
}

/** The smallest rectangle of whole pixels around all that are set; null for an empty mask. */
export function maskBounds(mask: Mask): BoxXyxy | null {
  let bounds: BoxXyxy | null = null;
  for (let row = 0; row < mask.height; row++) {
    const line = mask.data.subarray(row * mask.width, (row + 1) * mask.width);
    const left = line.indexOf(1);
    if (left >= 0) bounds = widen(bounds, left, row, line.lastIndexOf(1));
  }
  return bounds;
}

/** The mask moved by whole pixels onto a picture of any size; what falls outside is lost. */
export function shiftMask(mask: Mask, byX: number, byY: number, picture: Size): Mask {
  const moved = emptyMask(picture);
  const left = Math.max(0, -byX);
  const right = Math.min(mask.width, picture.width - byX);
  if (left >= right) return moved;
  for (let row = Math.max(0, -byY); row < Math.min(mask.height, picture.height - byY); row++) {
    const from = row * mask.width;
    moved.data.set(mask.data.subarray(from + left, from + right), (row + byY) * picture.width + left + byX);
  }
  return moved;
}
