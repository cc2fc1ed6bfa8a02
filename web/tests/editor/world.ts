/** A world for tests of the editor: a clock that is moved by hand, the browser's storage, and a server with a journal that can fail. */
import type { CutOut, Edit, EditorPorts, KeptTexts, Scheduler, SendOutcome } from "../../src/editor/ports";
import { emptyMask } from "../../src/geometry/masks";
import { encodeMask } from "../../src/geometry/rle";
import type { Annotation, Label, LabelDocument, LabelledItem, Operation } from "../../src/labels/annotation";
import { attributesOf, carryAttributes } from "../../src/labels/attributes";
import { applyOperations, findLabel, sameAnnotation } from "../../src/labels/document";

/** Mulberry32: the same numbers for the same seed, 0 up to 1. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class HandClock implements Scheduler {
  #now = 1_000_000;
  #timers = new Map<number, { at: number; callBack: () => void }>();
  #made = 0;

  now = () => this.#now;

  after = (milliseconds: number, callBack: () => void) => {
    const id = this.#made++;
    this.#timers.set(id, { at: this.#now + milliseconds, callBack });
    return () => void this.#timers.delete(id);
  };

  /** Lets time pass, timer by timer, with everything settled in between. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settle();
      const due = [...this.#timers]
        .filter(([, timer]) => timer.at <= end)
        .sort(([a, x], [b, y]) => x.at - y.at || a - b);
      const [first] = due;
      if (!first) break;
      this.#timers.delete(first[0]);
      this.#now = Math.max(this.#now, first[1].at);
      first[1].callBack();
    }
    this.#now = end;
  }
}

/** Lets promises that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

export class HandStorage implements KeptTexts {
  readonly texts = new Map<string, string>();
  isFull = false;

  get length() {
    return this.texts.size;
  }
  key = (i: number) => [...this.texts.keys()][i] ?? null;
  getItem = (key: string) => this.texts.get(key) ?? null;
  setItem = (key: string, text: string) => {
    if (this.isFull) throw new Error("QuotaExceededError");
    this.texts.set(key, text);
  };
  removeItem = (key: string) => void this.texts.delete(key);

  keysWith(prefix: string): string[] {
    return [...this.texts.keys()].filter((key) => key.startsWith(prefix));
  }
}

export const SIZE = { width: 100, height: 80 };

export function box(category: string, x0: number, y0: number, x1: number, y1: number): Annotation {
  return { category, box_xyxy: [x0, y0, x1, y1] };
}

type Journalled = { readonly edit: Edit };

/** A picture on the server: what it came with, and its journal. */
export class FakePicture {
  readonly first: LabelDocument;
  readonly journal: Journalled[] = [];
  readonly blob: string;

  constructor(labels: readonly Label[], blob: string) {
    this.first = { labels, seenBy: null };
    this.blob = blob;
  }

  get document(): LabelDocument {
    return this.journal.reduce((document, { edit }) => applyOperations(document, edit.operations), this.first);
  }
}

/** Answers as the contract says; `plan` decides for each request what goes wrong with it. */
export class FakeServer {
  readonly pictures: FakePicture[];
  readonly requests: Edit[] = [];
  /** What happens to the next requests: "lose" the answer of one that was written, let it not arrive, stay silent, or a status. */
  plan: (edit: Edit, attempt: number) => "answer" | "lose" | "drop" | "silent" | number = () => "answer";
  /** What the journal has instead of an operation. */
  cleans: (operation: Operation) => Operation = (operation) => operation;
  refuses: (edit: Edit) => string | null = () => null;

  constructor(pictures: readonly (readonly Label[])[], blob = "blob") {
    this.pictures = pictures.map((labels, i) => new FakePicture(labels, `${blob}${i}`));
  }

