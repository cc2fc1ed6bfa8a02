"""A report of a compilation that failed at its only candidate, and what a detector shows."""

from sightline.compiler.comparison import CompiledComparison, ShownChange
from sightline.compiler.gate import Check, GateResult
from sightline.compiler.report.records import CandidateRow, CompileReport, GraphSummary


def make_report(error: float, change: float, time_limit_s: float | None = None) -> CompileReport:
    check = Check(name="tensors", passed=False, value=error, limit=0.1, text="")
    comparison = CompiledComparison(
        evidence="tensors",
        metric="accuracy of the tensors",
        category_metric="relative error",
        images=20,
        baseline=1.0,
        candidate=1.0 + change,
        change=change,
        low=-1.0,
        high=-1.0,
        method="",
        agreement_name="",
        agreement=0.0,
        mean_iou=None,
        per_category=(),
    )
    row = CandidateRow(
        name="int8",
        engine="openvino",
        precision="int8",
        quantiser=None,
        size_bytes=1,
        best=None,
        gate=GateResult(candidate="int8", checks=(check,)),
        verdict="failed",
    )
    return CompileReport(
        name="net",
        model_id="0" * 64,
        task="raw",
        categories=("Infinity", "NaN", "null"),
        created_at="2026-01-01T00:00:00Z",
        passed=False,
        verdict="",
        chosen=None,
        requested={"max_drop": 0.01, "time_limit_s": time_limit_s},
        command="",
        seed=0,
        dataset_version=None,
        pictures={},
        host={},
        graph=GraphSummary(nodes=1, operators={}, flops=0, weights=0, opset=18, size_bytes=1),
        candidates=[row],
        refusals=[],
        timings=[],
        comparison=comparison,
    )


def make_shown(change: float, low: float, high: float) -> ShownChange:
    return ShownChange(
        threshold=0.35,
        baseline=0.9,
        candidate=0.9 + change,
        change=change,
        low=low,
        high=high,
        objects=1000,
        baseline_shown=990,
        baseline_right=900,
        candidate_shown=620,
        candidate_right=600,
        per_category=(),
    )
