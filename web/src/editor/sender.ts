/**
 * Brings edits to the server: each is kept in the browser first, then sent, one at a time and a picture's in their order, as often
 * as it takes. Of every picture two things are known: what the server has (`confirmed`) and what waits; from both follows what the
 * user sees. So a conflict needs no merging: the server's present state takes the place of the confirmed one, and what waits is put
 * upon it, without what speaks of labels that are gone.
 */
import type { LabelDocument, LabelledItem, Operation } from "../labels/annotation";
import { findAdded } from "../labels/document";
import { type Renames, renameOperations } from "../labels/renames";
import { waitForOutcome } from "./answers";
import { waitAfter } from "./backoff";
import { Outbox, RENEW_MS, type RefusedEdit, type UnsentEdit } from "./outbox";
import { type EditorPorts, makeRandomId, type SendOutcome } from "./ports";
import { Backlog, type PictureQueue } from "./queue";
import type { SendingState } from "./snapshot";

const NO_ROOM = "This browser has no room left to keep edits: leave this page open until all is saved.";
const REMOVED = "Someone else removed labels that you changed meanwhile; they stay removed.";
const STRANGER = "an unsent edit was made on another picture than the one that is at this place now";

/** A picture by its place and by what it is. */
type PictureRef = Pick<LabelledItem, "position" | "blob">;

export type SenderListener = {
  readonly onState: (state: SendingState) => void;
  /** What the user sees of a picture may have changed by the server's word. */
  readonly onPicture: (position: number) => void;
  /** A line for the user. */
  readonly onNotice: (message: string) => void;
};

const DEAF: SenderListener = { onState: () => {}, onPicture: () => {}, onNotice: () => {} };

export class Sender {
  readonly #ports: EditorPorts;
  #listener: SenderListener;
  readonly #name: string;
  readonly #outbox: Outbox;
  readonly #backlog = new Backlog();
  #refused: RefusedEdit[];
  #isSending = false;
  #number = 0;
  #offline: { readonly since: number; readonly reason: string } | null = null;
  #cancelTimer: () => void = () => {};
  #cancelRenewal: () => void = () => {};

  constructor(ports: EditorPorts, listener: SenderListener) {
    this.#ports = ports;
    this.#listener = listener;
    this.#name = makeRandomId(ports.random);
    this.#outbox = new Outbox(ports.storage, ports.dataset, this.#name);
    this.#refused = this.#outbox.refused();
    this.#renew();
  }

  /** Takes the server's answer for a picture, and tells what the user sees of it. */
  open(item: LabelledItem): LabelDocument {
    const queue = this.#backlog.open(item.position);
    if (!queue.knowsBetter(item)) queue.confirm(item);
    this.#parkStrangers(queue);
    this.#tellState();
    this.#wake();
    return queue.present();
  }

  /** What the user sees of a picture; null where another one has its place by now. */
  present({ position, blob }: PictureRef): LabelDocument | null {
    const queue = this.#backlog.find(position);
    return queue?.confirmed?.blob === blob ? queue.present() : null;
  }

