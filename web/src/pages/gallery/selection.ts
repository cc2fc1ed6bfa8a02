/** Which pictures are chosen, by position, with the blobs that tell whether they are still the same; changes give a new one. */
import type { Item } from "../../api/types";

export type Picture = Pick<Item, "position" | "blob">;

export type Selection = {
  /** Blobs by position. */
  readonly chosen: ReadonlyMap<number, string>;
  /** The place among the shown pictures from which a range is drawn. */
  readonly anchor: number | null;
};

export const NOTHING: Selection = { chosen: new Map(), anchor: null };

/** Chooses a picture, or no longer; ranges begin there. */
export function toggle(selection: Selection, items: readonly Picture[], place: number): Selection {
  const item = items[place];
  if (!item) return selection;
  const chosen = new Map(selection.chosen);
  if (!chosen.delete(item.position)) chosen.set(item.position, item.blob);
  return { chosen, anchor: place };
}

/** Chooses all from the anchor, or from `from` where there is none, to a place; what was chosen before stays. */
export function extend(selection: Selection, items: readonly Picture[], place: number, from = place): Selection {
  const anchor = selection.anchor ?? from;
  const [first, last] = anchor < place ? [anchor, place] : [place, anchor];
  const chosen = new Map(selection.chosen);
  for (const { position, blob } of items.slice(first, last + 1)) chosen.set(position, blob);
  return { chosen, anchor };
}

/** Chooses these, too. */
export function add(selection: Selection, items: readonly Picture[]): Selection {
  const chosen = new Map(selection.chosen);
  for (const { position, blob } of items) chosen.set(position, blob);
  return { ...selection, chosen };
}

/** As the server wants them, in order. */
export function toPictures({ chosen }: Selection): Picture[] {
  return [...chosen]
    .map(([position, blob]) => ({ position, blob }))
    .sort((one, other) => one.position - other.position);
}
