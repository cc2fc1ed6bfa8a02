import { expect, test } from "vitest";
import type { UnsentEdit } from "../../src/editor/outbox";
import { Backlog } from "../../src/editor/queue";

function edit(number: number, position = 0): UnsentEdit {
  const edit_id = `edit${number}`;
  return { dataset: "parts", position, blob: "b", edit_id, operations: [], adds: [], number, sender: "tab" };
}

test("edits stand in the order in which they were made, but the first may be on its way", () => {
  const backlog = new Backlog();
  for (const number of [5, 7, 6]) backlog.insert(edit(number), false);
  backlog.insert(edit(1), true);
  backlog.insert(edit(6), true);
  expect(backlog.queueOf(0).edits.map((one) => one.number)).toEqual([5, 1, 6, 7]);
  expect(backlog.waiting).toBe(4);
});

test("the picture that waited longest is next, and hurry ends all waits", () => {
  const backlog = new Backlog();
  expect(backlog.next()).toBeNull();
  backlog.insert(edit(0, 3), false).notBefore = 50;
  backlog.insert(edit(1, 4), false).notBefore = 20;
  backlog.queueOf(5);
  expect(backlog.next()?.position).toBe(4);
  backlog.hurry();
  expect(backlog.next()?.position).toBe(3);
});

test("pictures that were opened long ago are forgotten, unless an edit waits", () => {
  const backlog = new Backlog();
  backlog.insert(edit(0, 1000), false);
  for (let position = 0; position < 40; position++) backlog.open(position);
  backlog.open(20);
  expect([0, 8, 9, 39, 1000].map((position) => backlog.find(position) !== undefined)).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
});
