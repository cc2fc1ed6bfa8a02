/**
 * Categories that got another name while the editor is open: annotations speak of them by name, so what it holds is brought up to
 * date. Pure.
 */
import type { Category, Label, Operation } from "./annotation";

/** From old names to present ones. */
export type Renames = ReadonlyMap<string, string>;

export const NO_RENAMES: Renames = new Map();

/** With the renames that lie between two lists of categories; a name that a category has now means that one. */
export function findRenames(known: Renames, before: readonly Category[], after: readonly Category[]): Renames {
  const names = new Map(after.map(({ id, name }) => [id, name]));
  const fresh = new Map(before.map(({ id, name }) => [name, names.get(id) ?? name]));
  const joined = new Map([...fresh, ...[...known].map(([old, name]) => [old, fresh.get(name) ?? name] as const)]);
  const present = new Set(names.values());
  return new Map([...joined].filter(([old, name]) => old !== name && !present.has(old)));
}

/** The same list where no label has an old name. */
export function renameLabels(labels: readonly Label[], renames: Renames): readonly Label[] {
  if (!labels.some(({ annotation }) => renames.has(annotation.category))) return labels;
  return labels.map((label) => renameOne(label, renames));
}

export function renameOperations(operations: readonly Operation[], renames: Renames): readonly Operation[] {
  return operations.map((operation) => (operation.kind === "put" ? renameOne(operation, renames) : operation));
}

function renameOne<Named extends Label>(named: Named, renames: Renames): Named {
  const category = renames.get(named.annotation.category);
  return category === undefined ? named : { ...named, annotation: { ...named.annotation, category } };
}
