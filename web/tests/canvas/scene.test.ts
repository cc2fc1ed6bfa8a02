import { expect, test } from "vitest";
import { findChanges, isSameSource, makeScene, type SceneSource } from "../../src/canvas/scene";
import type { Label } from "../../src/labels/annotation";

const nothing: ReadonlySet<string> = new Set();
const labels: readonly Label[] = ["a", "b", "c"].map((id) => ({
  id,
  annotation: { category: "dent", box_xyxy: [0, 0, 9, 9] },
}));
const source: SceneSource = {
  labels,
  hidden: nothing,
  absent: nothing,
  selected: nothing,
  hovered: null,
  colours: new Map([["dent", "#ff0000"]]),
};

function changedIds(after: SceneSource, before = source): string[] | null {
  return findChanges(makeScene(before), makeScene(after))?.map(({ id }) => id) ?? null;
}

test("a scene has neither hidden labels nor those drawn elsewhere", () => {
  const scene = makeScene({ ...source, hidden: new Set(["a"]), absent: new Set(["c"]) });
  expect(scene.map(({ id, colour, isMarked }) => [id, colour, isMarked])).toEqual([["b", "#ff0000", false]]);
});

test("the same labels change nothing", () => {
  expect(changedIds({ ...source, labels: [...labels] })).toEqual([]);
});

test("what is new, gone, chosen or another annotation is changed, before and after", () => {
  expect(changedIds({ ...source, labels: [...labels, { id: "d", annotation: { category: "dent" } }] })).toEqual(["d"]);
  expect(changedIds({ ...source, labels: labels.slice(1) })).toEqual(["a"]);
  expect(changedIds({ ...source, selected: new Set(["b"]) })).toEqual(["b", "b"]);
  expect(changedIds({ ...source, hovered: "b" })).toEqual(["b", "b"]);
  const moved = labels.map((label) => (label.id === "c" ? { ...label, annotation: { category: "dent" } } : label));
  expect(changedIds({ ...source, labels: moved })).toEqual(["c", "c"]);
});

test("another colour changes every label of the category", () => {
  expect(changedIds({ ...source, colours: new Map() })).toEqual(["a", "a", "b", "b", "c", "c"]);
});

test("another order may change all", () => {
  expect(changedIds({ ...source, labels: labels.toReversed() })).toBeNull();
});

test("a source with an equal set of absent ids is the same", () => {
  expect(isSameSource({ ...source, absent: new Set(["a"]) }, { ...source, absent: new Set(["a"]) })).toBe(true);
  expect(isSameSource({ ...source, absent: new Set(["a"]) }, { ...source, absent: new Set(["b"]) })).toBe(false);
  expect(isSameSource(null, source)).toBe(false);
});
