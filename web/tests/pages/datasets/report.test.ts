import { expect, test } from "vitest";
import { toRows } from "../../../src/pages/datasets/report";

test("a row for each kind of thing, in the report's order", () => {
  const report = {
    clean: false,
    kept: { image: 1200, category: 3 },
    changed: {},
    dropped: { annotation: 2 },
    findings: [],
  };
  expect(toRows(report)).toEqual([
    { kind: "pictures", kept: "1,200", changed: "0", dropped: "0" },
    { kind: "categories", kept: "3", changed: "0", dropped: "0" },
    { kind: "annotations", kept: "0", changed: "0", dropped: "2" },
  ]);
});

test("a report that says nothing has no rows", () => {
  expect(toRows({ clean: true, kept: {}, changed: {}, dropped: {}, findings: [] })).toEqual([]);
});
