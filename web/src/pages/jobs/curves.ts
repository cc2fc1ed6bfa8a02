/** The curves of a training, from what its job told, or from the file that its Model keeps. */
import type { JobEvent } from "../../api/types";
import type { ChartPoint } from "../../ui/chart/scale";

export type Curves = {
  readonly loss: readonly ChartPoint[];
  readonly rate: readonly ChartPoint[];
  /** The metric of each validation, and the best until then. */
  readonly metric: readonly ChartPoint[];
  readonly best: readonly ChartPoint[];
};

type Row = { readonly step: number; readonly loss?: number; readonly learning_rate?: number; readonly metric?: number };

/** Curves over the steps. A job that began again, or went on from a checkpoint, passes steps twice: what it told last counts. */
export function toCurves(events: readonly Pick<JobEvent, "metrics">[]): Curves {
  return fold(
    events.flatMap(({ metrics }) => (metrics.step === undefined ? [] : [{ ...metrics, step: metrics.step }])),
  );
}

/** The curves in a Model's `curve.jsonl`; lines that are no JSON are passed over. */
export function parseCurves(text: string): Curves {
  const rows: Row[] = [];
  for (const line of text.split("\n")) {
    try {
      const row = JSON.parse(line);
      if (typeof row?.step === "number") rows.push(row);
    } catch {
      // a line that is not whole
    }
  }
  return fold(rows);
}

function fold(rows: readonly Row[]): Curves {
  const loss: ChartPoint[] = [];
  const rate: ChartPoint[] = [];
  const metric: ChartPoint[] = [];
  for (const row of rows) {
    push(loss, row.step, row.loss);
    push(rate, row.step, row.learning_rate);
    push(metric, row.step, row.metric);
  }
  let most = Number.NEGATIVE_INFINITY;
  const best = metric.map(({ x, y }) => {
    most = Math.max(most, y);
    return { x, y: most };
  });
  return { loss, rate, metric, best };
}

function push(points: ChartPoint[], x: number, y: number | undefined): void {
  if (typeof y !== "number") return;
  while (points.length > 0 && (points.at(-1)?.x ?? 0) >= x) points.pop();
  points.push({ x, y });
}
