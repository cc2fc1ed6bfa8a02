import { expect, test } from "vitest";
import { findRenames, NO_RENAMES, renameLabels } from "../../src/labels/renames";

function named(...names: string[]) {
  return names.map((name, id) => ({ id, name, colour: "#ff0000" }));
}

test("a category is the same by its id, also after two renames", () => {
  const first = findRenames(NO_RENAMES, named("a", "b"), named("c", "b"));
  expect([...first]).toEqual([["a", "c"]]);
  expect([...findRenames(first, named("c", "b"), named("d", "b"))].sort()).toEqual([
    ["a", "d"],
    ["c", "d"],
  ]);
});

test("a name that there is again is no old name, and one that is gone stays", () => {
  const first = findRenames(NO_RENAMES, named("a", "b"), named("c", "b"));
  expect([...findRenames(first, named("c", "b"), named("a", "b"))]).toEqual([["c", "a"]]);
  expect([...findRenames(NO_RENAMES, named("a", "b"), named("a"))]).toEqual([]);
});

test("labels without an old name are left alone", () => {
  const labels = [{ id: "0", annotation: { category: "b" } }];
  expect(renameLabels(labels, new Map([["a", "c"]]))).toBe(labels);
});
