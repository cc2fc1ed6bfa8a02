/** Addresses of what the browser loads by itself, and of pages. A picture's address holds its blob's hash, so it never changes. */
import type { Item, Made } from "./types";

export type Shelf = Made["shelf"];

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

export function jobPath(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

/** The page of something that was made. A dataset and a deployment are known by their name, the rest by name and id. */
export function madePath(shelf: Shelf, name: string, id: string): string {
  if (shelf === "datasets") return datasetPath(name);
  if (shelf === "deployments") return `/deployments/${encodeURIComponent(name)}`;
  return `/${shelf}/${encodeURIComponent(name)}/${encodeURIComponent(id)}`;
}

/** A page, picture or table that a Model, Artifact or Report holds. */
export function fileUrl(shelf: "models" | "artifacts" | "reports", name: string, id: string, file: string): string {
  return `/v1/${shelf}/${encodeURIComponent(name)}/${encodeURIComponent(id)}/files/${encodeURI(file)}`;
}

function itemUrl(dataset: string, position: number): string {
  return `/v1/datasets/${encodeURIComponent(dataset)}/items/${position}`;
}
