import { expect, test } from "vitest";
import { findSpeedup, formatPoints, readGateReport } from "../../../src/pages/models/gate";

const check = { name: "accuracy", passed: true, value: -0.003, limit: -0.01, text: "map 5.17 % FP32, 4.87 % compiled" };
const report = readGateReport(
  JSON.stringify({
    chosen: "openvino int8",
    warnings: ["few pictures"],
    candidates: [
      {
        name: "onnxruntime fp32",
        precision: "fp32",
        size_bytes: 4,
        best: { throughput: 100 },
        gate: null,
        verdict: "",
      },
      {
        name: "openvino int8",
        precision: "int8",
        size_bytes: 2,
        best: { throughput: 250 },
        gate: { checks: [check] },
        verdict: "chosen",
      },
      { name: "openvino bf16", precision: "bf16", size_bytes: 3, best: null, gate: null, verdict: "not asked for" },
    ],
  }),
);

test("the checks are those of what was chosen", () => expect(report.checks).toEqual([check]));

test("the fastest candidate stands first, what was not timed last", () => {
  expect(report.candidates.map(({ name }) => name)).toEqual(["openvino int8", "onnxruntime fp32", "openvino bf16"]);
  expect(report.candidates[0]?.isChosen).toBe(true);
});

test("the gain is over the fastest in FP32", () => {
  expect(findSpeedup(report)).toBe(2.5);
  expect(findSpeedup({ ...report, candidates: report.candidates.slice(0, 1) })).toBeNull();
});

test("a report of nothing shows nothing", () => {
  expect(readGateReport("{}")).toEqual({ checks: [], candidates: [], warnings: [] });
});

test.each([
  [-0.003, "−0.30 points"],
  [0.0125, "+1.25 points"],
  [-0.00001, "±0.00 points"],
])("%d is %s", (change, text) => expect(formatPoints(change)).toBe(text));
