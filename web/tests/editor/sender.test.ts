import { expect, test } from "vitest";
import { ANSWER_MS } from "../../src/editor/answers";
import { findUnsentDatasets, LEASE_MS, RENEW_MS } from "../../src/editor/outbox";
import { Sender } from "../../src/editor/sender";
import type { SendingState } from "../../src/editor/snapshot";
import type { Label, LabelDocument, Operation } from "../../src/labels/annotation";
import { applyOperations } from "../../src/labels/document";
import { box, FakePicture, makeWorld, portsOf, seeded, settle, type World } from "./world";

const A = box("a", 0, 0, 10, 10);
const B = box("b", 0, 0, 20, 20);
const EDIT_KEYS = "sightline.edit.";

/** What stands for an editor: the document as its user sees it, and all that it was told. */
class Page {
  readonly sender: Sender;
  readonly states: SendingState[] = [];
  readonly notices: string[] = [];
  readonly documents = new Map<number, LabelDocument>();
  readonly blobs = new Map<number, string>();

  constructor(world: World, dataset = "parts") {
    this.sender = new Sender(portsOf(world, dataset), {
      onState: (state) => this.states.push(state),
      onPicture: (position) => {
        const present = this.sender?.present({ position, blob: this.blobs.get(position) ?? "" });
        if (present) this.documents.set(position, present);
      },
      onNotice: (notice) => this.notices.push(notice),
    });
  }

  open(world: World, position = 0): void {
    const item = world.server.item(position);
    this.blobs.set(position, item.blob);
    this.documents.set(position, this.sender.open(item));
  }

  edit(operations: readonly Operation[], position = 0): void {
    const document = this.documents.get(position) as LabelDocument;
    this.sender.push({ position, blob: this.blobs.get(position) ?? "" }, document, operations);
    this.documents.set(position, applyOperations(document, operations));
  }

  ids(position = 0): string[] {
    return this.documents.get(position)?.labels.map((label) => label.id) ?? [];
  }
}

function start(labels: readonly (readonly Label[])[] = [[], []], seed = 1): { world: World; page: Page } {
  const world = makeWorld(labels, seed);
  const page = new Page(world);
  page.open(world);
  return { world, page };
}

function put(id: string, annotation = A): Operation {
  return { kind: "put", id, annotation, place: null };
}

test("edits are kept before they are sent, and forgotten when the server has them", async () => {
  const { world, page } = start();
  page.edit([put("x")]);
  page.edit([put("y")]);
  expect(world.server.requests).toHaveLength(0);
  expect(world.storage.keysWith(EDIT_KEYS)).toHaveLength(2);
  expect(page.sender.state()).toEqual({ kind: "saving", waiting: 2 });
  await world.clock.pass(1);
  expect(world.server.requests.map((edit) => edit.revision)).toEqual([0, 1]);
  expect(world.storage.keysWith(EDIT_KEYS)).toEqual([]);
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(world.server.picture(0).document).toEqual(page.documents.get(0));
});

test("an edit whose answer was lost is sent again under its name and written once", async () => {
  const { world, page } = start();
  world.server.plan = (_, attempt) => (attempt === 1 ? "lose" : "answer");
  page.edit([put("x")]);
  page.edit([{ kind: "remove", id: "x" }]);
  await world.clock.pass(1000);
  expect(world.server.requests).toHaveLength(3);
  expect(world.server.picture(0).journal).toHaveLength(2);
  expect(page.sender.state()).toEqual({ kind: "saved" });
});

test("of what was written, only what the server cleaned is told, and shown", async () => {
  const { world, page } = start();
  world.server.cleans = (operation) => (operation.kind === "put" && operation.id === "x" ? put("x", B) : operation);
  page.edit([put("x"), put("y")]);
  await world.clock.pass(1);
  expect(page.documents.get(0)).toEqual(world.server.picture(0).document);
  expect(page.documents.get(0)?.labels.map(({ annotation }) => annotation)).toEqual([B, A]);
  page.edit([{ kind: "remove", id: "x" }]);
  await world.clock.pass(1);
  expect(world.server.requests.map((edit) => edit.revision)).toEqual([0, 1]);
  expect(page.documents.get(0)).toEqual(world.server.picture(0).document);
});

