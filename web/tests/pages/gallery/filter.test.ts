import { expect, test } from "vitest";
import { isFiltering, readFilter, writeFilter } from "../../../src/pages/gallery/filter";

test("a filter survives the address", () => {
  const filter = {
    state: "proposed",
    category: "dent & scratch",
    split: "val",
    video: "day 1/line.mp4",
    search: "IMG 1",
  } as const;
  expect(readFilter(new URLSearchParams(writeFilter(filter).toString()))).toEqual(filter);
});

test("what lets all through is not written", () => {
  expect(writeFilter({ state: undefined, category: "", search: "" }).toString()).toBe("");
  expect(isFiltering({ category: "" })).toBe(false);
  expect(isFiltering({ split: "val" })).toBe(true);
});

test("words that no filter has are left out", () => {
  expect(readFilter(new URLSearchParams("state=done&page=3&split=test"))).toEqual({ split: "test" });
});
