/**
 * The state of the editor and the few ways in which it changes: a document gets another one (by a step of the user, or by the
 * server's word), a tool takes a step, a picture is opened. Commands, actions and the camera are built on these.
 */

import { clipBox } from "../geometry/boxes";
import { crossesItself } from "../geometry/outlines";
import { type BoxXyxy, screenPoint } from "../geometry/points";
import { fitView, toImage } from "../geometry/view";
import {
  type Category,
  EMPTY_DOCUMENT,
  type LabelDocument,
  type LabelledItem,
  type Operation,
} from "../labels/annotation";
import { applyOperations, placesOf, shareLabels } from "../labels/document";
import { LabelIndex } from "../labels/hits";
import { findRenames, NO_RENAMES, renameLabels, renameOperations } from "../labels/renames";
import { dropIdle } from "./commands";
import { type EditorPorts, makeRandomId } from "./ports";
import { Sender } from "./sender";
import type { EditorSnapshot } from "./snapshot";
import {
  type CutRequest,
  type PointerStep,
  type ReadPixels,
  samePreview,
  type ToolContext,
  type ToolEvent,
  type ToolName,
} from "./tool";
import { Toolbox } from "./toolbox";
import { UndoList } from "./undo";

const NONE: ReadonlySet<string> = new Set();
const CROSSES = "This outline crosses itself: what is inside can be read in more than one way. Move a point, or undo.";

export class EditorCore {
  readonly makeId: () => string;
  readonly sender: Sender;
  readonly toolbox = new Toolbox();
  canvas = { width: 0, height: 0 };
  /** The view shows the whole picture, and goes on to do so when the canvas changes. */
  isFitted = true;
  /** Labels are looked at and not changed. */
  isReadOnly = false;
  /** Of the picture that is open. */
  readPixels: ReadPixels = () => null;
  readonly #ports: EditorPorts;
  #snapshot: EditorSnapshot;
  #listeners = new Set<() => void>();
  #undoLists = new Map<number, UndoList>();
  #hidden = NONE;
  /** Steps of the undo list, copies and answers that were loaded ahead may have old names of categories. */
  #renames = NO_RENAMES;
  #pointer: PointerStep | null = null;
  /** What the user was told of the last step: it holds until the next one. */
  #said: string | null = null;

  constructor(ports: EditorPorts) {
    this.#ports = ports;
    this.makeId = () => makeRandomId(ports.random);
    this.#snapshot = firstSnapshot();
    this.sender = new Sender(ports, {
      onState: (sending) => this.change({ sending }),
      onPicture: (position) => this.#follow(position),
      onNotice: (notice) => this.change({ notice }),
    });
  }

