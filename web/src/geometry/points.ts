/**
 * Points and sizes. A point of the picture and a point of the screen are different types, so that one cannot stand where the
 * other is expected; `View` converts between them.
 */

declare const imageSpace: unique symbol;
declare const screenSpace: unique symbol;

/** Pixels of the upright picture, origin at its top left corner; fractions lie between pixels. */
export type ImagePoint = { readonly x: number; readonly y: number } & { readonly [imageSpace]: true };

/** CSS pixels of the canvas, origin at its top left corner. */
export type ScreenPoint = { readonly x: number; readonly y: number } & { readonly [screenSpace]: true };

export type Size = { readonly width: number; readonly height: number };

/** A rectangle in pixels of the picture: `[xMin, yMin, xMax, yMax]`, as the server has it. */
export type BoxXyxy = readonly [number, number, number, number];

/** A closed outline in pixels of the picture: `[x0, y0, x1, y1, ...]`, at least three points, the first not repeated. */
export type Ring = readonly number[];

export function imagePoint(x: number, y: number): ImagePoint {
  return { x, y } as ImagePoint;
}

export function screenPoint(x: number, y: number): ScreenPoint {
  return { x, y } as ScreenPoint;
}

/** Between two points of one space, in its unit. */
export function distance<Point extends ImagePoint | ScreenPoint>(a: Point, b: Point): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
