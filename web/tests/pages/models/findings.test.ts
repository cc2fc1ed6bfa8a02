import { expect, test } from "vitest";
import { listFindings } from "../../../src/pages/models/findings";

test("the surest stands first, with its box in whole pixels", () => {
  const found = listFindings([
    { category: "dent", confidence: 0.4, box_xyxy: [10.2, 20.4, 30.6, 30.5] },
    { category: "hole", confidence: 0.9, box_xyxy: null },
    { category: "part" },
  ]);
  expect(found).toEqual([
    { category: "part", confidence: 1, place: "" },
    { category: "hole", confidence: 0.9, place: "" },
    { category: "dent", confidence: 0.4, place: "21 × 11 at 10, 20" },
  ]);
});

test("nothing found is an empty list", () => expect(listFindings([])).toEqual([]));
