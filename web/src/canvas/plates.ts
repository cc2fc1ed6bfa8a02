/** Names on plates of their categories' colours: how wide they are, which of them have room, and drawing one. */
import type { BoxXyxy } from "../geometry/points";
import { peakOf } from "./outline";
import type { Drawn } from "./scene";
import { anchorOf } from "./shapes";
import { lookOf, tagText } from "./style";
import { placeTags, TAG_HEIGHT, type Tag } from "./tags";

export const PLATE_FONT = "500 11px system-ui, -apple-system, 'Segoe UI', sans-serif";
const PADDING = 5;
const RADIUS = 3;
/** Longer names end in dots. */
const LONGEST = 28;

export type Plate = Tag & { readonly colour: string | undefined };
export type Boxed = { readonly drawn: Drawn; readonly box: BoxXyxy };

type Point = { readonly x: number; readonly y: number };

const widths = new Map<string, number>();
let ruler: CanvasRenderingContext2D | null = null;

/** The names that have room at this scale, in CSS pixels from the picture's corner. */
export function layOutPlates(shapes: readonly Boxed[], scale: number): readonly Plate[] {
  const colours = new Map<string, string | undefined>();
  const tagged = shapes.map(({ drawn: { id, annotation, colour }, box }) => {
    colours.set(id, colour);
    const text = shorten(tagText(annotation.category, annotation.confidence));
    const anchor = anchorOf(annotation, colour);
    return {
      id,
      text,
      box: [box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale] as const,
      width: plateWidth(text),
      peak: annotation.polygons ? scalePoint(peakOf(annotation.polygons), scale) : null,
      centre: anchor ? scalePoint(anchor, scale) : null,
    };
  });
  return placeTags(tagged).map((tag) => ({ ...tag, colour: colours.get(tag.id) }));
}

function scalePoint({ x, y }: Point, scale: number): Point {
  return { x: x * scale, y: y * scale };
}

/** The context's unit is a CSS pixel and its origin the picture's corner. */
export function drawPlate(context: CanvasRenderingContext2D, { box, text, colour }: Plate): void {
  const look = lookOf(colour);
  const [left, top, right, bottom] = box;
  context.beginPath();
  context.roundRect(left, top, right - left, bottom - top, RADIUS);
  context.fillStyle = look.stroke;
  context.fill();
  context.font = PLATE_FONT;
  context.textBaseline = "middle";
  context.fillStyle = look.letters;
  context.fillText(text, left + PADDING, (top + bottom) / 2 + 0.5);
}

export function plateWidth(text: string): number {
  const known = widths.get(text);
  if (known !== undefined) return known;
  ruler ??= document.createElement("canvas").getContext("2d");
  if (!ruler) return text.length * 7;
  ruler.font = PLATE_FONT;
  const width = Math.ceil(ruler.measureText(text).width) + 2 * PADDING;
  widths.set(text, width);
  return width;
}

export function shorten(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}

export const PLATE_HEIGHT = TAG_HEIGHT;
