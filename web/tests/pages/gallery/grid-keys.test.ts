import { expect, test } from "vitest";
import { moveByKey } from "../../../src/pages/gallery/grid-keys";

// 0 1 2 3
// 4 5 6 7
// 8 9
const shape = { count: 10, columns: 4, rowsShown: 3 };

test.each([
  ["ArrowRight", 3, 4],
  ["ArrowLeft", 4, 3],
  ["ArrowDown", 1, 5],
  ["ArrowUp", 9, 5],
  ["Home", 6, 0],
  ["End", 1, 9],
  ["PageDown", 1, 9],
  ["PageUp", 9, 1],
])("%s leads from %i to %i", (key, from, to) => {
  expect(moveByKey(key, from, shape)).toBe(to);
});

test.each([
  ["ArrowLeft", 0, 0],
  ["ArrowRight", 9, 9],
  ["ArrowUp", 2, 2],
  ["ArrowDown", 8, 8],
])("%s at the edge stays: from %i to %i", (key, from, to) => {
  expect(moveByKey(key, from, shape)).toBe(to);
});

test("down into a shorter last row takes its last cell", () => {
  expect(moveByKey("ArrowDown", 7, shape)).toBe(9);
});

test("a page up from the middle ends in the first row of its column", () => {
  expect(moveByKey("PageUp", 6, shape)).toBe(2);
});

test("other keys mean nothing", () => {
  expect(moveByKey("a", 3, shape)).toBeNull();
});