test("where others wrote meanwhile, the picture is asked for, as often as it takes", async () => {
  const world = makeWorld();
  const { load } = world.server;
  let isAway = true;
  world.server.load = (dataset, position) => (isAway ? Promise.reject(new Error("away")) : load(dataset, position));
  world.server.plan = (_, attempt) => (attempt === 1 ? "lose" : "answer");
  const page = new Page(world);
  page.open(world);
  page.edit([put("x")]);
  await world.clock.pass(1);
  world.server.edit(0, [put("theirs")]);
  await world.clock.pass(60_000);
  expect(page.sender.state()).toMatchObject({ kind: "offline", waiting: 1 });
  expect(page.ids()).toEqual(["x"]);
  isAway = false;
  await world.clock.pass(60_000);
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(page.ids()).toEqual(["x", "theirs"]);
  expect(world.server.picture(0).journal).toHaveLength(2);
});

test("while the server is away the page says since when, and waits longer and longer", async () => {
  const { world, page } = start();
  world.server.plan = () => "drop";
  const began = world.clock.now();
  page.edit([put("x")]);
  await settle();
  page.edit([put("y")]);
  const offline = { kind: "offline", waiting: 2, since: began, reason: "Failed to fetch" };
  expect(page.sender.state()).toEqual(offline);
  await world.clock.pass(10_000);
  const early = world.server.requests.length;
  await world.clock.pass(600_000);
  expect(page.sender.state()).toEqual(offline);
  expect(early).toBeGreaterThan(3);
  expect(world.server.requests.length - early).toBeGreaterThan(600_000 / 30_000 - 1);
  expect(world.server.requests.length - early).toBeLessThan(600_000 / 15_000 + 1);
  world.server.plan = () => "answer";
  page.sender.retryNow();
  await settle();
  expect(page.sender.state()).toEqual({ kind: "saved" });
});

test.each([401, 408, 429, 500, 503])("status %i is tried again", async (status) => {
  const { world, page } = start();
  world.server.plan = (_, attempt) => (attempt < 4 ? status : "answer");
  page.edit([put("x")]);
  await world.clock.pass(60_000);
  expect(world.server.picture(0).journal).toHaveLength(1);
});

test("no answer at all counts as none after a while", async () => {
  const { world, page } = start();
  world.server.plan = (_, attempt) => (attempt === 1 ? "silent" : "answer");
  page.edit([put("x")]);
  await world.clock.pass(ANSWER_MS - 1);
  expect(page.sender.state().kind).toBe("saving");
  await world.clock.pass(1);
  expect(page.sender.state().kind).toBe("offline");
  await world.clock.pass(1000);
  expect(page.sender.state().kind).toBe("saved");
});

test("an edit made on an older revision is put on the present one, without what is gone", async () => {
  const labels = ["x", "y"].map((id) => ({ id, annotation: A }));
  const { world, page } = start([labels]);
  world.server.edit(0, [{ kind: "remove", id: "x" }, put("theirs", B)]);
  page.edit([put("x", B), put("y", B), put("mine", B)]);
  page.edit([put("mine", A)]);
  await world.clock.pass(1);
  expect(page.ids()).toEqual(["y", "theirs", "mine"]);
  expect(page.notices).toEqual(["Someone else removed labels that you changed meanwhile; they stay removed."]);
  expect(world.server.picture(0).document).toEqual(page.documents.get(0));
  // The refused try and the one that was written have one name.
  expect(new Set(world.server.requests.map((edit) => edit.edit_id)).size).toBe(2);
});

test("an edit of which nothing is left is not sent", async () => {
  const { world, page } = start([[{ id: "x", annotation: A }]]);
  world.server.edit(0, [{ kind: "remove", id: "x" }]);
  page.edit([put("x", B)]);
  await world.clock.pass(1);
  expect(world.server.requests).toHaveLength(1);
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(page.ids()).toEqual([]);
});

test("a server that finds every edit stale is not asked without pause", async () => {
  const { world, page } = start();
  world.server.write = () => ({ kind: "stale", present: world.server.item(0) });
  page.edit([put("x")]);
  await world.clock.pass(60_000);
  expect(world.server.requests.length).toBeLessThan(12);
});

