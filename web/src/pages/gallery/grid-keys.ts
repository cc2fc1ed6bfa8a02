/** Where a key leads in a grid of cells that run from left to right and then down, and what it chooses there. */

export type GridShape = {
  readonly count: number;
  readonly columns: number;
  /** Whole rows that the window shows: what one page is. */
  readonly rowsShown: number;
};

/** The place that a key leads to from `place`, or null where the key means nothing here. */
export function moveByKey(key: string, place: number, { count, columns, rowsShown }: GridShape): number | null {
  const step = stepOf(key, columns, rowsShown);
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (step === null) return null;
  const next = place + step;
  // A step down or up that leaves the grid stays, except down into a last row that is shorter.
  if (next < 0) return Math.abs(step) === 1 ? 0 : place % columns;
  if (next >= count) return Math.abs(step) === 1 || lastRow(place, columns, count) ? place : count - 1;
  return next;
}

function stepOf(key: string, columns: number, rowsShown: number): number | null {
  if (key === "ArrowRight") return 1;
  if (key === "ArrowLeft") return -1;
  if (key === "ArrowDown") return columns;
  if (key === "ArrowUp") return -columns;
  if (key === "PageDown") return columns * Math.max(1, rowsShown - 1);
  if (key === "PageUp") return -columns * Math.max(1, rowsShown - 1);
  return null;
}

function lastRow(place: number, columns: number, count: number): boolean {
  return Math.floor(place / columns) === Math.floor((count - 1) / columns);
}

export type Chord = { readonly key: string; readonly ctrlKey: boolean; readonly metaKey: boolean };

/** What a key chooses: the cell in focus or no longer, all cells, none; null where it means nothing of the kind. */
export function chooseByKey({ key, ctrlKey, metaKey }: Chord): "one" | "all" | "none" | null {
  if (ctrlKey || metaKey) return key.toLowerCase() === "a" ? "all" : null;
  if (key === " ") return "one";
  return key === "Escape" ? "none" : null;
}
