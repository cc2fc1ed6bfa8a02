/**
 * A uniform grid over rectangles: which of them may lie at a point or in a rectangle, without looking at all. Each rectangle is
 * entered in every cell that it touches, except the very large ones, which stand in a list of their own that every query reads.
 */
import { boxesMeet } from "./boxes";
import type { BoxXyxy, Size } from "./points";

const CELLS_ACROSS = 64;
/** A rectangle over more cells than this is cheaper to look at in every query than to enter everywhere. */
const MAX_CELLS = 256;

type Entry = { readonly box: BoxXyxy; readonly cells: readonly number[] | null };

export class BoundsGrid {
  readonly #cell: number;
  readonly #across: number;
  readonly #down: number;
  readonly #cells = new Map<number, Set<string>>();
  readonly #large = new Set<string>();
  readonly #entries = new Map<string, Entry>();
  /** So many entries were looked at by all queries so far; tests hold it against the number of entries. */
  looked = 0;

  constructor(extent: Size) {
    this.#cell = Math.max(1, extent.width, extent.height) / CELLS_ACROSS;
    this.#across = Math.max(1, Math.ceil(extent.width / this.#cell));
    this.#down = Math.max(1, Math.ceil(extent.height / this.#cell));
  }

  get size(): number {
    return this.#entries.size;
  }

  boxOf(id: string): BoxXyxy | undefined {
    return this.#entries.get(id)?.box;
  }

  set(id: string, box: BoxXyxy): void {
    this.delete(id);
    const cells = this.#cellsOf(box);
    this.#entries.set(id, { box, cells });
    if (!cells) {
      this.#large.add(id);
      return;
    }
    for (const cell of cells) {
      const there = this.#cells.get(cell);
      if (there) there.add(id);
      else this.#cells.set(cell, new Set([id]));
    }
  }

  delete(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    this.#large.delete(id);
    for (const cell of entry.cells ?? []) {
      const there = this.#cells.get(cell);
      there?.delete(id);
      if (there?.size === 0) this.#cells.delete(cell);
    }
  }

  /** Ids of the rectangles that share a point with this one, in no order, each once. */
  query(box: BoxXyxy): Set<string> {
    const found = new Set<string>();
    const look = (ids: ReadonlySet<string>) => {
      for (const id of ids) {
        this.looked++;
        const entry = this.#entries.get(id);
        if (entry && boxesMeet(entry.box, box)) found.add(id);
      }
    };
    look(this.#large);
    const { x0, y0, x1, y1 } = this.#span(box);
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const ids = this.#cells.get(y * this.#across + x);
        if (ids) look(ids);
      }
    }
    return found;
  }

  #cellsOf(box: BoxXyxy): number[] | null {
    const { x0, y0, x1, y1 } = this.#span(box);
    if ((x1 - x0 + 1) * (y1 - y0 + 1) > MAX_CELLS) return null;
    const cells: number[] = [];
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) cells.push(y * this.#across + x);
    return cells;
  }

  // What lies outside the extent counts to the cells of the border, so nothing is ever lost.
  #span(box: BoxXyxy): { x0: number; y0: number; x1: number; y1: number } {
    const column = (x: number) => Math.min(this.#across - 1, Math.max(0, Math.floor(x / this.#cell)));
    const row = (y: number) => Math.min(this.#down - 1, Math.max(0, Math.floor(y / this.#cell)));
    return { x0: column(box[0]), y0: row(box[1]), x1: column(box[2]), y1: row(box[3]) };
  }
}
