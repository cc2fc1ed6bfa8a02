/** The commands that choose, change, copy and hide labels: each at most one step of the undo list. */
import type { Annotation, Category, Label } from "../labels/annotation";
import { findViewer } from "../labels/document";
import { findTracks, trackOf, withoutTrack } from "../labels/tracks";
import {
  acceptProposals,
  labelsOf,
  nudgeLabels,
  putCopies,
  recategoriseLabels,
  removeLabels,
  replaceProposals,
  setImageCategory,
  startTracks,
} from "./commands";
import type { EditorCore } from "./core";

/** A copy in its own picture is put so many CSS pixels beside what it was copied from. */
const PASTE_SHIFT_PX = 12;
const NOTHING_INSIDE = "Nothing of what was copied lies inside this picture.";

export type Labelling = {
  readonly setCategories: (categories: readonly Category[]) => void;
  /** The category of new annotations; with the select tool, the selected labels get it, too. */
  readonly setCategory: (name: string) => void;
  readonly select: (ids: Iterable<string>) => void;
  readonly selectAll: () => void;
  /** Chooses the next label of the list, which has the topmost first, or the one before; after the last comes the first. */
  readonly selectNeighbour: (by: 1 | -1) => void;
  readonly deleteSelection: () => void;
  /** Makes the selected proposals a person's annotations. */
  readonly acceptSelection: () => void;
  readonly recategorise: (ids: Iterable<string>, name: string) => void;
  readonly copy: () => void;
  readonly paste: () => void;
  /** Moves the selection, pixels of the picture; presses in a row are undone together. */
  readonly nudge: (byX: number, byY: number) => void;
  /** Labels of the whole picture: each toggles; exclusive: the chosen one takes the others' place. */
  readonly setImageCategory: (name: string, exclusive: boolean) => void;
  /** A model's annotations, in place of its earlier ones that nobody accepted. */
  readonly putProposals: (annotations: readonly Annotation[]) => void;
  /** Copies of another picture's annotations, as far as they lie in this one, as a person's. */
  readonly putCopies: (annotations: readonly Annotation[]) => void;
  /** Makes the selected labels those of tracks. Returns them, for the next frame to carry on. */
  readonly startTracks: () => readonly Annotation[];
  /** Copies of another frame's labels, without those whose track this one has already; both are selected. */
  readonly carryOn: (annotations: readonly Annotation[]) => void;
  /** Gives an attribute of the picture a value; null takes it away. */
  readonly setAttribute: (key: string, value: string | null) => void;
  /** A person looked at the whole picture. */
  readonly markDone: () => void;
  readonly toggleHidden: (ids: Iterable<string>) => void;
  readonly toggleAllHidden: () => void;
};

export function makeLabelling(core: EditorCore): Labelling {
  return { ...choosing(core), ...changing(core), ...copying(core), ...hiding(core) };
}

function choosing(core: EditorCore) {
  const select = (ids: Iterable<string>) => {
    core.endGesture();
    core.commit([], new Set(ids));
  };
  const recategorise = (ids: Iterable<string>, name: string) =>
    core.commit(recategoriseLabels(core.snapshot.document, ids, name));
  return {
    select,
    selectNeighbour: makeStepping(core, select),
    selectAll: () => select(core.snapshot.document.labels.map((label) => label.id)),
    recategorise,
    setCategories: (categories: readonly Category[]) => core.setCategories(categories),
    // While something is drawn, the category is for what comes; a label that was just drawn keeps its own.
    setCategory: (name: string) => {
      const { categories, tool, selection, isBusy } = core.snapshot;
      if (!categories.some((category) => category.name === name)) return;
      core.change({ category: name });
      if (tool === "select" && !isBusy) recategorise(selection, name);
    },
  };
}

/** Steps through the labels; where the chosen one was deleted, the one in its place is the next. */
function makeStepping(core: EditorCore, select: (ids: Iterable<string>) => void): (by: 1 | -1) => void {
  let last = { blob: "", place: 0 };
  return (by) => {
    const { document, selection, hidden, picture } = core.snapshot;
    const rows = document.labels.toReversed().filter(({ id }) => !hidden.has(id));
    if (!picture || rows.length === 0) return;
    const chosen = rows.findIndex(({ id }) => selection.has(id));
    const gap = last.blob === picture.blob ? last.place : 0;
    const place = chosen >= 0 ? chosen + by : by > 0 ? gap : gap - 1;
    last = { blob: picture.blob, place: (place + rows.length) % rows.length };
    select([(rows[last.place] as Label).id]);
  };
}

