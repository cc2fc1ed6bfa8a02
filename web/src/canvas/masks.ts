/**
 * A mask becomes a small picture once: see-through in its category's colour, cut to what it covers. Its border is a line along the
 * edges of its pixels, which hides none of them however near they are looked at; where that line would be long, the mask is large, and
 * the pixels of its border are nearly solid instead.
 */
import type { Mask } from "../geometry/masks";
import type { BoxXyxy } from "../geometry/points";
import { decodeMask, readRle } from "../geometry/rle";
import { traceMask } from "../geometry/tracing";
import type { MaskRle } from "../labels/annotation";
import { parseColour } from "./style";

export type MaskPicture = {
  readonly pixels: HTMLCanvasElement;
  readonly box: BoxXyxy;
  /** The line along its edges, in pixels of the picture; null: its border is in the pixels. */
  readonly outline: Path2D | null;
  /** About how thick it is, pixels. */
  readonly thickness: number;
  /** The pixel of the mask that is nearest to its middle. */
  readonly anchor: { readonly x: number; readonly y: number };
};

type Bits = { readonly width: number; readonly height: number; readonly bits: Uint8Array };

/** Of 255. */
export const MASK_OPACITY = 112;
const BORDER = 235;
/** A line of more pixels would be slow to draw. */
const LONGEST_LINE = 4000;
const GRAY = [138, 143, 152] as const;

export function makeMaskPicture(mask: MaskRle, colour: string | undefined): MaskPicture | null {
  const box = readRle(mask).bounds;
  if (!box) return null;
  const area = cutMask(decodeMask(mask), box);
  const { width, height, bits } = area;
  const pixels = document.createElement("canvas");
  pixels.width = width;
  pixels.height = height;
  const image = new ImageData(width, height);
  const [red, green, blue] = parseColour(colour ?? "") ?? GRAY;
  const border = findBorder(area);
  const hasLine = border.length <= LONGEST_LINE;
  for (let place = 0; place < bits.length; place += 1) {
    if (bits[place]) image.data.set([red, green, blue, MASK_OPACITY], 4 * place);
  }
  if (!hasLine) for (const place of border) image.data[4 * place + 3] = BORDER;
  pixels.getContext("2d")?.putImageData(image, 0, 0);
  const outline = hasLine ? tracePath(area, box) : null;
  return { pixels, box, outline, thickness: (2 * readRle(mask).area) / border.length, anchor: findAnchor(area, box) };
}

/** What the box holds, row by row. */
function cutMask(mask: Mask, [left, top, right, bottom]: BoxXyxy): Bits {
  const [width, height] = [right - left, bottom - top];
  const bits = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const start = (top + y) * mask.width + left;
    bits.set(mask.data.subarray(start, start + width), y * width);
  }
  return { width, height, bits };
}

function findBorder(area: Bits): readonly number[] {
  const border: number[] = [];
  for (let place = 0; place < area.bits.length; place += 1) {
    if (area.bits[place] && isBorder(area, place)) border.push(place);
  }
  return border;
}

function tracePath({ width, height, bits }: Bits, [left, top]: BoxXyxy): Path2D {
  const { outer, holes } = traceMask({ width, height, data: bits });
  const path = new Path2D();
  for (const ring of [...outer, ...holes]) {
    path.moveTo((ring[0] as number) + left, (ring[1] as number) + top);
    for (let at = 2; at < ring.length; at += 2)
      path.lineTo((ring[at] as number) + left, (ring[at + 1] as number) + top);
    path.closePath();
  }
  return path;
}

function isBorder({ width, height, bits }: Bits, place: number): boolean {
  const x = place % width;
  const y = (place - x) / width;
  if (x === 0 || y === 0 || x === width - 1 || y === height - 1) return true;
  return !(bits[place - 1] && bits[place + 1] && bits[place - width] && bits[place + width]);
}

function findAnchor({ width, height, bits }: Bits, [left, top]: BoxXyxy): { x: number; y: number } {
  let [best, nearest] = [0, Number.POSITIVE_INFINITY];
  for (let place = 0; place < bits.length; place += 1) {
    if (!bits[place]) continue;
    const x = place % width;
    const distance = (x - width / 2) ** 2 + ((place - x) / width - height / 2) ** 2;
    if (distance < nearest) [best, nearest] = [place, distance];
  }
  return { x: left + (best % width) + 0.5, y: top + Math.floor(best / width) + 0.5 };
}