test("a server with a younger journal, as from a backup, is believed", async () => {
  const { world, page } = start();
  page.edit([put("x")]);
  page.edit([put("y")]);
  await world.clock.pass(1);
  world.server.picture(0).journal.pop();
  page.edit([put("z")]);
  await world.clock.pass(1);
  expect(page.ids()).toEqual(["x", "z"]);
  expect(page.sender.state()).toEqual({ kind: "saved" });
});

test("a refused edit is kept aside, said in the server's words, and the rest goes on", async () => {
  const { world, page } = start();
  world.server.refuses = (edit) =>
    edit.operations.some((one) => one.kind === "put" && one.id === "bad") ? "no" : null;
  page.edit([put("x")]);
  page.edit([put("bad")]);
  page.edit([put("bad", B), put("z")]);
  await world.clock.pass(1);
  expect(page.sender.state()).toEqual({ kind: "refused", waiting: 0, position: 0, message: "no" });
  expect(page.ids()).toEqual(["x", "z"]);
  expect(world.server.picture(0).document).toEqual(page.documents.get(0));
  expect(world.storage.keysWith("sightline.refused.")).toHaveLength(1);
  // It is still said after a visit later, until the user read it.
  expect(new Page(world).sender.state().kind).toBe("refused");
  page.sender.dismissRefused();
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(world.storage.keysWith("sightline.refused.")).toEqual([]);
});

test("a refused edit is sent again when the user says so, under the names that its categories have by now", async () => {
  const { world, page } = start();
  const hasOldName = (edit: { readonly operations: readonly Operation[] }) =>
    edit.operations.some((one) => one.kind === "put" && one.annotation.category === A.category);
  world.server.refuses = (edit) => (hasOldName(edit) ? "no such category" : null);
  page.edit([put("x")]);
  await world.clock.pass(1);
  expect(page.sender.state().kind).toBe("refused");
  page.sender.retryRefused();
  await world.clock.pass(1);
  expect(page.sender.state()).toMatchObject({ kind: "refused", message: "no such category" });
  page.sender.rename(new Map([[A.category, "renamed"]]));
  page.sender.retryRefused();
  await world.clock.pass(1);
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(page.ids()).toEqual(["x"]);
  expect(world.server.picture(0).document.labels[0]?.annotation.category).toBe("renamed");
  expect(world.storage.keysWith("sightline.refused.")).toEqual([]);
});

test("pictures wait for their own edits only", async () => {
  const { world, page } = start();
  page.open(world, 1);
  world.server.plan = (edit) => (edit.position === 0 ? 500 : "answer");
  page.open(world, 0);
  page.edit([put("x")], 0);
  page.open(world, 1);
  page.edit([put("y")], 1);
  await world.clock.pass(1000);
  expect(world.server.picture(1).journal).toHaveLength(1);
  expect(page.sender.countWaiting()).toBe(1);
});

test("a picture that is opened again shows what was not sent yet", async () => {
  const { world, page } = start();
  world.server.plan = () => "drop";
  page.edit([put("x")]);
  await settle();
  page.open(world, 1);
  page.open(world, 0);
  expect(page.ids(0)).toEqual(["x"]);
});

test("an answer from a cache does not take back what the server wrote since", async () => {
  const { world, page } = start();
  const cached = world.server.item(0);
  page.edit([put("x")]);
  await world.clock.pass(1);
  page.open(world, 1);
  expect(page.sender.open(cached).labels.map((label) => label.id)).toEqual(["x"]);
});

test("what a closed tab left is shown and sent by the next one, once", async () => {
  const { world, page } = start();
  world.server.plan = (edit) => (edit.operations.length === 1 ? "lose" : "drop");
  page.edit([put("x")]);
  page.edit([put("y"), put("z")]);
  await settle();
  page.sender.close();
  const next = new Page(world);
  next.open(world);
  expect(next.ids()).toEqual(["x", "y", "z"]);
  expect(next.sender.state()).toEqual({ kind: "saving", waiting: 2 });
  world.server.plan = () => "answer";
  await world.clock.pass(1);
  expect(world.server.picture(0).journal).toHaveLength(2);
  expect(next.sender.state()).toEqual({ kind: "saved" });
  expect(world.storage.keysWith(EDIT_KEYS)).toEqual([]);
});

