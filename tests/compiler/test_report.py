"""`report.json`: what is written is read back, is JSON to every program, and older files stay readable."""

import json
import math
from typing import Any

import pytest

from sightline.compiler.comparison import Comparison
from sightline.compiler.gate import Check, GateResult
from sightline.compiler.report import CandidateRow, CompileReport, GraphFacts, decode_report, encode_report
from sightline.core.errors import InvalidInput


def make_report(error: float, change: float, time_limit_s: float | None = None) -> CompileReport:
    check = Check(name="tensors", passed=False, value=error, limit=0.1, text="")
    comparison = Comparison(
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
        graph=GraphFacts(nodes=1, operators={}, flops=0, weights=0, opset=18, size_bytes=1),
        candidates=[row],
        refusals=[],
        timings=[],
        comparison=comparison,
    )


def read_strictly(content: bytes) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(content, parse_constant=refuse)


def write_format_1(report: CompileReport) -> bytes:
    """As it was written before: null for every number that is not finite."""
    fields = read_strictly(encode_report(report)) | {"format_version": 1}
    fields["candidates"][0]["gate"]["checks"][0]["value"] = None
    fields["comparison"] |= {"candidate": None, "change": None}
    return json.dumps(fields).encode()


@pytest.mark.parametrize("report", [make_report(0.25, -0.25), make_report(math.inf, -math.inf, math.inf)])
def test_a_report_is_read_back_as_it_was_written(report: CompileReport) -> None:
    assert decode_report(encode_report(report)) == report


def test_a_number_that_is_none_is_read_back_as_none() -> None:
    report = decode_report(encode_report(make_report(math.nan, 0.0)))
    assert report.candidates[0].gate is not None
    assert math.isnan(report.candidates[0].gate.checks[0].value)


def test_other_programs_read_strict_json_with_the_infinities_as_words() -> None:
    fields = read_strictly(encode_report(make_report(math.inf, -math.inf)))
    assert fields["format_version"] == 2
    assert fields["candidates"][0]["gate"]["checks"][0]["value"] == "Infinity"
    assert fields["comparison"]["change"] == "-Infinity"
    assert fields["categories"] == ["Infinity", "NaN", "null"]


def test_format_1_which_wrote_null_for_infinities_is_read_as_what_it_meant() -> None:
    report = make_report(math.inf, -math.inf)
    assert decode_report(write_format_1(report)) == report


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format_version": 3, "name": []}', "format 1 to 2, got 3"),
        (b"[]", "compile again"),
        (b'{"name": "net"}', "compile again"),
        (b"{", "compile again"),
        (b'"\xff"', "compile again"),
    ],
)
def test_what_is_no_report_of_ours_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        decode_report(content)


def test_format_1_without_infinities_is_read_as_it_is() -> None:
    fields = read_strictly(encode_report(make_report(0.25, -0.25))) | {"format_version": 1}
    assert decode_report(json.dumps(fields).encode()) == make_report(0.25, -0.25)
