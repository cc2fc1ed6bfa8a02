/** The report of an import as a page shows it: a row for each kind of thing. */
import type { Report } from "../../api/types";
import { formatCount } from "../../ui/format";

export type ReportRow = {
  readonly kind: string;
  readonly kept: string;
  readonly changed: string;
  readonly dropped: string;
};

export function toRows({ kept, changed, dropped }: Report): ReportRow[] {
  const kinds = [...new Set([...Object.keys(kept), ...Object.keys(changed), ...Object.keys(dropped)])];
  return kinds.map((kind) => ({
    kind: pluralOf(kind),
    kept: formatCount(kept[kind] ?? 0),
    changed: formatCount(changed[kind] ?? 0),
    dropped: formatCount(dropped[kind] ?? 0),
  }));
}

/** The report's kinds in words of the pages, more than one. */
export function pluralOf(kind: string): string {
  if (kind === "image") return "pictures";
  return kind === "category" ? "categories" : `${kind}s`;
}