test("what a crashed tab left is taken over when its lease is over, without opening the picture", async () => {
  const { world, page } = start();
  world.server.plan = () => "silent";
  page.edit([put("x")], 0);
  await settle();
  const texts = new Map(world.storage.texts);
  const later = makeWorld([[], []], 2);
  for (const [key, text] of texts) later.storage.setItem(key, text);
  const next = new Page(later);
  await later.clock.pass(LEASE_MS - RENEW_MS);
  expect(later.server.requests).toHaveLength(0);
  await later.clock.pass(2 * RENEW_MS);
  expect(later.server.picture(0).document.labels.map((label) => label.id)).toEqual(["x"]);
  expect(next.sender.state()).toEqual({ kind: "saved" });
  expect(later.storage.keysWith(EDIT_KEYS)).toEqual([]);
});

test("two tabs that both live keep their edits apart, and both see both", async () => {
  const { world, page } = start();
  const other = new Page(world);
  other.open(world);
  page.edit([put("x")]);
  other.edit([put("y")]);
  await world.clock.pass(LEASE_MS * 3);
  page.edit([put("z")]);
  await world.clock.pass(1);
  expect(page.ids()).toEqual(["x", "y", "z"]);
  expect(world.server.picture(0).journal).toHaveLength(3);
});

test("a tab that slept and whose edits were taken over sends them, too: they are written once", async () => {
  const { world, page } = start();
  world.server.plan = () => "drop";
  page.edit([put("x")]);
  await settle();
  for (const key of world.storage.keysWith("sightline.lease.")) world.storage.removeItem(key);
  const next = new Page(world);
  page.edit([put("y")]);
  world.server.plan = () => "answer";
  page.sender.retryNow();
  next.sender.retryNow();
  await world.clock.pass(60_000);
  expect(world.server.picture(0).document.labels.map((label) => label.id)).toEqual(["x", "y"]);
  expect([page.sender.state().kind, next.sender.state().kind]).toEqual(["saved", "saved"]);
  expect(world.storage.keysWith(EDIT_KEYS)).toEqual([]);
});

test("edits of another workspace's picture at the same place are kept aside", async () => {
  const { world, page } = start();
  world.server.plan = () => "drop";
  page.edit([put("x")]);
  await settle();
  page.sender.close();
  const other = makeWorld([[], []], 2);
  other.server.pictures[0] = new FakePicture([], "another");
  const next = new Page({ ...other, storage: world.storage });
  await other.clock.pass(1);
  expect(other.server.requests).toEqual([]);
  expect(next.sender.state()).toMatchObject({ kind: "refused", position: 0 });
});

test("an edit whose picture was replaced meanwhile is refused by the server and kept aside", async () => {
  const { world, page } = start();
  world.server.pictures[0] = new FakePicture([], "another");
  page.edit([put("x")]);
  await world.clock.pass(1);
  expect(page.sender.state()).toMatchObject({ kind: "refused", message: "another picture has place 0" });
  // What is shown still is the old picture: the new one's labels are not put upon it.
  expect(page.sender.present({ position: 0, blob: "blob0" })).toBeNull();
});

test("edits of a picture that is gone are kept aside", async () => {
  const { world, page } = start();
  world.server.plan = () => "drop";
  page.edit([put("x")]);
  await settle();
  page.sender.close();
  const other = makeWorld([], 2);
  const next = new Page({ ...other, storage: world.storage });
  await other.clock.pass(1);
  expect(next.sender.state()).toMatchObject({ kind: "refused", message: "no picture 0" });
});

test("another dataset's edits are not touched; what no page sends is known by its dataset", async () => {
  const { world, page } = start();
  const { world: visited, die } = mortal(world);
  const closed = new Page(visited);
  closed.open(world);
  world.server.plan = () => "drop";
  page.edit([put("theirs")]);
  closed.edit([put("x")]);
  await settle();
  closed.sender.close();
  die();
  expect(new Page(world, "birds").sender.countWaiting()).toBe(0);
  expect(findUnsentDatasets(world.storage, world.clock.now())).toEqual(["parts"]);
  world.server.plan = () => "answer";
  await world.clock.pass(RENEW_MS + 2000);
  expect(findUnsentDatasets(world.storage, world.clock.now())).toEqual([]);
  expect(page.sender.state()).toEqual({ kind: "saved" });
  expect(world.server.picture(0).document.labels.map((label) => label.id)).toEqual(["theirs", "x"]);
});

