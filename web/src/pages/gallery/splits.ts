/** The splits that pictures can be put into. */

/** How the server counts pictures without one. */
export const NO_SPLIT = "unsplit";
const USUAL = ["train", "val", "test"];

/** The usual ones and those that the dataset has, and none at the end. */
export function listSplits(counts: Readonly<Record<string, number>>): string[] {
  const others = Object.keys(counts).filter((split) => split !== NO_SPLIT && !USUAL.includes(split));
  return [...USUAL, ...others, NO_SPLIT];
}
