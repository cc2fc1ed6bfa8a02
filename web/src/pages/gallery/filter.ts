/** The gallery's filter as the address holds it, so that a link, a reload and the editor see the same pictures. */
import type { ItemFilter } from "../../api/hooks";
import type { ItemState } from "../../api/types";

export const STATES: readonly ItemState[] = ["labelled", "proposed", "unlabelled"];

/** The filter of an address; words that no filter has are left out. */
export function readFilter(search: URLSearchParams): ItemFilter {
  const state = STATES.find((known) => known === search.get("state"));
  const filter: ItemFilter = {};
  if (state) filter.state = state;
  for (const key of ["category", "split", "video", "search"] as const) {
    const value = search.get(key);
    if (value) filter[key] = value;
  }
  return filter;
}

/** The address's words of a filter, in one order, without those that let all through. */
export function writeFilter(filter: ItemFilter): URLSearchParams {
  const search = new URLSearchParams();
  for (const key of ["state", "category", "split", "video", "search"] as const) {
    const value = filter[key];
    if (value) search.set(key, value);
  }
  return search;
}

export function isFiltering(filter: ItemFilter): boolean {
  return writeFilter(filter).size > 0;
}
