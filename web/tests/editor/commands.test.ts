import { expect, test } from "vitest";
import {
  acceptProposals,
  dropIdle,
  nudgeLabels,
  putCopies,
  recategoriseLabels,
  removeLabels,
  replaceProposals,
  setImageCategory,
} from "../../src/editor/commands";
import type { Annotation, LabelDocument, Operation } from "../../src/labels/annotation";
import { applyOperations } from "../../src/labels/document";
import { box, SIZE } from "./world";

const HUMAN = box("cat", 10, 10, 30, 30);
const PROPOSAL: Annotation = { ...box("dog", 50, 50, 70, 70), origin: "model", confidence: 0.6 };
const DOCUMENT: LabelDocument = {
  labels: [
    { id: "h", annotation: HUMAN },
    { id: "p", annotation: PROPOSAL },
  ],
  seenBy: null,
};

let made = 0;
const makeId = () => `new${made++}`;

function after(operations: readonly Operation[], document = DOCUMENT): readonly Annotation[] {
  return applyOperations(document, operations).labels.map((label) => label.annotation);
}

test("an accepted proposal is a person's and keeps its place; a person's label is not touched", () => {
  const operations = acceptProposals(DOCUMENT, ["h", "p", "unknown"]);
  expect(operations).toHaveLength(1);
  expect(after(operations)[1]).toEqual({ ...PROPOSAL, origin: "human", confidence: null });
});

test("another category for what has another one", () => {
  expect(recategoriseLabels(DOCUMENT, ["h"], "cat")).toEqual([]);
  expect(after(recategoriseLabels(DOCUMENT, ["h", "p"], "cat"))[1]).toMatchObject({ category: "cat", origin: "human" });
});

test("removal speaks only of what is there", () => {
  expect(removeLabels(DOCUMENT, ["p", "unknown"])).toEqual([{ kind: "remove", id: "p" }]);
});

test("labels move together, as far as the first reaches the border", () => {
  const boxes = (byX: number, byY: number) =>
    after(nudgeLabels(DOCUMENT, ["h", "p"], byX, byY, SIZE)).map((one) => one.box_xyxy);
  expect(boxes(1, 0)).toEqual([
    [11, 10, 31, 30],
    [51, 50, 71, 70],
  ]);
  expect(boxes(0, 40)).toEqual([
    [10, 20, 30, 40],
    [50, 60, 70, 80],
  ]);
  expect(nudgeLabels(DOCUMENT, ["h"], -100, -100, SIZE)).toHaveLength(1);
  const cornered = applyOperations(DOCUMENT, nudgeLabels(DOCUMENT, ["h"], -100, -100, SIZE));
  expect(nudgeLabels(cornered, ["h"], -1, 0, SIZE)).toEqual([]);
});

test("a picture of one class has one label, and a choice replaces it", () => {
  const empty: LabelDocument = { labels: [], seenBy: null };
  const sunny = applyOperations(empty, setImageCategory(empty, "sunny", true, makeId));
  const rainy = applyOperations(sunny, setImageCategory(sunny, "rainy", true, makeId));
  expect(rainy.labels).toEqual([{ id: sunny.labels[0]?.id, annotation: { category: "rainy" } }]);
  expect(dropIdle(rainy, setImageCategory(rainy, "rainy", true, makeId))).toEqual([]);
});

test("of several labels of the picture, and of proposals, the chosen one stays", () => {
  const several: LabelDocument = {
    labels: [
      { id: "b", annotation: HUMAN },
      { id: "s", annotation: { category: "sunny" } },
      { id: "r", annotation: { category: "rainy", origin: "model", confidence: 0.7 } },
    ],
    seenBy: null,
  };
  const chosen = applyOperations(several, setImageCategory(several, "rainy", true, makeId));
  expect(chosen.labels.map((label) => label.id)).toEqual(["b", "r"]);
  expect(chosen.labels[1]?.annotation).toMatchObject({ category: "rainy", origin: "human", confidence: null });
});

test("with several classes each toggles; a proposal is accepted first", () => {
  const proposed: LabelDocument = {
    labels: [{ id: "r", annotation: { category: "rainy", origin: "model", confidence: 0.7 } }],
    seenBy: "model",
  };
  const accepted = applyOperations(proposed, setImageCategory(proposed, "rainy", false, makeId));
  expect(accepted.labels[0]?.annotation.origin).toBe("human");
  expect(setImageCategory(accepted, "rainy", false, makeId)).toEqual([{ kind: "remove", id: "r" }]);
  const both = after(setImageCategory(accepted, "windy", false, makeId), accepted);
  expect(both.map((one) => one.category)).toEqual(["rainy", "windy"]);
});

test("new proposals take the place of those that nobody accepted", () => {
  const operations = replaceProposals(DOCUMENT, [box("cat", 1, 1, 2, 2)], makeId);
  const result = applyOperations(DOCUMENT, operations);
  expect(result.labels.map((label) => label.annotation.origin)).toEqual([undefined, "model"]);
  const untouched = { labels: DOCUMENT.labels.slice(1), seenBy: null };
  expect(applyOperations(untouched, replaceProposals(untouched, [], makeId)).seenBy).toBe("model");
});

test("copies lie in the picture, are a person's and have names of their own", () => {
  const copies = putCopies([HUMAN, PROPOSAL, box("far", 200, 200, 210, 210)], 0, { width: 60, height: 60 }, makeId);
  expect(copies.map((copy) => copy.annotation.box_xyxy)).toEqual([
    [10, 10, 30, 30],
    [50, 50, 60, 60],
  ]);
  expect(copies[1]?.annotation).toMatchObject({ origin: "human", confidence: null });
  expect(new Set(copies.map((copy) => copy.id)).size).toBe(2);
});

test("shifted copies move no further than to the border", () => {
  const [copy] = putCopies([box("cat", 60, 10, 95, 30)], 12, SIZE, makeId);
  expect(copy?.annotation.box_xyxy).toEqual([65, 22, 100, 42]);
});

test("puts that change nothing are no step", () => {
  const idle: Operation = { kind: "put", id: "h", annotation: { ...HUMAN, origin: "human", confidence: null } };
  const move: Operation = { ...idle, place: 1 };
  expect(dropIdle(DOCUMENT, [idle])).toEqual([]);
  expect(dropIdle(DOCUMENT, [move])).toEqual([move]);
  expect(dropIdle(DOCUMENT, [{ kind: "remove", id: "h" }, idle])).toHaveLength(2);
});
