/** What the editor's commands do to a document, as operations: pure, each a list that may be empty. */
import { limitMove } from "../geometry/boxes";
import type { BoxXyxy, Size } from "../geometry/points";
import {
  type Annotation,
  asHuman,
  isProposal,
  type Label,
  type LabelDocument,
  type Operation,
  type Put,
} from "../labels/annotation";
import { attributesOf, findValue } from "../labels/attributes";
import { findLabel, sameAnnotation } from "../labels/document";
import { boundsOf, clipAnnotation, geometryOf, moveAnnotation } from "../labels/shapes";
import { withTrack } from "../labels/tracks";

/** The document's labels of these ids, in the order of the ids. */
export function labelsOf(document: LabelDocument, ids: Iterable<string>): Label[] {
  return [...ids].flatMap((id) => findLabel(document, id) ?? []);
}

function put(id: string, annotation: Annotation): Put {
  return { kind: "put", id, annotation, place: null };
}

/** Without what would change nothing: puts and attributes. */
export function dropIdle(document: LabelDocument, operations: readonly Operation[]): readonly Operation[] {
  const idle = (operation: Operation) => {
    if (operation.kind === "set") return findValue(attributesOf(document), operation.key) === operation.value;
    if (operation.kind !== "put" || (operation.place ?? null) !== null) return false;
    const before = findLabel(document, operation.id);
    return before !== undefined && sameAnnotation(before.annotation, operation.annotation);
  };
  // An id that is removed and put again in one step is not idle, though it ends as it was.
  return operations.every(({ kind }) => kind === "put") || operations.every(({ kind }) => kind === "set")
    ? operations.filter((one) => !idle(one))
    : operations;
}

export function removeLabels(document: LabelDocument, ids: Iterable<string>): Operation[] {
  return labelsOf(document, ids).map(({ id }) => ({ kind: "remove", id }));
}

/** Proposals become a person's annotations, where they are in the list. */
export function acceptProposals(document: LabelDocument, ids: Iterable<string>): Operation[] {
  return labelsOf(document, ids)
    .filter(({ annotation }) => isProposal(annotation))
    .map(({ id, annotation }) => put(id, asHuman(annotation)));
}

export function recategoriseLabels(document: LabelDocument, ids: Iterable<string>, category: string): Operation[] {
  return labelsOf(document, ids)
    .filter(({ annotation }) => annotation.category !== category)
    .map(({ id, annotation }) => put(id, { ...asHuman(annotation), category }));
}

/** Moves labels together, no further than the picture's border. */
export function nudgeLabels(
  document: LabelDocument,
  ids: Iterable<string>,
  byX: number,
  byY: number,
  picture: Size,
): Operation[] {
  const labels = labelsOf(document, ids).filter(({ annotation }) => boundsOf(annotation));
  const step = labels.reduce(
    (by, { annotation }) => limitMove(boundsOf(annotation) as BoxXyxy, by.byX, by.byY, picture),
    { byX, byY },
  );
  if (step.byX === 0 && step.byY === 0) return [];
  return labels.map(({ id, annotation }) => put(id, moveAnnotation(asHuman(annotation), step.byX, step.byY, picture)));
}

/**
 * Labels of the whole picture. Exclusive: the picture has this one and no other. Else each toggles; a proposal that is chosen is
 * accepted.
 */
export function setImageCategory(
  document: LabelDocument,
  category: string,
  exclusive: boolean,
  makeId: () => string,
): Operation[] {
  const present = document.labels.filter(({ annotation }) => geometryOf(annotation) === "image");
  const same = present.find(({ annotation }) => annotation.category === category);
  if (!exclusive) {
    if (!same) return [put(makeId(), { category })];
    return isProposal(same.annotation) ? [put(same.id, asHuman(same.annotation))] : removeLabels(document, [same.id]);
  }
  const kept = same ?? present[0];
  const others = present.filter((label) => label !== kept).map(({ id }) => id);
  const chosen = same ? asHuman(same.annotation) : { category };
  return [...removeLabels(document, others), put(kept?.id ?? makeId(), chosen)];
}

/** A model's annotations in place of its earlier proposals; a proposal is no one's work, so who saw the picture stays as it is. */
export function replaceProposals(
  document: LabelDocument,
  annotations: readonly Annotation[],
  makeId: () => string,
): Operation[] {
  const before = document.labels.filter(({ annotation }) => isProposal(annotation)).map(({ id }) => id);
  const proposals = annotations.map((annotation) => put(makeId(), { ...annotation, origin: "model" }));
  return [...removeLabels(document, before), ...proposals];
}

/** The labels become those of tracks, as people's own: who carries one on has looked at it. */
export function startTracks(document: LabelDocument, ids: Iterable<string>, makeId: () => string): Put[] {
  return labelsOf(document, ids)
    .filter(({ annotation }) => geometryOf(annotation) !== "image")
    .map(({ id, annotation }) => put(id, withTrack(asHuman(annotation), makeId)));
}

/** Copies of annotations, moved, as far as they lie in the picture. */
export function putCopies(
  annotations: readonly Annotation[],
  shift: number,
  picture: Size,
  makeId: () => string,
): Put[] {
  return annotations.flatMap((annotation) => {
    const clipped = clipAnnotation(moveCopy(annotation, shift, picture), picture);
    return clipped ? [put(makeId(), asHuman(clipped))] : [];
  });
}

/** Moves a copy down and to the right, or as far as the picture goes, so that it does not hide what it was copied from. */
function moveCopy(annotation: Annotation, shift: number, picture: Size): Annotation {
  const bounds = boundsOf(annotation);
  if (!bounds || shift === 0) return annotation;
  const { byX, byY } = limitMove(bounds, shift, shift, picture);
  return moveAnnotation(annotation, byX, byY, picture);
}
