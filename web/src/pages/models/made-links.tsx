import { Link } from "react-router";
import { madePath } from "../../api/addresses";
import type { Artifact, Deployment, MeasuredReport } from "../../api/types";
import { formatMetric, nameMetric } from "../../ui/metrics";
import { Card } from "../../ui/page";
import { formatPoints } from "./gate";
import styles from "./made-links.module.css";

type Row = { readonly key: string; readonly path: string; readonly name: string; readonly note: string };

/** What was made of something, as links; nothing at all where nothing was. */
function LinkList({ title, rows }: { title: string; rows: readonly Row[] }) {
  if (rows.length === 0) return null;
  return (
    <Card title={title}>
      <ul className={styles.list}>
        {rows.map(({ key, path, name, note }) => (
          <li key={key}>
            <Link to={path}>{name}</Link>
            <span>{note}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

export function ArtifactLinks({ artifacts }: { artifacts: readonly Artifact[] }) {
  const rows = artifacts.map(({ name, id, precision, device, report }) => ({
    key: `${name}@${id}`,
    path: madePath("artifacts", name, id),
    name,
    note: [
      `${precision.toUpperCase()} for ${device}`,
      typeof report.change === "number" ? formatPoints(report.change) : "",
    ]
      .filter(Boolean)
      .join(", "),
  }));
  return <LinkList title="Compiled into" rows={rows} />;
}

export function DeploymentLinks({ deployments }: { deployments: readonly Deployment[] }) {
  const rows = deployments.map(({ name, version }) => ({
    key: name,
    path: madePath("deployments", name, String(version)),
    name,
    note: `version ${version}`,
  }));
  return <LinkList title="Answers as" rows={rows} />;
}

export function ReportLinks({ reports }: { reports: readonly MeasuredReport[] }) {
  const rows = reports.map(({ name, id, primary, metrics, split }) => ({
    key: id,
    path: madePath("reports", name, id),
    name,
    note: `${nameMetric(primary)} ${formatMetric(metrics[primary])} on ${split ?? "all pictures"}`,
  }));
  return <LinkList title="Measured" rows={rows} />;
}
