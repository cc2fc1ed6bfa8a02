/**
 * Unsent edits in the browser's storage, one text per edit, so that none is lost when a tab or the browser goes away. Each sender
 * keeps its own under a name of its own and renews a lease on that name; who finds a name whose lease is over takes its edits over
 * by renewing it. A tab that only slept may find its edits taken: then both send them, which writes each once, for an edit keeps
 * its `edit_id`.
 */
import type { Operation } from "../labels/annotation";
import type { KeptTexts } from "./ports";

export type UnsentEdit = {
  readonly dataset: string;
  readonly position: number;
  /** The picture that it was made on: at the same place of another workspace lies another one. */
  readonly blob: string;
  readonly edit_id: string;
  readonly operations: readonly Operation[];
  /** Ids that it brings in, as opposed to those that it changes. */
  readonly adds: readonly string[];
  /** The order in which edits were made: higher than that of all edits that its sender knew of (a Lamport clock). */
  readonly number: number;
  /** Whose it was when it was made. */
  readonly sender: string;
};

/** An edit that the server refused for good, and the server's line. */
export type RefusedEdit = UnsentEdit & { readonly message: string };

const EDIT = "sightline.edit.";
const LEASE = "sightline.lease.";
const REFUSED = "sightline.refused.";

/** A lease that was not renewed for so long is over. */
export const LEASE_MS = 20_000;
export const RENEW_MS = 5_000;

export class Outbox {
  readonly #storage: KeptTexts;
  readonly #dataset: string;
  /** Names of senders whose edits are this one's: its own first. */
  readonly #names: string[];
  /** The browser had no room for an edit: then it is only in this page. */
  isFull = false;

  constructor(storage: KeptTexts, dataset: string, name: string) {
    this.#storage = storage;
    this.#dataset = dataset;
    this.#names = [name];
  }

  keep(edit: UnsentEdit): void {
    this.#write(editKey(edit), JSON.stringify(edit));
  }

  forget(edit: UnsentEdit): void {
    this.#storage.removeItem(editKey(edit));
  }

  /** Keeps a refused edit aside, out of the queue. */
  park(edit: UnsentEdit, message: string): void {
    this.#write(REFUSED + edit.edit_id, JSON.stringify({ ...edit, message }));
    this.forget(edit);
  }

  refused(): RefusedEdit[] {
    return readAll<RefusedEdit>(this.#storage, REFUSED).filter((edit) => edit.dataset === this.#dataset);
  }

  dropRefused(edit: RefusedEdit): void {
    this.#storage.removeItem(REFUSED + edit.edit_id);
  }

  renewLeases(now: number): void {
    for (const name of this.#names) this.#write(LEASE + name, String(now));
  }

  /** Gives the edits free at once. */
  endLeases(): void {
    for (const name of this.#names) this.#storage.removeItem(LEASE + name);
  }

  /** Takes over what senders whose lease is over left behind of this dataset, in the order in which it was made. */
  adopt(now: number): UnsentEdit[] {
    const [own, ...others] = this.#names;
    const left = readAll<UnsentEdit>(this.#storage, EDIT).filter(
      ({ dataset, sender }) =>
        dataset === this.#dataset &&
        sender !== own &&
        (others.includes(sender) || isLeaseOver(this.#storage, sender, now)),
    );
    this.#names.push(...new Set(left.map((edit) => edit.sender).filter((sender) => !others.includes(sender))));
    this.renewLeases(now);
    return left.sort((a, b) => a.number - b.number);
  }

  #write(key: string, text: string): void {
    try {
      this.#storage.setItem(key, text);
      this.isFull = false;
    } catch (error) {
      // Only a full or forbidden storage throws here; the edit stays in memory and is sent all the same.
      if (!(error instanceof Error)) throw error;
      this.isFull = true;
    }
  }
}

/** Names of the datasets that have edits which no open page sends. */
export function findUnsentDatasets(storage: KeptTexts, now: number): string[] {
  const left = readAll<UnsentEdit>(storage, EDIT).filter(({ sender }) => isLeaseOver(storage, sender, now));
  return [...new Set(left.map((edit) => edit.dataset))];
}

/** How many edits wait in this browser, whichever page is to send them. */
export function countWaitingEdits(storage: KeptTexts): number {
  return readAll<UnsentEdit>(storage, EDIT).length;
}

function isLeaseOver(storage: KeptTexts, sender: string, now: number): boolean {
  return now - Number(storage.getItem(LEASE + sender) ?? 0) >= LEASE_MS;
}

function editKey({ sender, edit_id }: UnsentEdit): string {
  return `${EDIT}${sender}.${edit_id}`;
}

function readAll<Value>(storage: KeptTexts, prefix: string): Value[] {
  const keys = Array.from({ length: storage.length }, (_, i) => storage.key(i));
  return keys.flatMap((key) => (key?.startsWith(prefix) ? readText<Value>(storage.getItem(key)) : []));
}

/** Other programs of the same address may write here, too: what is no JSON is not ours. */
function readText<Value>(text: string | null): Value[] {
  try {
    return text === null ? [] : [JSON.parse(text) as Value];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
