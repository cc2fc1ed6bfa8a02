/** How what was made hangs together: by ids, of which some records hold the whole and others the start. */
import type { Artifact, DatasetSummary, Deployment, MeasuredReport, Model } from "../../api/types";
import { countOf, shortId } from "../../ui/format";

/** Whether two ids, each whole or only its start, are the same. */
export function isSameId(one: string, other: string): boolean {
  return one !== "" && other !== "" && (one.startsWith(other) || other.startsWith(one));
}

/** The one of this name and id. */
export function findMade<T extends { readonly name: string; readonly id: string }>(
  list: readonly T[],
  name: string,
  id: string,
): T | undefined {
  return list.find((one) => one.name === name && isSameId(one.id, id));
}

/** "NAME@ID", which means this one for ever. */
export function referTo({ name, id }: { readonly name: string; readonly id: string }): string {
  return `${name}@${id}`;
}

export function artifactsOf(model: Model, artifacts: readonly Artifact[]): Artifact[] {
  return artifacts.filter(({ model_id }) => isSameId(model_id, model.id));
}

export function deploymentsOf(artifact: Artifact, deployments: readonly Deployment[]): Deployment[] {
  return deployments.filter(({ artifact_id }) => isSameId(artifact_id, artifact.id));
}

/** The reports that measured a model or an artifact, by whatever name it answered. */
export function reportsOf(id: string, reports: readonly MeasuredReport[]): MeasuredReport[] {
  return reports.filter(({ subject }) => typeof subject.id === "string" && isSameId(subject.id, id));
}

/** The dataset to offer first: the one whose present version a model was trained on, else the first. */
export function chooseDataset(datasets: readonly DatasetSummary[], version: string | null): DatasetSummary | undefined {
  return (version ? datasets.find(({ base_id }) => isSameId(base_id, version)) : undefined) ?? datasets[0];
}

/** What stands below a choice of dataset: the version that the name means; or what to do where there is none. */
export function tellChoice(datasets: readonly DatasetSummary[], name: string, lack?: string): string | undefined {
  const chosen = datasets.find((one) => one.name === name);
  if (!chosen) return datasets.length === 0 ? "There is no dataset yet: make one on the page Datasets." : lack;
  const edits = chosen.unfrozen_edits;
  if (edits > 0) return `${countOf(edits, "unfrozen edit")} ${edits === 1 ? "becomes" : "become"} a new version first.`;
  return `Version ${shortId(chosen.base_id)}, ${countOf(chosen.item_count, "picture")}.`;
}

/** The splits to measure on, "test" first; pictures without a split are none. */
export function measurableSplits(splits: DatasetSummary["splits"]): string[] {
  const order = ["test", "val", "train"];
  const place = (split: string) => (order.includes(split) ? order.indexOf(split) : order.length);
  return Object.keys(splits)
    .filter((split) => split !== "unsplit" && (splits[split] ?? 0) > 0)
    .sort((one, other) => place(one) - place(other) || one.localeCompare(other));
}
