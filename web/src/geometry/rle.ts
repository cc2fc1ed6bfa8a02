/**
 * COCO's run-length code for masks, as the server's imaging/rle.py has it: runs down the columns, alternating 0 and 1 and beginning
 * with 0; from the fourth run on the difference to the run two before is stored; five bits a character, lowest first, a sixth bit
 * while more follow, two's complement, offset by 48 (Lin et al. 2014, `rleToString` in maskApi.c).
 */
import { emptyMask, type Mask, maskBounds } from "./masks";
import type { BoxXyxy, Size } from "./points";

/** A mask in this code, of the picture's size. */
export type MaskRle = Size & { readonly counts: string };

const FIRST_CHARACTER = 48;

/** Run lengths as COCO's string; their sum is the number of pixels. */
export function packRuns(runs: readonly number[]): string {
  const codes: number[] = [];
  for (let i = 0; i < runs.length; i++) {
    let value = (runs[i] as number) - (i > 2 ? (runs[i - 2] as number) : 0);
    for (let more = true; more; ) {
      // Not bit operations: a run of a very large picture may exceed 32 bits while differences keep their sign.
      const bits = ((value % 32) + 32) % 32;
      value = Math.floor(value / 32);
      more = bits & 16 ? value !== -1 : value !== 0;
      codes.push(FIRST_CHARACTER + bits + (more ? 32 : 0));
    }
  }
  return codes.map((code) => String.fromCharCode(code)).join("");
}

/** The run lengths of a mask; throws RangeError for a string that is no such code or whose runs do not fill height x width. */
export function unpackRuns(rle: MaskRle): number[] {
  const runs: number[] = [];
  let sum = 0;
  for (let at = 0; at < rle.counts.length; ) {
    let [value, weight, group] = [0, 1, 0];
    do {
      group = rle.counts.charCodeAt(at++) - FIRST_CHARACTER;
      if (!(group >= 0 && group <= 63)) throw brokenCode(rle);
      value += (group & 31) * weight;
      weight *= 32;
    } while (group & 32);
    if (group & 16) value -= weight;
    if (runs.length > 2) value += runs[runs.length - 2] as number;
    if (value < 0) throw brokenCode(rle);
    runs.push(value);
    sum += value;
  }
  if (sum !== rle.height * rle.width) throw brokenCode(rle);
  return runs;
}

function brokenCode(rle: MaskRle): RangeError {
  return new RangeError(
    `expected a COCO run-length string of ${rle.height} x ${rle.width} pixels, got '${rle.counts.slice(0, 20)}'; encode the mask again`,
  );
}

export function encodeMask(mask: Mask): MaskRle {
  const { width, height, data } = mask;
  const bounds = maskBounds(mask);
  if (!bounds) return { height, width, counts: packRuns(width * height === 0 ? [0] : [width * height]) };
  const [left, top, right, bottom] = bounds;
  const runs: number[] = [];
  // Only what the bounds hold is read: around them lie zeros, whose number is known.
  let [run, value] = [left * height, 0];
  const addZeros = (count: number) => {
    if (value === 1 && count > 0) {
      runs.push(run);
      [run, value] = [0, 0];
    }
    run += count;
  };
  for (let x = left; x < right; x++) {
    addZeros(top);
    for (let y = top; y < bottom; y++) {
      const pixel = data[y * width + x] as number;
      if (pixel !== value) {
        runs.push(run);
        run = 0;
        value = pixel;
      }
      run++;
    }
    addZeros(height - bottom);
  }
  addZeros((width - right) * height);
  runs.push(run);
  return { height, width, counts: packRuns(runs) };
}

export function decodeMask(rle: MaskRle): Mask {
  const mask = emptyMask(rle);
  for (const { x, top, bottom } of columnRuns(unpackRuns(rle), rle.height)) {
    for (let y = top; y < bottom; y++) mask.data[y * rle.width + x] = 1;
  }
  return mask;
}

/** The set pixels, a piece of one column at a time. */
function* columnRuns(runs: readonly number[], height: number): Generator<{ x: number; top: number; bottom: number }> {
  let at = 0;
  for (let i = 0; i < runs.length; i++) {
    const end = at + (runs[i] as number);
    if (i % 2 === 1) {
      for (let from = at; from < end; ) {
        const x = Math.floor(from / height);
        const to = Math.min(end, (x + 1) * height);
        yield { x, top: from - x * height, bottom: to - x * height };
        from = to;
      }
    }
    at = end;
  }
}

/** What is asked of a mask again and again, found once: where its runs end, its bounds and its area. */
export type RleFacts = { readonly ends: Float64Array; readonly bounds: BoxXyxy | null; readonly area: number };

const known = new WeakMap<MaskRle, RleFacts>();

export function readRle(rle: MaskRle): RleFacts {
  let facts = known.get(rle);
  if (!facts) {
    facts = findFacts(rle);
    known.set(rle, facts);
  }
  return facts;
}

function findFacts(rle: MaskRle): RleFacts {
  const runs = unpackRuns(rle);
  const ends = new Float64Array(runs.length);
  let [end, area] = [0, 0];
  for (let i = 0; i < runs.length; i++) {
    end += runs[i] as number;
    ends[i] = end;
    if (i % 2 === 1) area += runs[i] as number;
  }
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, top, bottom } of columnRuns(runs, rle.height)) {
    [x0, x1] = [Math.min(x0, x), Math.max(x1, x + 1)];
    [y0, y1] = [Math.min(y0, top), Math.max(y1, bottom)];
  }
  return { ends, area, bounds: area > 0 ? [x0, y0, x1, y1] : null };
}

/** Whether the pixel that holds this point is set, without decoding the mask. */
export function rleContains(rle: MaskRle, x: number, y: number): boolean {
  if (x < 0 || y < 0 || x >= rle.width || y >= rle.height) return false;
  const at = Math.floor(x) * rle.height + Math.floor(y);
  const { ends } = readRle(rle);
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] as number) > at) high = middle;
    else low = middle + 1;
  }
  return low % 2 === 1;
}
