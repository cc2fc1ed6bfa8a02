"""`report.json`: what is written is read back, is JSON to every program, and older files stay readable."""

import json
import math
from typing import Any

import msgspec
import pytest
from report_fakes import make_report

from sightline.compiler.comparison import CategoryChange
from sightline.compiler.report.records import CompileReport, decode_report, encode_report
from sightline.core.errors import InvalidInput


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
    assert fields["format_version"] == 3
    assert fields["candidates"][0]["gate"]["checks"][0]["value"] == "Infinity"
    assert fields["comparison"]["change"] == "-Infinity"
    assert fields["categories"] == ["Infinity", "NaN", "null"]


def test_ends_of_an_interval_that_nothing_tells_are_null_and_no_measured_zero() -> None:
    report = make_report(0.25, -0.25)
    assert report.comparison is not None
    same = CategoryChange(category="dent", baseline=0.5, candidate=0.5, low=None, high=None)
    rows = (same, msgspec.structs.replace(same, low=0.0, high=0.0))
    report = msgspec.structs.replace(report, comparison=msgspec.structs.replace(report.comparison, per_category=rows))
    written = read_strictly(encode_report(report))["comparison"]["per_category"]
    assert [(row["low"], row["high"]) for row in written] == [(None, None), (0.0, 0.0)]
    assert decode_report(encode_report(report)) == report
    assert decode_report(encode_report(msgspec.structs.replace(report, format_version=2))) == report


def test_format_1_which_wrote_null_for_infinities_is_read_as_what_it_meant() -> None:
    report = make_report(math.inf, -math.inf)
    assert decode_report(write_format_1(report)) == report


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format_version": 4, "name": []}', "format 1 to 3, got 4"),
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


def test_a_report_from_before_shown_objects_were_judged_is_read() -> None:
    fields = read_strictly(encode_report(make_report(0.25, -0.25)))
    del fields["comparison"]["shown"]
    assert decode_report(json.dumps(fields).encode()) == make_report(0.25, -0.25)
