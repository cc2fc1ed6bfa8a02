import { expect, it } from "vitest";
import { listSplits } from "../../../src/pages/gallery/splits";

it("lists the usual splits, those of the dataset, and none", () => {
  expect(listSplits({ train: 3, line2: 1, unsplit: 2 })).toEqual(["train", "val", "test", "line2", "unsplit"]);
  expect(listSplits({})).toEqual(["train", "val", "test", "unsplit"]);
});