function changing(core: EditorCore) {
  const act = (operations: Parameters<EditorCore["commit"]>[0], selection?: ReadonlySet<string>, key?: string) => {
    core.endGesture();
    core.commit(operations, selection, key);
  };
  return {
    deleteSelection: () => act(removeLabels(core.snapshot.document, core.snapshot.selection), new Set()),
    acceptSelection: () => act(acceptProposals(core.snapshot.document, core.snapshot.selection)),
    nudge: (byX: number, byY: number) => {
      const { document, selection, picture } = core.snapshot;
      if (!picture) return;
      const key = `nudge ${[...selection].sort().join(" ")}`;
      act(nudgeLabels(document, selection, byX, byY, picture.size), undefined, key);
    },
    setImageCategory: (name: string, exclusive: boolean) =>
      act(setImageCategory(core.snapshot.document, name, exclusive, core.makeId)),
    putProposals: (annotations: readonly Annotation[]) =>
      act(replaceProposals(core.snapshot.document, annotations, core.makeId)),
    setAttribute: (key: string, value: string | null) => act([{ kind: "set", key, value }]),
    markDone: () => {
      if (findViewer(core.snapshot.document) !== "human") act([{ kind: "review", seen_by: "human" }]);
    },
  };
}

function copying(core: EditorCore) {
  let copied: { readonly annotations: readonly Annotation[]; readonly blob: string } = { annotations: [], blob: "" };
  const insert = (annotations: readonly Annotation[], shift: number): readonly Annotation[] => {
    const { picture } = core.snapshot;
    if (!picture) return [];
    core.endGesture();
    const operations = putCopies(annotations, shift, picture.size, core.makeId);
    if (operations.length === 0 && annotations.length > 0) core.change({ notice: NOTHING_INSIDE });
    else core.commit(operations, new Set(operations.map((operation) => operation.id)));
    return operations.map((operation) => operation.annotation);
  };
  return {
    copy: () => {
      const { document, selection, picture } = core.snapshot;
      const annotations = labelsOf(document, selection).map((label) => label.annotation);
      if (!picture || annotations.length === 0) return;
      copied = { annotations, blob: picture.blob };
      core.change({ canPaste: true });
    },
    paste: () => {
      const { picture, view } = core.snapshot;
      if (!picture) return;
      const isHere = copied.blob === picture.blob;
      const wanted = isHere ? copied.annotations.map(withoutTrack) : copied.annotations;
      const pasted = insert(wanted, isHere ? Math.max(1, Math.round(PASTE_SHIFT_PX / view.scale)) : 0);
      // The next paste here goes beside this one.
      if (pasted.length > 0) copied = { annotations: pasted, blob: picture.blob };
    },
    putCopies: (annotations: readonly Annotation[]) => void insert(annotations, 0),
    startTracks: () => {
      const { document, selection } = core.snapshot;
      core.endGesture();
      const operations = startTracks(document, selection, core.makeId);
      core.commit(operations);
      return operations.map(({ annotation }) => annotation);
    },
    carryOn: (annotations: readonly Annotation[]) => {
      const { document } = core.snapshot;
      const here = new Set(document.labels.flatMap(({ annotation }) => trackOf(annotation) ?? []));
      const wanted = new Set(annotations.flatMap((annotation) => trackOf(annotation) ?? []));
      const missing = annotations.filter((annotation) => !here.has(trackOf(annotation) ?? ""));
      if (missing.length > 0) insert(missing, 0);
      core.takeTool("select");
      core.commit([], new Set(findTracks(core.snapshot.document, wanted)));
    },
  };
}

function hiding(core: EditorCore) {
  return {
    toggleHidden: (ids: Iterable<string>) => {
      const { hidden } = core.snapshot;
      const chosen = [...ids];
      const next = new Set(hidden);
      const show = chosen.every((id) => hidden.has(id));
      for (const id of chosen) {
        if (show) next.delete(id);
        else next.add(id);
      }
      core.hide(next, false);
    },
    toggleAllHidden: () => core.hide(core.hiddenIds, !core.snapshot.allHidden),
  };
}
