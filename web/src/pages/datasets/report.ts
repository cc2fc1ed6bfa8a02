/** The report of an import as a page shows it, from the JSON that the server sends (`data.conversion.ConversionReport.to_dict`). */
import { formatCount } from "../../ui/format";

export type Finding = {
  readonly kind: string;
  readonly outcome: string;
  readonly reason: string;
  readonly count: number;
  readonly examples: readonly string[];
};
export type ReportRow = {
  readonly kind: string;
  readonly kept: string;
  readonly changed: string;
  readonly dropped: string;
};

const NAMES: Readonly<Record<string, string>> = { image: "pictures", category: "categories" };

export function readReport(report: Readonly<Record<string, unknown>>): {
  rows: ReportRow[];
  findings: readonly Finding[];
} {
  const [kept, changed, dropped] = [toCounts(report.kept), toCounts(report.changed), toCounts(report.dropped)];
  const kinds = [...new Set([...Object.keys(kept), ...Object.keys(changed), ...Object.keys(dropped)])];
  const rows = kinds.map((kind) => ({
    kind: NAMES[kind] ?? `${kind}s`,
    kept: formatCount(kept[kind] ?? 0),
    changed: formatCount(changed[kind] ?? 0),
    dropped: formatCount(dropped[kind] ?? 0),
  }));
  return { rows, findings: Array.isArray(report.findings) ? (report.findings as Finding[]) : [] };
}

function toCounts(counts: unknown): Record<string, number> {
  return typeof counts === "object" && counts !== null ? (counts as Record<string, number>) : {};
}
