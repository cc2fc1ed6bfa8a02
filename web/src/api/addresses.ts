/** Addresses of what the browser loads by itself, and of pages. A picture's address holds its blob's hash, so it never changes. */
import type { Item } from "./types";

type Picture = Pick<Item, "position" | "blob">;

export function thumbnailUrl(dataset: string, item: Picture, size = 256): string {
  return `${itemUrl(dataset, item.position)}/thumbnail?blob=${item.blob}&size=${size}`;
}

export function pictureUrl(dataset: string, item: Picture): string {
  return `${itemUrl(dataset, item.position)}/picture?blob=${item.blob}`;
}

export function datasetPath(dataset: string): string {
  return `/datasets/${encodeURIComponent(dataset)}`;
}

/** The editor's page of one picture; `search` keeps the gallery's filter. */
export function labelPath(dataset: string, position: number, search = ""): string {
  return `${datasetPath(dataset)}/label/${position}${search && `?${search.replace(/^\?/, "")}`}`;
}

function itemUrl(dataset: string, position: number): string {
  return `/v1/datasets/${encodeURIComponent(dataset)}/items/${position}`;
}
