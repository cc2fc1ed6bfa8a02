/** What jobs are called and what they do, in words. */
import type { Job, JobKind, Made } from "../../api/types";
import { countOf } from "../../ui/format";
import type { IconName } from "../../ui/icon";
import { formatAgo, formatDuration, secondsBetween } from "../../ui/time";

export const KINDS: Readonly<Record<JobKind, { name: string; icon: IconName }>> = {
  train: { name: "Train", icon: "train" },
  compile: { name: "Compile", icon: "compile" },
  deploy: { name: "Deploy", icon: "deploy" },
  measure: { name: "Measure", icon: "measure" },
  annotate: { name: "Propose labels", icon: "propose" },
};

const STATES: Readonly<Record<Job["state"], string>> = {
  queued: "waiting",
  waiting_for_device: "waiting for a free device",
  running: "running",
  succeeded: "done",
  failed: "failed",
  cancelled: "cancelled",
};

type Arguments = Job["arguments"];

function word(values: Arguments, name: string): string {
  const value = values[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** The name of "NAME@ID". */
export function nameOf(reference: string): string {
  return reference.split("@")[0] ?? reference;
}

/** "NAME@ID" with as much of the id as tells versions apart. */
export function shortenReference(reference: string): string {
  const [name, id] = reference.split("@");
  return id ? `${name}@${id.slice(0, 8)}` : (name ?? "");
}

/** "Train parts-fast": the verb and the thing. */
export function titleOf({ kind, arguments: values }: Pick<Job, "kind" | "arguments">): string {
  const subject = {
    train: word(values, "name") || nameOf(word(values, "dataset")),
    compile: word(values, "name") || nameOf(word(values, "model")),
    deploy: word(values, "name") || nameOf(word(values, "artifact")),
    measure: nameOf(word(values, "subject")),
    annotate: `for ${word(values, "dataset")}`,
  }[kind];
  return `${KINDS[kind].name} ${subject}`;
}

/** "detection on parts@8353, 10min": with what. */
export function detailOf({ kind, arguments: values }: Pick<Job, "kind" | "arguments">): string {
  const reference = (name: string) => shortenReference(word(values, name));
  switch (kind) {
    case "train":
      return `${word(values, "task")} on ${reference("dataset")}, ${word(values, "model")} model, ${word(values, "budget")}`;
    case "compile":
      return `${reference("model")} in ${word(values, "precision").toUpperCase() || "the best precision"} for ${word(values, "device")}`;
    case "deploy":
      return reference("artifact");
    case "measure":
      return `on ${reference("dataset")}, ${values.split === null ? "all pictures" : `split ${word(values, "split")}`}`;
    case "annotate":
      return `with ${reference("with")}`;
  }
}

/** The state in words; a job that was asked to end says so until it has. */
export function stateOf({ state, asked }: Pick<Job, "state" | "asked">): string {
  if (state === "running" && asked) return asked === "stop" ? "stopping" : "cancelling";
  return STATES[state];
}

/** Since when, or how long it took: "for 3 min", "2 h ago, took 5 min". */
export function sinceOf(job: Pick<Job, "state" | "created_at" | "started_at" | "ended_at">, now: number): string {
  if (job.ended_at) {
    const took = job.started_at ? `, took ${formatDuration(secondsBetween(job.started_at, job.ended_at))}` : "";
    return `${formatAgo(job.ended_at, now)}${took}`;
  }
  if (job.started_at) return `for ${formatDuration(secondsBetween(job.started_at, now))}`;
  return `asked ${formatAgo(job.created_at, now)}`;
}

/** Running jobs first, then those that wait, in the order they came, then what has ended, the newest first; each once. */
export function orderJobs(running: readonly Job[], listed: readonly Job[]): Job[] {
  const jobs = [...new Map([...running, ...listed].map((job) => [job.id, job])).values()];
  const isWaiting = ({ state }: Job) => state === "queued" || state === "waiting_for_device";
  const newest = jobs.sort((one, other) => other.number - one.number);
  return [
    ...newest.filter(({ state }) => state === "running"),
    ...newest.filter(isWaiting).reverse(),
    ...newest.filter((job) => job.state !== "running" && !isWaiting(job)),
  ];
}

/** What a job proposed, and what it left alone. */
export function tellProposals(facts: Made["facts"]): string {
  const count = (name: string) => (typeof facts[name] === "number" ? facts[name] : 0);
  const rest = [
    ...(count("images_without") > 0 ? [`on ${countOf(count("images_without"), "picture")} nothing was found`] : []),
    ...(count("images_left") > 0
      ? [`${countOf(count("images_left"), "picture")} that people labelled stayed as they were`]
      : []),
  ];
  const found = `${countOf(count("annotations"), "proposal")} on ${countOf(count("images_annotated"), "picture")}`;
  return `${[found, ...rest].join("; ")}.`;
}
