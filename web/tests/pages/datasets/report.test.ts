import { expect, test } from "vitest";
import { readReport } from "../../../src/pages/datasets/report";

test("a row for each kind of thing, in the report's order", () => {
  const finding = { kind: "annotation", outcome: "dropped", reason: "no area", count: 2, examples: ["a.jpg"] };
  const report = { kept: { image: 1200, annotation: 3 }, changed: {}, dropped: { annotation: 2 }, findings: [finding] };
  expect(readReport(report)).toEqual({
    rows: [
      { kind: "pictures", kept: "1,200", changed: "0", dropped: "0" },
      { kind: "annotations", kept: "3", changed: "0", dropped: "2" },
    ],
    findings: [finding],
  });
});

test("a report that says nothing has no rows", () => {
  expect(readReport({})).toEqual({ rows: [], findings: [] });
});
