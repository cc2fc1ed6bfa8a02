/** What a magic wand takes: the pixels that are joined to one by pixels of a similar colour. */
import type { Mask } from "./masks";

/** Pixels as a canvas gives them: four bytes each, red, green, blue and opacity, row by row. */
export type Pixels = { readonly width: number; readonly height: number; readonly data: Uint8ClampedArray };

/**
 * The pixel and what is joined to it (by edges, not corners) by pixels of which no channel differs by more than `tolerance` from the
 * mean of the 3 x 3 pixels around it: one noisy pixel does not decide.
 */
export function floodSimilar(pixels: Pixels, x: number, y: number, tolerance: number): Mask {
  const { width, height } = pixels;
  const mask = { width, height, data: new Uint8Array(width * height) };
  const isNear = nearTo(pixels, meanAround(pixels, x, y), tolerance);
  const fits = (at: number) => mask.data[at] === 0 && isNear(at);
  const waiting = [y * width + x];
  mask.data[y * width + x] = 1;
  // Whole spans of a row at a time: a pixel by itself would wait thrice.
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const start = at - (at % width);
    let [first, last] = [at, at];
    while (first > start && fits(first - 1)) mask.data[--first] = 1;
    while (last < start + width - 1 && fits(last + 1)) mask.data[++last] = 1;
    for (const row of [-width, width]) {
      if (start + row < 0 || start + row >= width * height) continue;
      for (let i = first + row; i <= last + row; i++) {
        if (!fits(i)) continue;
        mask.data[i] = 1;
        waiting.push(i);
      }
    }
  }
  return mask;
}

type Colour = readonly [number, number, number];

function meanAround({ width, height, data }: Pixels, x: number, y: number): Colour {
  const sums = [0, 0, 0];
  let count = 0;
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
      for (const channel of [0, 1, 2])
        sums[channel] = (sums[channel] as number) + (data[4 * (row * width + column) + channel] as number);
      count++;
    }
  }
  return sums.map((sum) => sum / count) as unknown as Colour;
}

function nearTo({ data }: Pixels, [red, green, blue]: Colour, tolerance: number): (at: number) => boolean {
  return (at) =>
    Math.abs((data[4 * at] as number) - red) <= tolerance &&
    Math.abs((data[4 * at + 1] as number) - green) <= tolerance &&
    Math.abs((data[4 * at + 2] as number) - blue) <= tolerance;
}