  get snapshot(): EditorSnapshot {
    return this.#snapshot;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  change(patch: Partial<EditorSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...patch };
    for (const listener of [...this.#listeners]) listener();
  }

  setCategories(categories: readonly Category[]): void {
    const { categories: before, category, picture } = this.#snapshot;
    this.#renames = findRenames(this.#renames, before, categories);
    const chosen = this.#renames.get(category ?? "") ?? category;
    const isPresent = categories.some(({ name }) => name === chosen);
    this.change({ categories, category: isPresent ? chosen : (categories[0]?.name ?? null) });
    if (this.#renames.size === 0) return;
    this.sender.rename(this.#renames);
    if (picture) this.#follow(picture.position);
  }

  open(answer: LabelledItem): void {
    const { picture } = this.#snapshot;
    const item = { ...answer, labels: renameLabels(answer.labels, this.#renames) };
    const document = this.sender.open(item);
    if (picture?.position === item.position && picture.blob === item.blob) {
      this.#follow(item.position);
      return;
    }
    // Ids are a picture's own: what a tool remembers of one means nothing in another.
    this.toolbox.take(this.toolbox.name);
    const size = { width: item.width, height: item.height };
    this.#hidden = NONE;
    this.isFitted = true;
    this.#pointer = null;
    this.change({
      picture: { position: item.position, fileName: item.file_name, blob: item.blob, size },
      index: new LabelIndex(size),
      selection: NONE,
      preview: null,
      isBusy: false,
      cursor: this.toolbox.cursor,
      notice: null,
      ...(this.canvas.width > 0 && { view: fitView(size, this.canvas) }),
    });
    this.#show(document);
  }

  /** A step of the user: one entry of the undo list, one edit of the journal. Steps with the same key are undone together. */
  commit(wanted: readonly Operation[], selection?: ReadonlySet<string>, key: string | null = null): void {
    const { picture, document } = this.#snapshot;
    if (!picture) return;
    const operations = this.isReadOnly ? [] : dropIdle(document, wanted);
    if (operations.length > 0) this.#undo(picture.position).note(document, operations, key);
    this.#apply(operations, selection);
  }

  undo(): void {
    this.#travel((list, document) => list.undo(document));
  }

  redo(): void {
    this.#travel((list, document) => list.redo(document));
  }

  #travel(take: (list: UndoList, document: LabelDocument) => readonly Operation[] | null): void {
    const { picture, document } = this.#snapshot;
    if (!picture || this.isReadOnly) return;
    this.endGesture();
    const operations = take(this.#undo(picture.position), document) ?? [];
    // What was changed is selected, so that the user sees where.
    this.#apply(operations, new Set(operations.flatMap((one) => (one.kind === "put" ? one.id : []))));
  }

  #apply(wanted: readonly Operation[], selection: ReadonlySet<string> = this.#snapshot.selection): void {
    const { picture, document } = this.#snapshot;
    if (!picture) return;
    const operations = renameOperations(wanted, this.#renames);
    if (operations.length > 0) {
      if (this.#said !== null && this.#snapshot.notice === this.#said) this.change({ notice: null });
      this.#said = null;
      this.sender.push(picture, document, operations);
    }
    this.#show(applyOperations(document, operations), selection);
  }

  step(event: ToolEvent): void {
    if (event.kind === "leave") this.#pointer = null;
    else if ("screen" in event) this.#pointer = event;
    const context = this.#context();
    if (!context) return;
    const { preview = null, operations = [], selection, cursor, notice, asks } = this.toolbox.step(event, context);
    const shown = samePreview(this.#snapshot.preview, preview) ? this.#snapshot.preview : preview;
    const isBusy = this.toolbox.isBusy;
    const before = this.#snapshot;
    const hand = cursor ?? this.toolbox.cursor;
    if (shown !== before.preview || isBusy !== before.isBusy || hand !== before.cursor) {
      this.change({ preview: shown, isBusy, cursor: hand });
    }
    if (operations.length > 0 && before.allHidden) this.hide(NONE, false);
    if (operations.length > 0 || selection) this.commit(operations, selection);
    const words = notice ?? (operations.some(crosses) ? CROSSES : null);
    if (words) this.change({ notice: words });
    this.#said = words ?? this.#said;
    if (asks) this.#ask(asks);
  }

  /** Has the server cut a thing out; a tool that does not wait for it any more takes no notice of the answer. */
  #ask(request: CutRequest): void {
    const { picture } = this.#snapshot;
    if (!picture) return;
    const { cutOut, dataset } = this.#ports;
    cutOut({ dataset, position: picture.position, blob: picture.blob }, request).then(
      (mask) => this.step({ kind: "cut", request, mask }),
      (error: Error) => this.step({ kind: "cut", request, mask: null, problem: error.message }),
    );
  }

  endGesture(): void {
    if (this.toolbox.isBusy) this.step({ kind: "cancel" });
  }

  takeTool(name: ToolName): void {
    if (this.isReadOnly && name !== "select") return;
    this.endGesture();
    this.toolbox.take(name);
    this.change({ tool: name, cursor: this.toolbox.cursor, preview: null });
    this.refreshHover();
  }

  /** What the tool shows under a resting pointer depends on document, selection and view: it is asked again. */
  refreshHover(): void {
    if (this.toolbox.isBusy) return;
    const { view } = this.#snapshot;
    if (this.#pointer) this.step({ ...this.#pointer, kind: "move", at: toImage(view, this.#pointer.screen) });
    else this.step({ kind: "leave" });
  }

  hide(ids: ReadonlySet<string>, allHidden: boolean): void {
    this.#hidden = ids;
    this.change({ allHidden });
    this.#show(this.#snapshot.document);
  }

  /** The ids that are hidden one by one. */
  get hiddenIds(): ReadonlySet<string> {
    return this.#hidden;
  }

  /** The server's word changed what the user sees of a picture. */
  #follow(position: number): void {
    const { picture, document } = this.#snapshot;
    const present = picture?.position === position ? this.sender.present(picture) : null;
    if (!present) return;
    const shared = shareLabels(document, present);
    if (shared !== document) this.#show(shared);
  }

  #show(document: LabelDocument, selection: ReadonlySet<string> = this.#snapshot.selection): void {
    const { index, picture, allHidden } = this.#snapshot;
    const places = placesOf(document.labels);
    const hidden = allHidden ? new Set(places.keys()) : keep(this.#hidden, (id) => places.has(id));
    index.update(document);
    const list = this.#undo(picture?.position ?? -1);
    this.change({
      document,
      hidden,
      selection: keep(selection, (id) => places.has(id) && !hidden.has(id)),
      canUndo: list.canUndo,
      canRedo: list.canRedo,
    });
    this.refreshHover();
  }

  #undo(position: number): UndoList {
    let list = this.#undoLists.get(position);
    if (!list) {
      list = new UndoList();
      this.#undoLists.set(position, list);
    }
    return list;
  }

  /** The part of the picture that the canvas shows. */
  get seen(): BoxXyxy {
    const { view, picture } = this.#snapshot;
    const low = toImage(view, screenPoint(0, 0));
    const high = toImage(view, screenPoint(this.canvas.width, this.canvas.height));
    return clipBox([low.x, low.y, high.x, high.y], picture?.size ?? { width: 0, height: 0 });
  }

  #context(): ToolContext | null {
    const { picture, document, index, view, selection, hidden, category, brushRadius, tolerance } = this.#snapshot;
    if (!picture) return null;
    const { makeId, readPixels, seen } = this;
    const held = { view, selection, hidden, category, brushRadius, tolerance, seen, readPixels, makeId };
    return { document, index, picture: picture.size, ...held };
  }
}

/** The same set where nothing leaves it. */
function keep(ids: ReadonlySet<string>, stays: (id: string) => boolean): ReadonlySet<string> {
  const kept = [...ids].filter(stays);
  return kept.length === ids.size ? ids : new Set(kept);
}

function crosses(operation: Operation): boolean {
  return operation.kind === "put" && (operation.annotation.polygons ?? []).some(crossesItself);
}

function firstSnapshot(): EditorSnapshot {
  return {
    picture: null,
    document: EMPTY_DOCUMENT,
    index: new LabelIndex({ width: 1, height: 1 }),
    selection: NONE,
    hidden: NONE,
    allHidden: false,
    tool: "select",
    isBusy: false,
    cursor: "default",
    preview: null,
    categories: [],
    category: null,
    view: { scale: 1, left: 0, top: 0 },
    brushRadius: 10,
    tolerance: 24,
    canUndo: false,
    canRedo: false,
    canPaste: false,
    sending: { kind: "saved" },
    notice: null,
  };
}
