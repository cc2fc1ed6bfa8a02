/**
 * Operations on a picture's labels and attributes, and their exact inverse. Only changed labels get new objects; a step copies
 * the list of references once. Undo, journal and the answer to a conflict all are lists of operations.
 */
import {
  type Annotation,
  type Attributes,
  isProposal,
  type Label,
  type LabelDocument,
  type Operation,
  type Put,
  type Viewer,
} from "./annotation";
import { attributesOf, carryAttributes, findValue, sameAttributes, setAttribute } from "./attributes";

const indices = new WeakMap<readonly Label[], Map<string, number>>();

/** Where each label stands in the list; found once per list. */
export function placesOf(labels: readonly Label[]): ReadonlyMap<string, number> {
  let places = indices.get(labels);
  if (!places) {
    places = new Map(labels.map((label, place) => [label.id, place]));
    indices.set(labels, places);
  }
  return places;
}

export function findLabel(document: LabelDocument, id: string): Label | undefined {
  const place = placesOf(document.labels).get(id);
  return place === undefined ? undefined : document.labels[place];
}

/** The labels of a document while operations change it: places are looked up in a map as long as no label moved. */
class Draft {
  readonly labels: Label[];
  seenBy: Viewer | null;
  attributes: Attributes;
  #places: ReadonlyMap<string, number> | null;

  constructor(document: LabelDocument) {
    this.labels = [...document.labels];
    this.seenBy = document.seenBy;
    this.attributes = attributesOf(document);
    this.#places = placesOf(document.labels);
  }

  placeOf(id: string): number {
    return this.#places ? (this.#places.get(id) ?? -1) : this.labels.findIndex((label) => label.id === id);
  }

  apply(operation: Operation): void {
    if (operation.kind === "review") this.seenBy = operation.seen_by;
    else if (operation.kind === "set") this.attributes = setAttribute(this.attributes, operation.key, operation.value);
    else if (operation.kind === "put") this.#put(operation);
    else this.#remove(operation.id);
  }

  #put({ id, annotation, place }: Put): void {
    const from = this.placeOf(id);
    const to = place ?? (from < 0 ? this.labels.length : from);
    this.#note(annotation, this.labels[from]?.annotation);
    if (from === to) {
      this.labels[from] = { id, annotation };
      return;
    }
    this.#places = null;
    if (from >= 0) this.labels.splice(from, 1);
    this.labels.splice(to, 0, { id, annotation });
  }

  #remove(id: string): void {
    const place = this.placeOf(id);
    if (place < 0) return;
    this.#note(this.labels[place]?.annotation);
    this.#places = null;
    this.labels.splice(place, 1);
  }

  /** What touches a person's label makes the picture seen by a person; what touches proposals alone does not. */
  #note(...touched: readonly (Annotation | undefined)[]): void {
    if (touched.some((annotation) => annotation && !isProposal(annotation))) this.seenBy = "human";
    else if (this.seenBy !== "human") this.seenBy = "model";
  }
}

/** The document after operations, in their order; as on the server, but removing an id that is not there changes nothing. */
export function applyOperations(document: LabelDocument, operations: readonly Operation[]): LabelDocument {
  if (operations.length === 0) return document;
  const draft = new Draft(document);
  for (const operation of operations) draft.apply(operation);
  return noteViewer(draft);
}

/** Operations that lead from the document after `operations` back to this one, exactly, in all that it says. */
export function invertOperations(document: LabelDocument, operations: readonly Operation[]): Operation[] {
  const draft = new Draft(document);
  const inverse: Operation[] = [];
  for (const operation of operations) {
    if (operation.kind === "set") {
      inverse.push({ kind: "set", key: operation.key, value: findValue(draft.attributes, operation.key) });
    } else if (operation.kind !== "review") {
      const place = draft.placeOf(operation.id);
      const before = draft.labels[place];
      if (before) inverse.push({ kind: "put", id: before.id, annotation: before.annotation, place });
      else if (operation.kind === "put") inverse.push({ kind: "remove", id: operation.id });
    }
    draft.apply(operation);
  }
  inverse.reverse();
  const back = applyOperations(noteViewer(draft), inverse);
  if (back.seenBy !== noteViewer(document).seenBy) inverse.push({ kind: "review", seen_by: document.seenBy });
  return inverse;
}

/** Who looked at a picture to label it, a person before a model; as the server finds it. */
export function findViewer({ labels, seenBy }: LabelDocument): Viewer | null {
  if (seenBy === "human" || labels.some(({ annotation }) => !isProposal(annotation))) return "human";
  return labels.length > 0 ? "model" : seenBy;
}

/** A document that says who looked only where its annotations do not tell as much. */
function noteViewer(document: LabelDocument): LabelDocument {
  const { labels, seenBy } = document;
  const told = findViewer({ labels, seenBy: null });
  const noted = findViewer({ labels, seenBy }) === told ? null : seenBy;
  return { labels, seenBy: noted, ...carryAttributes(attributesOf(document)) };
}

/** Ids that operations bring into a document that does not have them. */
export function findAdded(document: LabelDocument, operations: readonly Operation[]): string[] {
  const places = placesOf(document.labels);
  const added = operations.filter((operation) => operation.kind === "put" && !places.has(operation.id)) as Put[];
  return [...new Set(added.map((operation) => operation.id))];
}

/** What of an edit still makes sense on another state of the picture: nothing that speaks of a label which is no longer there. */
export function rebaseOperations(
  document: LabelDocument,
  operations: readonly Operation[],
  adds: readonly string[],
): Operation[] {
  const present = new Set(placesOf(document.labels).keys());
  const added = new Set(adds);
  return operations.filter((operation) => {
    if (operation.kind === "review" || operation.kind === "set") return true;
    const sensible = present.has(operation.id) || (operation.kind === "put" && added.has(operation.id));
    if (sensible && operation.kind === "put") present.add(operation.id);
    if (operation.kind === "remove") present.delete(operation.id);
    return sensible;
  });
}

/** The newer document with the older one's objects wherever both say the same: what is unchanged stays identical to painters. */
export function shareLabels(older: LabelDocument, newer: LabelDocument): LabelDocument {
  const places = placesOf(older.labels);
  const labels = newer.labels.map((label) => {
    const before = older.labels[places.get(label.id) ?? -1];
    return before && sameAnnotation(before.annotation, label.annotation) ? before : label;
  });
  const same = labels.length === older.labels.length && labels.every((label, i) => label === older.labels[i]);
  const attributes = attributesOf(newer);
  const sameFacts = sameAttributes(attributesOf(older), attributes);
  if (same && sameFacts && newer.seenBy === older.seenBy) return older;
  const facts = carryAttributes(sameFacts ? attributesOf(older) : attributes);
  return { labels: same ? older.labels : labels, seenBy: newer.seenBy, ...facts };
}

const UNSAID: Required<Annotation> = {
  category: "",
  box_xyxy: null,
  polygons: null,
  mask: null,
  confidence: null,
  origin: "human",
  is_crowd: false,
  attributes: {},
};

/** Whether two annotations say the same; what is left out has its default, as on the wire. */
export function sameAnnotation(a: Annotation, b: Annotation): boolean {
  if (a === b) return true;
  return (Object.keys(UNSAID) as (keyof Annotation)[]).every((key) =>
    sameValue(a[key] ?? UNSAID[key], b[key] ?? UNSAID[key]),
  );
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((value, i) => sameValue(value, b[i]));
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => sameValue(left[key], right[key]));
}
