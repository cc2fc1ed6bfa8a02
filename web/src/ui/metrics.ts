/** Names and values of what is measured, as the field writes them. */
import { formatValue } from "./chart/scale";

const NAMES: Readonly<Record<string, string>> = {
  map: "mAP50-95",
  map50: "mAP50",
  map75: "mAP75",
  map_small: "mAP, small",
  map_medium: "mAP, medium",
  map_large: "mAP, large",
  ar1: "AR1",
  ar10: "AR10",
  ar100: "AR100",
  ar_small: "AR, small",
  ar_medium: "AR, medium",
  ar_large: "AR, large",
  best_f1: "best F1",
  top1: "top-1 accuracy",
  top5: "top-5 accuracy",
  f1: "F1",
  miou: "mIoU",
  boundary_f: "boundary F",
  latency_ms_p50: "latency p50, ms",
  latency_ms_p99: "latency p99, ms",
  images_per_s: "pictures/s",
};

const PRIMARY: Readonly<Record<string, string>> = {
  classification: "top1",
  multilabel: "f1",
  detection: "map",
  instance: "map",
  semantic: "miou",
};

/** The name of a metric; what has no name of its own is shown as it is called. */
export function nameMetric(metric: string): string {
  return NAMES[metric] ?? metric.replaceAll("_", " ");
}

/** The name of the metric that decides for a task. */
export function namePrimary(task: string): string {
  return nameMetric(PRIMARY[task] ?? "metric");
}

/** Shares to three places, so that they stand in line; anything larger as a chart shows it. */
export function formatMetric(value: number | undefined): string {
  if (value === undefined) return "–";
  return Math.abs(value) <= 1 ? value.toFixed(3) : formatValue(value);
}