  /** Keeps an edit that was made on `document`, and sends it as soon as it is its turn. */
  push({ position, blob }: PictureRef, document: LabelDocument, operations: readonly Operation[]): void {
    const queue = this.#backlog.queueOf(position);
    const edit: UnsentEdit = {
      dataset: this.#ports.dataset,
      position,
      blob,
      edit_id: makeRandomId(this.#ports.random),
      operations,
      adds: findAdded(document, operations),
      number: this.#number++,
      sender: this.#name,
    };
    this.#outbox.keep(edit);
    if (this.#outbox.isFull) this.#listener.onNotice(NO_ROOM);
    queue.edits.push(edit);
    this.#tellState();
    this.#wake();
  }

  state(): SendingState {
    const waiting = this.countWaiting();
    const [refused] = this.#refused;
    if (refused) return { kind: "refused", waiting, position: refused.position, message: refused.message };
    if (waiting === 0) return { kind: "saved" };
    return this.#offline ? { kind: "offline", waiting, ...this.#offline } : { kind: "saving", waiting };
  }

  countWaiting(): number {
    return this.#backlog.waiting;
  }

  /** Categories have other names now: the server knows no old ones. */
  rename(renames: Renames): void {
    this.#backlog.rename(renames);
    this.#refused = this.#refused.map((edit) => ({
      ...edit,
      operations: renameOperations(edit.operations, renames),
    }));
  }

  retryNow(): void {
    this.#backlog.hurry();
    this.#wake();
  }

  /** Sends the refused edit again, behind those that wait: what refused it may have been mended meanwhile. */
  retryRefused(): void {
    const [refused] = this.#refused;
    if (!refused) return;
    const { message: _, ...edit } = refused;
    const again = { ...edit, number: this.#number++, sender: this.#name };
    this.#outbox.keep(again);
    this.dismissRefused();
    this.#take([again]);
  }

  /** The user read why the server refused an edit; it is not kept any longer. */
  dismissRefused(): void {
    const [refused, ...others] = this.#refused;
    if (refused) this.#outbox.dropRefused(refused);
    this.#refused = others;
    this.#tellState();
  }

  /** Tells nothing any more. What waits is still sent as long as the page lives, and is free at once for another sender, too. */
  close(): void {
    this.#cancelRenewal();
    this.#outbox.endLeases();
    this.#listener = DEAF;
  }

  #renew(): void {
    const { scheduler } = this.#ports;
    this.#outbox.renewLeases(scheduler.now());
    this.#take(this.#outbox.adopt(scheduler.now()));
    this.#cancelRenewal = scheduler.after(RENEW_MS, () => this.#renew());
  }

  #take(edits: readonly UnsentEdit[]): void {
    for (const edit of edits) {
      this.#number = Math.max(this.#number, edit.number + 1);
      this.#parkStrangers(this.#backlog.insert(edit, this.#isSending));
    }
    if (edits.length === 0) return;
    for (const position of new Set(edits.map((edit) => edit.position))) this.#listener.onPicture(position);
    this.#tellState();
    this.#wake();
  }

  /** Edits of another picture that lay at this place, in another workspace or before an import, must not reach this one. */
  #parkStrangers(queue: PictureQueue): void {
    const blob = queue.confirmed?.blob;
    if (blob === undefined) return;
    for (const edit of queue.edits.filter((one) => one.blob !== blob)) this.#park(queue, edit, STRANGER);
  }

  #park(queue: PictureQueue, edit: UnsentEdit, message: string): void {
    this.#outbox.park(edit, message);
    this.#refused = [...this.#refused, { ...edit, message }];
    queue.edits = queue.edits.filter((one) => one !== edit);
  }

  /** Sends what may be sent now, or sets the clock for the first that may be later. */
  #wake(): void {
    this.#cancelTimer();
    if (this.#isSending) return;
    const next = this.#backlog.next();
    if (!next) return;
    const delay = next.notBefore - this.#ports.scheduler.now();
    if (delay > 0) {
      this.#cancelTimer = this.#ports.scheduler.after(delay, () => this.#wake());
      return;
    }
    this.#isSending = true;
    this.#sendFirst(next).finally(() => {
      this.#isSending = false;
      this.#tellState();
      this.#wake();
    });
  }

  async #sendFirst(queue: PictureQueue): Promise<void> {
    // What another page load left waits for a picture that the server did not speak of yet.
    if (!queue.confirmed && !(await this.#load(queue))) return;
    const [edit] = queue.edits;
    if (!edit || !queue.confirmed) return;
    const operations = queue.nextOperations();
    if (operations.length === 0) {
      this.#finish(queue, edit);
      return;
    }
    const { dataset, position, blob, edit_id } = edit;
    const sent = { dataset, position, blob, edit_id, revision: queue.confirmed.revision, operations };
    await this.#settle(queue, edit, await waitForOutcome(() => this.#ports.send(sent), this.#ports.scheduler));
  }

  async #settle(queue: PictureQueue, edit: UnsentEdit, outcome: SendOutcome): Promise<void> {
    if (outcome.kind === "unreachable") {
      this.#fail(queue, outcome.message);
      return;
    }
    this.#offline = null;
    if (outcome.kind === "written") {
      // Where the picture is asked for in vain, the edit stays and is sent again, under its name.
      if (!queue.fold(outcome.written) && !(await this.#load(queue))) return;
      queue.failures = 0;
      this.#finish(queue, edit);
      this.#listener.onPicture(queue.position);
    } else if (outcome.kind === "stale") {
      const before = queue.nextOperations().length;
      queue.confirm(outcome.present);
      if (queue.nextOperations().length < before) this.#listener.onNotice(REMOVED);
      // The first conflict is answered at once; a server that keeps saying so is given time.
      if (queue.failures++ > 0) this.#waitFor(queue);
      this.#listener.onPicture(queue.position);
    } else {
      queue.failures = 0;
      this.#park(queue, edit, outcome.message);
      await this.#load(queue);
      this.#listener.onPicture(queue.position);
    }
  }

  #finish(queue: PictureQueue, edit: UnsentEdit): void {
    this.#outbox.forget(edit);
    queue.edits = queue.edits.filter((one) => one !== edit);
  }

  #fail(queue: PictureQueue, reason: string): void {
    queue.failures++;
    this.#waitFor(queue);
    this.#offline = { since: this.#offline?.since ?? this.#ports.scheduler.now(), reason };
  }

  #waitFor(queue: PictureQueue): void {
    const { scheduler, random } = this.#ports;
    queue.notBefore = scheduler.now() + waitAfter(queue.failures, random);
  }

  /** Asks the server for a picture; false where it did not give it. What waits for a picture that is gone is kept aside. */
  async #load(queue: PictureQueue): Promise<boolean> {
    const { load, dataset, scheduler } = this.#ports;
    const outcome = await waitForOutcome(
      async () => ({ kind: "loaded" as const, item: await load(dataset, queue.position) }),
      scheduler,
    );
    if (outcome.kind === "unreachable") this.#fail(queue, outcome.message);
    if (outcome.kind === "refused") for (const edit of queue.edits) this.#park(queue, edit, outcome.message);
    if (outcome.kind !== "loaded") return false;
    queue.failures = 0;
    queue.confirm(outcome.item);
    this.#parkStrangers(queue);
    this.#listener.onPicture(queue.position);
    return true;
  }

  #tellState(): void {
    this.#listener.onState(this.state());
  }
}
