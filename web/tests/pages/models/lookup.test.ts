import { describe, expect, test } from "vitest";
import type { Artifact, DatasetSummary, MeasuredReport, Model } from "../../../src/api/types";
import {
  artifactsOf,
  chooseDataset,
  findMade,
  isSameId,
  measurableSplits,
  reportsOf,
  tellChoice,
} from "../../../src/pages/models/lookup";

test("ids are the same where one is the start of the other", () => {
  expect(isSameId("ab12", "ab12ffff")).toBe(true);
  expect(isSameId("ab12ffff", "ab12")).toBe(true);
  expect(isSameId("ab12", "ab13")).toBe(false);
  expect(isSameId("", "ab12")).toBe(false);
});

test("of several of a name the id decides", () => {
  const list = [
    { name: "parts", id: "aa11" },
    { name: "parts", id: "bb22" },
  ];
  expect(findMade(list, "parts", "bb22")).toBe(list[1]);
  expect(findMade(list, "other", "bb22")).toBeUndefined();
});

test("what was made of a model is found by its id", () => {
  const model = { id: "ce8be42466342769" } as Model;
  const artifacts = [{ model_id: "ce8be424663427695d65" }, { model_id: "0000" }] as Artifact[];
  expect(artifactsOf(model, artifacts)).toEqual([artifacts[0]]);
  const reports = [
    { subject: { id: "ce8be424663427695d65" } },
    { subject: { id: null } },
    { subject: {} },
  ] as MeasuredReport[];
  expect(reportsOf(model.id, reports)).toEqual([reports[0]]);
});

describe("the dataset to offer", () => {
  const datasets = [{ base_id: "aa11" }, { base_id: "bb22" }] as DatasetSummary[];
  test("is the one that was trained on", () => expect(chooseDataset(datasets, "bb22ffff")).toBe(datasets[1]));
  test("is the first where that is not there any more", () => {
    expect(chooseDataset(datasets, "cc33")).toBe(datasets[0]);
    expect(chooseDataset(datasets, null)).toBe(datasets[0]);
  });
  test("is none where there are none", () => expect(chooseDataset([], "aa11")).toBeUndefined());
});

describe("below a choice of dataset stands", () => {
  const dataset = { name: "parts", base_id: "aa11bb22cc33dd44", item_count: 1, unfrozen_edits: 0 } as DatasetSummary;
  const edited = (unfrozen_edits: number) => [{ ...dataset, unfrozen_edits }];
  test("the version that its name means", () =>
    expect(tellChoice([dataset], "parts")).toBe("Version aa11bb22cc33, 1 picture."));
  test("what is frozen first", () => {
    expect(tellChoice(edited(1), "parts")).toBe("1 unfrozen edit becomes a new version first.");
    expect(tellChoice(edited(2), "parts")).toBe("2 unfrozen edits become a new version first.");
  });
  test("why there has to be one, where none is chosen", () => {
    expect(tellChoice([dataset], "", "Choose one.")).toBe("Choose one.");
    expect(tellChoice([dataset], "")).toBeUndefined();
  });
  test("where to make one, where there is none", () =>
    expect(tellChoice([], "", "Choose one.")).toContain("no dataset yet"));
});

test("splits stand in the order in which people measure on them", () => {
  expect(measurableSplits({ train: 70, extra: 3, val: 10, test: 12, unsplit: 4, empty: 0 })).toEqual([
    "test",
    "val",
    "train",
    "extra",
  ]);
});
