import { describe, expect, test } from "vitest";
import type { DatasetSummary } from "../../../src/api/types";
import { findLacks } from "../../../src/pages/train/missing";

const whole: DatasetSummary = {
  name: "parts",
  base_id: "ab",
  item_count: 100,
  states: { labelled: 100, proposed: 0, unlabelled: 0 },
  splits: { train: 70, val: 15, test: 15 },
  annotation_counts: { dent: 90 },
  categories: [{ id: 0, name: "dent", colour: "#ff0000" }],
  unfrozen_edits: 0,
  newer_version: null,
};

test("a whole dataset lacks nothing", () => expect(findLacks(whole)).toEqual({ forbids: [], warns: [] }));

describe("a training is forbidden", () => {
  test.each([
    ["without categories", { categories: [] }, "categories"],
    ["without labelled pictures", { states: { labelled: 0, proposed: 0, unlabelled: 100 } }, "No picture is labelled"],
    ["without labels", { annotation_counts: {} }, "No picture is labelled"],
    ["without pictures to learn from", { splits: { val: 15 } }, "train"],
  ])("%s", (_, change, words) => expect(findLacks({ ...whole, ...change }).forbids.join()).toContain(words));
});

describe("a training is warned of", () => {
  test.each([
    [
      "pictures that nobody labelled",
      { states: { labelled: 99, proposed: 0, unlabelled: 1 } },
      "1 picture that nobody labelled is left out",
    ],
    ["proposals", { states: { labelled: 80, proposed: 20, unlabelled: 0 } }, "20 pictures with proposals"],
    ["few labels", { states: { labelled: 5, proposed: 0, unlabelled: 0 } }, "Only 5 pictures"],
    ["nothing to validate on", { splits: { train: 100 } }, "val"],
    [
      "categories without labels",
      {
        annotation_counts: { dent: 3, hole: 0 },
        categories: [...whole.categories, { id: 1, name: "hole", colour: "#00ff00" }],
      },
      "labelled as hole",
    ],
  ])("%s", (_, change, words) => {
    const { forbids, warns } = findLacks({ ...whole, ...change } as DatasetSummary);
    expect(forbids).toEqual([]);
    expect(warns.join()).toContain(words);
  });
});