test("a closed editor's edits are still sent", async () => {
  const { world, page } = start();
  page.edit([put("x")]);
  const told = page.states.length;
  page.sender.close();
  await world.clock.pass(1);
  expect(world.server.picture(0).journal).toHaveLength(1);
  expect(page.states).toHaveLength(told);
});

test("a browser without room says so, and the edit is sent all the same", async () => {
  const { world, page } = start();
  world.storage.isFull = true;
  page.edit([put("x")]);
  expect(page.notices).toEqual([
    "This browser has no room left to keep edits: leave this page open until all is saved.",
  ]);
  await world.clock.pass(1);
  expect(world.server.picture(0).journal).toHaveLength(1);
});

test("foreign texts in the storage are left alone", () => {
  const world = makeWorld();
  world.storage.setItem("sightline.edit.other.1", "{");
  world.storage.setItem("theirs", "text");
  expect(new Page(world).sender.state()).toEqual({ kind: "saved" });
});

/** A page that stops dead: nothing that it began goes on, nothing is written any more. */
function mortal(world: World): { world: World; die: () => void } {
  let isDead = false;
  const never = new Promise<never>(() => {});
  const server = Object.create(world.server) as World["server"];
  server.send = async (edit) => {
    const outcome = await world.server.send(edit);
    return isDead ? never : outcome;
  };
  const clock = Object.create(world.clock) as World["clock"];
  clock.now = world.clock.now;
  clock.after = (milliseconds, callBack) => world.clock.after(milliseconds, () => !isDead && callBack());
  return {
    world: { ...world, server, clock },
    die: () => {
      isDead = true;
    },
  };
}

/**
 * Three visits of a user to two pictures: answers get lost, the server restarts, stays silent or is not reached, someone else edits,
 * tabs close or crash while edits wait. In the end every edit is in the journal, once and in the order in which it was made; only
 * what a crashed tab left may come after what was made while its lease ran.
 */
test.each(Array.from({ length: 60 }, (_, i) => i))(
  "nothing is lost or written twice, whatever fails (seed %i)",
  async (seed) => {
    const world = makeWorld([[], []], seed);
    const chance = seeded(1000 + seed);
    const crashes = seed % 2 === 1;
    const fates = ["lose", "drop", "silent", 503, 401] as const;
    world.server.plan = () => (chance() < 0.5 ? "answer" : (fates[Math.floor(chance() * fates.length)] ?? "answer"));
    const made: string[][] = [[], []];
    for (let visit = 0; visit < 3; visit++) {
      const { world: visited, die } = mortal(world);
      const page = new Page(visited);
      for (let step = 0; step < 12; step++) {
        const position = chance() < 0.5 ? 0 : 1;
        page.open(world, position);
        const id = `visit ${visit} step ${step}`;
        page.edit([put(id)], position);
        made[position]?.push(id);
        if (chance() < 0.3) world.server.edit(position, [put(`theirs ${visit} ${step}`, B)]);
        if (chance() < 0.6) await world.clock.pass(chance() * 3000);
      }
      if (!crashes) page.sender.close();
      die();
    }
    world.server.plan = () => "answer";
    const last = new Page(world);
    last.open(world, 0);
    await world.clock.pass(LEASE_MS + 60_000);
    expect(last.sender.state()).toEqual({ kind: "saved" });
    expect(world.storage.keysWith(EDIT_KEYS)).toEqual([]);
    for (const position of [0, 1]) {
      const { journal, document } = world.server.picture(position);
      const names = journal.map((entry) => entry.edit.edit_id);
      expect(new Set(names).size).toBe(names.length);
      const written = journal.flatMap(({ edit }) =>
        edit.operations.flatMap((one) => (one.kind === "put" ? one.id : [])),
      );
      const mine = written.filter((id) => id.startsWith("visit"));
      expect(crashes ? groupByVisit(mine) : mine).toEqual(made[position]);
      expect(document.labels).toHaveLength(written.length);
    }
    expect(last.sender.present(world.server.item(0))).toEqual(world.server.picture(0).document);
  },
);

/** Sorted by visit; within a visit as they came. */
function groupByVisit(ids: readonly string[]): string[] {
  return [...ids].sort((a, b) => a.slice(0, 7).localeCompare(b.slice(0, 7)));
}
