import { Link } from "react-router";
import { datasetPath, madePath, type Shelf } from "../../api/addresses";
import type { Job } from "../../api/types";
import { type Fact, Facts } from "../../ui/facts";
import { Card } from "../../ui/page";
import { formatDuration, formatMoment, secondsBetween } from "../../ui/time";
import { shortenReference } from "./words";

const SHELVES: Readonly<Record<string, Shelf>> = { dataset: "datasets", model: "models", artifact: "artifacts" };
// The arguments that are shown, in this order.
const ARGUMENTS = [
  "dataset",
  "task",
  "model",
  "artifact",
  "subject",
  "with",
  "device",
  "precision",
  "max_drop",
  "split",
  "confidence_threshold",
  "budget",
  "seed",
];

/** With what the job was asked for, by whom, and when. */
export function JobFacts({ job }: { job: Job }) {
  const took = job.started_at && job.ended_at ? formatDuration(secondsBetween(job.started_at, job.ended_at)) : null;
  const times: Fact[] = [
    ["Asked by", job.author],
    ["Asked", formatMoment(job.created_at)],
    ["Started", job.started_at && formatMoment(job.started_at)],
    ["Ended", job.ended_at && formatMoment(job.ended_at)],
    ["Took", took],
    ["Restarts", job.restarts || null],
  ];
  const values = ARGUMENTS.flatMap((name): Fact[] => {
    const value = job.arguments[name];
    if (value === undefined || value === null) return [];
    return [[describeName(name), <Value key={name} kind={job.kind} name={name} value={value} />]];
  });
  return (
    <Card title="Job">
      <Facts facts={[...values, ...settingsOf(job), ...times]} />
    </Card>
  );
}

function describeName(name: string): string {
  const words = name.replaceAll("_", " ");
  return `${words[0]?.toUpperCase() ?? ""}${words.slice(1)}`;
}

function settingsOf(job: Job): Fact[] {
  const { set } = job.arguments;
  return typeof set === "object" && set !== null
    ? Object.entries(set).map(([name, value]) => [describeName(name), JSON.stringify(value)])
    : [];
}

/** An argument; what names something that has a page is the way there. */
function Value({ kind, name, value }: { kind: Job["kind"]; name: string; value: unknown }) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const [thing, id] = text.split("@");
  const shelf = SHELVES[name];
  // Of a training, `model` is a network's name.
  if (!shelf || !thing || (kind === "train" && name === "model")) return shortenReference(text);
  if (shelf === "datasets") return <Link to={datasetPath(thing)}>{shortenReference(text)}</Link>;
  return id ? <Link to={madePath(shelf, thing, id)}>{shortenReference(text)}</Link> : text;
}
