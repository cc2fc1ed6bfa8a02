/** How shapes look: from a category's colour to strokes, fills and letters that stay readable on it. Pure. */

import { boxHeight, boxWidth } from "../geometry/boxes";
import type { BoxXyxy } from "../geometry/points";

export type Look = {
  readonly stroke: string;
  readonly fill: string;
  readonly marked: string;
  readonly letters: string;
};

/** CSS pixels. */
export const LINE_WIDTH = 1.5;
export const MARKED_LINE_WIDTH = 2.5;
/** Shapes of which no side is longer, CSS pixels, are a ring around themselves: an outline would hide them. */
const TINY = 4;
export const MARKER_RADIUS = 7;
/** Shapes that are thinner, CSS pixels, have thinner lines. */
const THIN = 12;
const THINNEST_LINE = 0.5;
/** What a model proposed is dashed until a person accepts it. */
export const DASH = [5, 3] as const;

const UNKNOWN = "#8a8f98";
const FILL_OPACITY = 0.16;
const MARKED_OPACITY = 0.38;
const looks = new Map<string, Look>();

/** The look of a colour "#rrggbb"; other words give gray. */
export function lookOf(colour: string | undefined): Look {
  const known = looks.get(colour ?? UNKNOWN);
  if (known) return known;
  const rgb = parseColour(colour ?? UNKNOWN) ?? [138, 143, 152];
  const triple = rgb.join(",");
  const look = {
    stroke: `rgb(${triple})`,
    fill: `rgba(${triple},${FILL_OPACITY})`,
    marked: `rgba(${triple},${MARKED_OPACITY})`,
    letters: luminance(rgb) > 0.18 ? "#101010" : "#ffffff",
  };
  looks.set(colour ?? UNKNOWN, look);
  return look;
}

/** Whether a shape is too small to be seen below its own outline; `scale` is CSS pixels per pixel. */
export function isTiny(box: BoxXyxy, scale: number): boolean {
  return Math.max(boxWidth(box), boxHeight(box)) * scale < TINY;
}

/** How wide the line around a shape is whose thinner side has so many CSS pixels: it must not hide what it encloses. */
export function lineWidth(thickness: number, isMarked: boolean): number {
  const width = isMarked ? MARKED_LINE_WIDTH : LINE_WIDTH;
  return Math.max(THINNEST_LINE, width * Math.min(1, thickness / THIN));
}

export function parseColour(colour: string): readonly [number, number, number] | null {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour);
  if (!match) return null;
  const [, red = "", green = "", blue = ""] = match;
  return [Number.parseInt(red, 16), Number.parseInt(green, 16), Number.parseInt(blue, 16)];
}

/** WCAG 2.2's relative luminance, 0..1; black and white letters are equally readable at 0.18. */
export function luminance(rgb: readonly [number, number, number]): number {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** "dent", or "dent 87 %" of a model's proposal. */
export function tagText(category: string, confidence: number | null | undefined): string {
  return confidence === null || confidence === undefined ? category : `${category} ${Math.round(confidence * 100)} %`;
}

/** "120 × 48": how wide and high a box is, pixels of the picture. */
export function sizeText(box: BoxXyxy | null): string {
  return box ? `${Math.round(boxWidth(box))} × ${Math.round(boxHeight(box))}` : "";
}
