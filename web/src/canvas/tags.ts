/**
 * Where the names of shapes stand. A name never covers another name, nor a small shape, which it would hide: it goes above its shape,
 * else inside, else below, else it is left out. Small shapes have no name at all until they are zoomed. Pure; CSS pixels at one
 * scale, from the picture's corner.
 */
import type { BoxXyxy } from "../geometry/points";

export type Tagged = {
  readonly id: string;
  readonly box: BoxXyxy;
  readonly text: string;
  readonly width: number;
  /** The topmost point of an outline, above which the name stands; null: the box's top left corner. */
  readonly peak: { readonly x: number; readonly y: number } | null;
  /** A name in the middle of this point instead, as masks have it where there is room: their box's corner may lie far from them. */
  readonly centre: { readonly x: number; readonly y: number } | null;
};

export type Tag = { readonly id: string; readonly text: string; readonly box: BoxXyxy };

export const TAG_HEIGHT = 16;
/** Shapes whose longer side is shorter have no name. */
const SMALLEST_NAMED = 26;
/** A shape with less area than so many of its neighbour's names is not to be hidden. */
const SMALL_AREA = 60 * 60;
const CELL = 64;

/** Later shapes lie above earlier ones, so their names are placed first. */
export function placeTags(shapes: readonly Tagged[]): readonly Tag[] {
  const taken = new Buckets();
  for (const shape of shapes) if (area(shape.box) < SMALL_AREA) taken.add(shape.box, shape.id);
  const tags: Tag[] = [];
  for (let index = shapes.length - 1; index >= 0; index -= 1) {
    const shape = shapes[index];
    if (!shape || longerSide(shape.box) < SMALLEST_NAMED) continue;
    const box = findPlaces(shape).find((place) => !taken.meets(place, shape.id));
    if (!box) continue;
    tags.push({ id: shape.id, text: shape.text, box });
    taken.add(box, "");
  }
  return tags;
}

function findPlaces({ box, width, peak, centre }: Tagged): readonly BoxXyxy[] {
  const [left, top, right, bottom] = box;
  if (centre) {
    const hasRoom = right - left >= 2 * width && bottom - top >= 3 * TAG_HEIGHT;
    if (hasRoom) return [place(centre.x - width / 2, centre.y - TAG_HEIGHT / 2, width)];
    // A name on a small one would hide it.
    const beside = (left + right - width) / 2;
    const below = place(beside, bottom + 2, width);
    return top >= TAG_HEIGHT ? [place(beside, top - TAG_HEIGHT - 2, width), below] : [below];
  }
  const places = [];
  const above = peak ? Math.max(left, Math.min(peak.x - width / 2, right - width)) : left - 1;
  if (top >= TAG_HEIGHT) places.push(place(above, top - TAG_HEIGHT - (peak ? 2 : 0), width));
  if (right - left > width + 8 && bottom - top > 3 * TAG_HEIGHT) places.push(place(left + 1, top + 1, width));
  places.push(place(left - 1, bottom, width));
  return places;
}

function place(left: number, top: number, width: number): BoxXyxy {
  return [Math.round(left), Math.round(top), Math.round(left + width), Math.round(top + TAG_HEIGHT)];
}

/** Boxes by the squares of a raster that they touch. */
class Buckets {
  readonly #cells = new Map<number, { readonly box: BoxXyxy; readonly owner: string }[]>();

  add(box: BoxXyxy, owner: string): void {
    for (const key of cellsOf(box)) {
      const cell = this.#cells.get(key);
      if (cell) cell.push({ box, owner });
      else this.#cells.set(key, [{ box, owner }]);
    }
  }

  /** Whether a box of another owner shares area with this one. */
  meets(box: BoxXyxy, owner: string): boolean {
    for (const key of cellsOf(box)) {
      if (this.#cells.get(key)?.some((other) => other.owner !== owner && overlap(other.box, box))) return true;
    }
    return false;
  }
}

function* cellsOf([left, top, right, bottom]: BoxXyxy): Generator<number> {
  for (let row = Math.floor(top / CELL); row <= Math.floor(bottom / CELL); row += 1) {
    for (let column = Math.floor(left / CELL); column <= Math.floor(right / CELL); column += 1)
      yield row * 65536 + column;
  }
}

function overlap(a: BoxXyxy, b: BoxXyxy): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function area([left, top, right, bottom]: BoxXyxy): number {
  return (right - left) * (bottom - top);
}

function longerSide([left, top, right, bottom]: BoxXyxy): number {
  return Math.max(right - left, bottom - top);
}
