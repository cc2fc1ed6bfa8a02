/** Finding categories by what is typed of their names. Pure. */
import type { Category } from "../../labels/annotation";

export type Found = {
  /** With their places, in the order of the dataset, which is that of the number keys. */
  readonly rows: readonly { readonly category: Category; readonly place: number }[];
  /** What Enter means: the name itself, else one that begins with it, else the first that has it. */
  readonly best: Category | null;
  /** A name that could be added; null: nothing is typed, or there is one. */
  readonly addable: string | null;
};

export function findCategories(categories: readonly Category[], typed: string): Found {
  const name = typed.trim();
  const wanted = name.toLowerCase();
  const rows = categories
    .map((category, place) => ({ category, place }))
    .filter(({ category }) => category.name.toLowerCase().includes(wanted));
  const named = (fits: (name: string) => boolean) => rows.find(({ category }) => fits(category.name.toLowerCase()));
  const best = named((one) => one === wanted) ?? named((one) => one.startsWith(wanted)) ?? rows[0];
  const isKnown = categories.some((category) => category.name === name);
  return { rows, best: (name && best?.category) || null, addable: name && !isKnown ? name : null };
}
