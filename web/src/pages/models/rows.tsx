import { Link } from "react-router";
import { madePath } from "../../api/addresses";
import type { Artifact, Deployment, MeasuredReport, Model } from "../../api/types";
import { countOf, formatBytes, formatCount } from "../../ui/format";
import { formatMetric, nameMetric } from "../../ui/metrics";
import { Pill } from "../../ui/pill";
import table from "../../ui/table.module.css";
import { formatAgo } from "../../ui/time";
import { formatPoints } from "./gate";
import type { Column } from "./shelf-page";

export const MODEL_COLUMNS: readonly Column[] = [
  { name: "Model" },
  { name: "Metric", isNumber: true },
  { name: "Parameters", isNumber: true },
  { name: "Made" },
];

export function ModelRow({ model, now }: { model: Model; now: number }) {
  const { name, id, is_latest, task, network, primary, metrics, parameter_count, made_at, categories } = model;
  return (
    <tr>
      <th scope="row" className={table.main}>
        <Link to={madePath("models", name, id)}>{name}</Link>
        <p className={table.detail}>
          {task}, {network}, {countOf(categories.length, "category", "categories")}
          {!is_latest && ` · older, ${id.slice(0, 8)}`}
        </p>
      </th>
      <td className={table.number}>{primary ? <Metric name={primary} value={metrics[primary]} /> : "–"}</td>
      <td className={table.number}>{formatCount(parameter_count)}</td>
      <td className={table.soft}>{formatAgo(made_at, now)}</td>
    </tr>
  );
}

function Metric({ name, value }: { name: string; value: number | undefined }) {
  return (
    <>
      {formatMetric(value)}
      <p className={table.detail}>{nameMetric(name)}</p>
    </>
  );
}

export const ARTIFACT_COLUMNS: readonly Column[] = [
  { name: "Artifact" },
  { name: "Accuracy" },
  { name: "Change", isNumber: true },
  { name: "Size", isNumber: true },
  { name: "Made" },
];

export function ArtifactRow({ artifact, now }: { artifact: Artifact; now: number }) {
  const { name, id, is_latest, precision, device, engine, verified, report, size_bytes, made_at } = artifact;
  return (
    <tr>
      <th scope="row" className={table.main}>
        <Link to={madePath("artifacts", name, id)}>{name}</Link>
        <p className={table.detail}>
          {precision.toUpperCase()} for {device}, {engine}
          {!is_latest && ` · older, ${id.slice(0, 8)}`}
        </p>
      </th>
      <td>{verified ? <Pill tone="good">verified</Pill> : <Pill tone="warning">not verified</Pill>}</td>
      <td className={table.number}>{typeof report.change === "number" ? formatPoints(report.change) : "–"}</td>
      <td className={table.number}>{formatBytes(size_bytes)}</td>
      <td className={table.soft}>{formatAgo(made_at, now)}</td>
    </tr>
  );
}

export const DEPLOYMENT_COLUMNS: readonly Column[] = [
  { name: "Deployment" },
  { name: "Version", isNumber: true },
  { name: "Since" },
];

export function DeploymentRow({ deployment, now }: { deployment: Deployment; now: number }) {
  const { name, version, task, precision, device, engine, made_at } = deployment;
  return (
    <tr>
      <th scope="row" className={table.main}>
        <Link to={madePath("deployments", name, String(version))}>{name}</Link>
        <p className={table.detail}>
          {task}, {precision.toUpperCase()} on {device}, {engine}
        </p>
      </th>
      <td className={table.number}>{version}</td>
      <td className={table.soft}>{formatAgo(made_at, now)}</td>
    </tr>
  );
}

export const REPORT_COLUMNS: readonly Column[] = [
  { name: "Report" },
  { name: "Metric", isNumber: true },
  { name: "Latency p50, ms", isNumber: true },
  { name: "Pictures/s", isNumber: true },
  { name: "Made" },
];

export function ReportRow({ report, now }: { report: MeasuredReport; now: number }) {
  const { name, id, subject, dataset, split, precision, primary, metrics, made_at } = report;
  return (
    <tr>
      <th scope="row" className={table.main}>
        <Link to={madePath("reports", name, id)}>{name}</Link>
        <p className={table.detail}>
          {precision.toUpperCase()} {subject.kind} on {dataset ?? "pictures"},{" "}
          {split ? `split ${split}` : "all pictures"}
        </p>
      </th>
      <td className={table.number}>
        <Metric name={primary} value={metrics[primary]} />
      </td>
      <td className={table.number}>{formatMetric(metrics.latency_ms_p50)}</td>
      <td className={table.number}>{formatMetric(metrics.images_per_s)}</td>
      <td className={table.soft}>{formatAgo(made_at, now)}</td>
    </tr>
  );
}