  item(position: number): LabelledItem {
    const picture = this.picture(position);
    const { labels, seenBy } = picture.document;
    const read = JSON.parse(JSON.stringify(labels)) as Label[];
    return {
      position,
      file_name: `${position}.png`,
      ...SIZE,
      blob: picture.blob,
      revision: picture.journal.length,
      labels: read,
      seen_by: seenBy,
      ...carryAttributes(attributesOf(picture.document)),
    };
  }

  picture(position: number): FakePicture {
    const picture = this.pictures[position];
    if (!picture) throw Object.assign(new Error(`no picture ${position}`), { status: 404 });
    return picture;
  }

  /** Someone else's edit. */
  edit(position: number, operations: readonly Operation[]): void {
    const { journal } = this.picture(position);
    const edit_id = `other${position}-${journal.length}`;
    journal.push({
      edit: {
        dataset: "parts",
        position,
        blob: this.picture(position).blob,
        edit_id,
        revision: journal.length,
        operations,
      },
    });
  }

  send = async (edit: Edit): Promise<SendOutcome> => {
    this.requests.push(edit);
    const fate = this.plan(edit, this.requests.length);
    if (fate === "drop") throw new TypeError("Failed to fetch");
    if (fate === "silent") return new Promise(() => {});
    if (typeof fate === "number") return { kind: "unreachable", message: `status ${fate}` };
    const outcome = this.write(JSON.parse(JSON.stringify(edit)) as Edit);
    if (fate === "lose") throw new TypeError("Failed to fetch");
    return outcome;
  };

  write(edit: Edit): SendOutcome {
    const { journal, document, blob } = this.picture(edit.position);
    if (edit.blob !== blob) return { kind: "refused", message: `another picture has place ${edit.position}` };
    if (journal.some((entry) => entry.edit.edit_id === edit.edit_id)) return this.tell(edit);
    if (edit.revision !== journal.length) return { kind: "stale", present: this.item(edit.position) };
    const refusal = this.refuses(edit) ?? findUnknown(document, edit.operations);
    if (refusal) return { kind: "refused", message: refusal };
    journal.push({ edit: { ...edit, operations: edit.operations.map((operation) => this.cleans(operation)) } });
    return this.tell(edit);
  }

  /** What the server answers of an edit that it wrote. */
  tell(edit: Edit): SendOutcome {
    const { labels, revision, seen_by } = this.item(edit.position);
    const sent = new Map(
      edit.operations.flatMap((one) => (one.kind === "put" ? [[one.id, one.annotation] as const] : [])),
    );
    const cleaned = labels.filter(({ id, annotation }) => {
      const own = sent.get(id);
      return own !== undefined && !sameAnnotation(own, annotation);
    });
    return { kind: "written", written: { revision, seen_by, cleaned } };
  }

  /** Of a box, all its pixels. */
  cutOut: CutOut = async (_picture, { box: [x0, y0, x1, y1] }) => {
    const mask = emptyMask(SIZE);
    for (let y = Math.floor(y0); y < y1; y++)
      mask.data.fill(1, y * SIZE.width + Math.floor(x0), y * SIZE.width + Math.floor(x1));
    return encodeMask(mask);
  };

  load = async (_dataset: string, position: number): Promise<LabelledItem> => this.item(position);
}

/** As the server: a label that is not there cannot be removed. */
function findUnknown(document: LabelDocument, operations: readonly Operation[]): string | null {
  let present = document;
  for (const operation of operations) {
    if (operation.kind === "remove" && !findLabel(present, operation.id)) return `no label ${operation.id}`;
    present = applyOperations(present, [operation]);
  }
  return null;
}

export type World = { clock: HandClock; storage: HandStorage; server: FakeServer; random: () => number };

export function makeWorld(labels: readonly (readonly Label[])[] = [[], []], seed = 1): World {
  return { clock: new HandClock(), storage: new HandStorage(), server: new FakeServer(labels), random: seeded(seed) };
}

export function portsOf({ clock, storage, server, random }: World, dataset = "parts"): EditorPorts {
  return { dataset, storage, scheduler: clock, random, send: server.send, load: server.load, cutOut: server.cutOut };
}
