import { expect, test } from "vitest";
import { countWaitingEdits, findUnsentDatasets, LEASE_MS, Outbox, type UnsentEdit } from "../../src/editor/outbox";
import { HandStorage } from "./world";

function edit(sender: string, number: number, dataset = "parts"): UnsentEdit {
  const edit_id = `${sender}-${number}`;
  return { dataset, position: 0, blob: "b", edit_id, operations: [], adds: [], number, sender };
}

test("what a sender left is taken over when its lease is over, in the order in which it was made", () => {
  const storage = new HandStorage();
  const dead = new Outbox(storage, "parts", "dead");
  dead.renewLeases(0);
  dead.keep(edit("dead", 2));
  dead.keep(edit("dead", 1));
  const next = new Outbox(storage, "parts", "next");
  expect(next.adopt(LEASE_MS - 1)).toEqual([]);
  expect(next.adopt(LEASE_MS).map((one) => one.number)).toEqual([1, 2]);
  // Now it has a lease again: no third one takes it.
  expect(new Outbox(storage, "parts", "third").adopt(LEASE_MS + 1)).toEqual([]);
});

test("a sender that was taken over and wakes up again is not forgotten, though its lease runs", () => {
  const storage = new HandStorage();
  const sleeper = new Outbox(storage, "parts", "sleeper");
  sleeper.keep(edit("sleeper", 1));
  const next = new Outbox(storage, "parts", "next");
  next.adopt(LEASE_MS);
  sleeper.keep(edit("sleeper", 2));
  expect(next.adopt(LEASE_MS + 1).map((one) => one.number)).toEqual([1, 2]);
});

test("only a dataset's own edits are taken, and all datasets that wait are known", () => {
  const storage = new HandStorage();
  new Outbox(storage, "birds", "dead").keep(edit("dead", 1, "birds"));
  expect(new Outbox(storage, "parts", "next").adopt(LEASE_MS)).toEqual([]);
  expect(findUnsentDatasets(storage, LEASE_MS)).toEqual(["birds"]);
  expect(countWaitingEdits(storage)).toBe(1);
});
