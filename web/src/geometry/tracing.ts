/**
 * Outlines a mask along the edges of its pixels, as the server's imaging/tracing.py does: the corners of the outline, sorted by row,
 * pair up into its horizontal edges; sorted by column, into its vertical ones (O'Rourke 1988, "Uniqueness of orthogonal
 * connect-the-dots"). Following one kind and then the other walks each ring.
 */
import { type Mask, maskBounds } from "./masks";
import type { Ring } from "./points";

/** Rings with every corner, the outlines of holes too: drawn together by the even-odd rule they are the mask. */
export type Outlines = { readonly outer: readonly Ring[]; readonly holes: readonly Ring[] };

export function traceMask(mask: Mask): Outlines {
  const outer: Ring[] = [];
  const holes: Ring[] = [];
  const corners = findCorners(mask);
  const beside = pairUp(corners.map((_, index) => index));
  const below = pairUp(sortByColumn(corners));
  const visited = new Uint8Array(corners.length);
  for (let start = 0; start < corners.length; start++) {
    if (visited[start]) continue;
    const ring: number[] = [];
    for (let corner = start; !visited[corner]; ) {
      const partner = beside[corner] as number;
      visited[corner] = visited[partner] = 1;
      ring.push(...(corners[corner] as Corner), ...(corners[partner] as Corner));
      corner = below[partner] as number;
    }
    // The ring's topmost, then leftmost corner comes first: the pixel to its lower right tells inside from hole.
    const [x, y] = corners[start] as Corner;
    (mask.data[y * mask.width + x] && x < mask.width && y < mask.height ? outer : holes).push(ring);
  }
  return { outer, holes };
}

type Corner = readonly [number, number];

/** By rows; where two set pixels touch only diagonally the corner counts twice. */
function findCorners(mask: Mask): Corner[] {
  const bounds = maskBounds(mask);
  const corners: Corner[] = [];
  if (!bounds) return corners;
  const { width, height, data } = mask;
  const at = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < width && y < height ? (data[y * width + x] as number) : 0;
  for (let y = bounds[1]; y <= bounds[3]; y++) {
    for (let x = bounds[0]; x <= bounds[2]; x++) {
      const [a, b, c, d] = [at(x - 1, y - 1), at(x, y - 1), at(x - 1, y), at(x, y)];
      if ((a ^ b ^ c ^ d) === 1) corners.push([x, y]);
      else if (a === d && b === c && a !== b) corners.push([x, y], [x, y]);
    }
  }
  return corners;
}

function sortByColumn(corners: readonly Corner[]): number[] {
  const order = corners.map((_, index) => index);
  return order.sort((a, b) => {
    const [p, q] = [corners[a] as Corner, corners[b] as Corner];
    return p[0] - q[0] || p[1] - q[1] || a - b;
  });
}

/** Partner of each corner when neighbours 0-1, 2-3, ... of an order belong together. */
function pairUp(order: readonly number[]): Int32Array {
  const partners = new Int32Array(order.length);
  for (let i = 0; i + 1 < order.length; i += 2) {
    const [a, b] = [order[i] as number, order[i + 1] as number];
    partners[a] = b;
    partners[b] = a;
  }
  return partners;
}
