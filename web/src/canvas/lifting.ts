/**
 * Which shapes the overlay draws instead of the canvas: what is chosen or held, as long as it is little. Much of it, and every mask,
 * stays on the canvas and is drawn there as it would become. Pure.
 */
import type { EditorSnapshot } from "../editor/snapshot";
import type { Annotation, Label } from "../labels/annotation";
import { placesOf } from "../labels/document";

/** Above so many shapes, SVG elements are slower than painting. */
export const MOST_LIFTED = 24;

export type Lifted = { readonly id: string; readonly annotation: Annotation; readonly isSelected: boolean };
export type Lifting = {
  /** The document's labels as the canvas shows them. */
  readonly labels: readonly Label[];
  /** Ids that the canvas leaves out. */
  readonly absent: ReadonlySet<string>;
  /** What the overlay draws. */
  readonly lifted: readonly Lifted[];
};

type Source = Pick<EditorSnapshot, "document" | "selection" | "hidden" | "preview">;

export function liftShapes({ document, selection, hidden, preview }: Source): Lifting {
  const changed = new Map(preview?.annotations.map(({ id, annotation }) => [id, annotation]));
  const held = findHeld(document.labels, selection, hidden, changed);
  const lifted = held.length > MOST_LIFTED ? [] : held.filter(({ annotation }) => !annotation.mask);
  const isLifted = new Set(lifted.map(({ id }) => id));
  const absent = new Set([...isLifted, ...[...(preview?.replaces ?? [])].filter((id) => !changed.has(id))]);
  const painted = [...changed].filter(([id]) => !isLifted.has(id));
  return { labels: replaceLabels(document.labels, painted), absent, lifted };
}

function findHeld(
  labels: readonly Label[],
  selection: ReadonlySet<string>,
  hidden: ReadonlySet<string>,
  changed: ReadonlyMap<string, Annotation>,
): readonly Lifted[] {
  const places = placesOf(labels);
  const held: Lifted[] = [];
  for (const id of selection) {
    const annotation = changed.get(id) ?? labels[places.get(id) ?? -1]?.annotation;
    if (annotation && !hidden.has(id)) held.push({ id, annotation, isSelected: true });
  }
  for (const [id, annotation] of changed) if (!selection.has(id)) held.push({ id, annotation, isSelected: false });
  return held;
}

function replaceLabels(
  labels: readonly Label[],
  changed: readonly (readonly [string, Annotation])[],
): readonly Label[] {
  if (changed.length === 0) return labels;
  const places = placesOf(labels);
  const replaced = [...labels];
  for (const [id, annotation] of changed) {
    const place = places.get(id);
    if (place === undefined) replaced.push({ id, annotation });
    else replaced[place] = { id, annotation };
  }
  return replaced;
}
