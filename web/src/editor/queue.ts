/** The unsent edits of one picture, over what the server was last known to have: together they are the picture as the user sees it. */
import { EMPTY_DOCUMENT, type LabelDocument, type LabelledItem, type Operation } from "../labels/annotation";
import { carryAttributes } from "../labels/attributes";
import { applyOperations, rebaseOperations, shareLabels } from "../labels/document";
import { type Renames, renameLabels, renameOperations } from "../labels/renames";
import type { UnsentEdit } from "./outbox";
import type { Written } from "./ports";

/** What the server has of a picture. */
export type Confirmed = { readonly document: LabelDocument; readonly revision: number; readonly blob: string };

export class PictureQueue {
  readonly position: number;
  /** Null until the server said something of this picture. */
  confirmed: Confirmed | null = null;
  edits: UnsentEdit[] = [];
  /** Tries in a row that failed, and when the next one may be, milliseconds since 1970. */
  failures = 0;
  notBefore = 0;

  constructor(position: number) {
    this.position = position;
  }

  /** Whether the server said more of this picture than an answer that may have lain in a cache. */
  knowsBetter(item: LabelledItem): boolean {
    return this.confirmed !== null && this.confirmed.blob === item.blob && this.confirmed.revision > item.revision;
  }

  /** Takes the server's word. Objects of labels that say the same stay. */
  confirm(item: LabelledItem): void {
    const document = { labels: item.labels, seenBy: item.seen_by, ...carryAttributes(item.attributes ?? {}) };
    const shared = shareLabels(this.confirmed?.document ?? EMPTY_DOCUMENT, document);
    this.confirmed = { document: shared, revision: item.revision, blob: item.blob };
  }

  /**
   * Takes the server's word that it wrote the first edit, which does there what it does here. False: others wrote in between, so that
   * the picture has to be asked for.
   */
  fold({ revision, seen_by, cleaned }: Written): boolean {
    const { confirmed } = this;
    if (!confirmed || revision > confirmed.revision + 1) return false;
    // An answer that came meanwhile has the edit already.
    if (revision <= confirmed.revision) return true;
    const edited = applyOperations(confirmed.document, this.nextOperations());
    const { labels } = edited;
    const mended = new Map(cleaned.map((label) => [label.id, label]));
    const document = {
      ...edited,
      labels: mended.size > 0 ? labels.map((label) => mended.get(label.id) ?? label) : labels,
      seenBy: seen_by,
    };
    this.confirmed = { ...confirmed, document, revision };
    return true;
  }

  /** The picture as the user sees it: the server's labels and every unsent edit that still makes sense on them. */
  present(): LabelDocument {
    return this.edits.reduce(
      (document, edit) => applyOperations(document, rebaseOperations(document, edit.operations, edit.adds)),
      this.confirmed?.document ?? EMPTY_DOCUMENT,
    );
  }

  /** Categories have other names now. */
  rename(renames: Renames): void {
    if (this.confirmed) {
      const { document } = this.confirmed;
      const labels = renameLabels(document.labels, renames);
      this.confirmed = { ...this.confirmed, document: { ...document, labels } };
    }
    this.edits = this.edits.map((edit) => ({ ...edit, operations: renameOperations(edit.operations, renames) }));
  }

  /** What the first edit does to what the server has. */
  nextOperations(): readonly Operation[] {
    const [edit] = this.edits;
    if (!edit || !this.confirmed) return [];
    return rebaseOperations(this.confirmed.document, edit.operations, edit.adds);
  }
}

/** What the server said last is remembered of so many pictures: a page may show an older answer of one that was edited since. */
const KEPT_PICTURES = 30;

/** The queues of all pictures that have unsent edits, are open or were lately. */
export class Backlog {
  readonly #queues = new Map<number, PictureQueue>();

  get waiting(): number {
    let waiting = 0;
    for (const queue of this.#queues.values()) waiting += queue.edits.length;
    return waiting;
  }

  find(position: number): PictureQueue | undefined {
    return this.#queues.get(position);
  }

  queueOf(position: number): PictureQueue {
    let queue = this.#queues.get(position);
    if (!queue) {
      queue = new PictureQueue(position);
      this.#queues.set(position, queue);
    }
    return queue;
  }

  /** The queue of a picture that is opened; of pictures without unsent edits, those that were opened long ago are forgotten. */
  open(position: number): PictureQueue {
    const queue = this.queueOf(position);
    this.#queues.delete(position);
    this.#queues.set(position, queue);
    const idle = [...this.#queues.values()].filter((one) => one.edits.length === 0 && one !== queue);
    for (const forgotten of idle.slice(0, -KEPT_PICTURES)) this.#queues.delete(forgotten.position);
    return queue;
  }

  /** Puts an edit where it was made among those that wait; the first one stays first where it is on its way already. */
  insert(edit: UnsentEdit, isSending: boolean): PictureQueue {
    const queue = this.queueOf(edit.position);
    if (queue.edits.some((own) => own.edit_id === edit.edit_id)) return queue;
    const later = queue.edits.findIndex((own, i) => (i > 0 || !isSending) && own.number > edit.number);
    queue.edits.splice(later < 0 ? queue.edits.length : later, 0, edit);
    return queue;
  }

  /** The queue whose turn comes first. */
  next(): PictureQueue | null {
    let next: PictureQueue | null = null;
    for (const queue of this.#queues.values()) {
      if (queue.edits.length > 0 && (!next || queue.notBefore < next.notBefore)) next = queue;
    }
    return next;
  }

  rename(renames: Renames): void {
    for (const queue of this.#queues.values()) queue.rename(renames);
  }

  hurry(): void {
    for (const queue of this.#queues.values()) queue.notBefore = 0;
  }
}
