"""The conversion report counts, keeps a few examples and reads well."""

import pytest

from sightline.core.errors import InvalidInput
from sightline.data.conversion import MAX_EXAMPLES, ConversionReport, clean_name


def test_an_empty_report_is_clean_and_says_nothing():
    report = ConversionReport()
    assert report.is_clean
    assert report.lines() == []
    assert report.to_dict() == {"clean": True, "kept": {}, "changed": {}, "dropped": {}, "findings": []}


def test_keeping_and_warning_is_clean_changing_or_dropping_is_not():
    report = ConversionReport()
    report.keep("image", 3)
    report.warn("image", "twice", "a = b")
    assert report.is_clean
    report.change("annotation", "clipped")
    assert not report.is_clean


def test_counts_are_summed_by_kind_and_reason():
    report = ConversionReport()
    report.drop("annotation", "no area", "a.jpg")
    report.drop("annotation", "no area", "b.jpg", count=2)
    report.drop("annotation", "outside", "c.jpg")
    report.change("annotation", "clipped", "d.jpg")
    assert report.dropped("annotation") == 4
    assert report.changed("annotation") == 1
    assert report.dropped("image") == 0
    assert report.count("annotation", "dropped", "no area") == 3
    assert report.count("annotation", "dropped", "never") == 0


def test_only_a_few_examples_are_kept_and_none_twice():
    report = ConversionReport()
    for number in range(100):
        report.drop("image", "broken", f"{number // 2}.jpg")
    (finding,) = report.findings()
    assert finding.count == 100
    assert finding.examples == [f"{number}.jpg" for number in range(MAX_EXAMPLES)]


def test_lines_state_counts_then_reasons_dropped_first():
    report = ConversionReport()
    report.keep("image", 1200)
    report.change("annotation", "clipped", "b.jpg")
    report.drop("annotation", "no area", "a.jpg", count=2)
    report.warn("file", "ignored", "notes.txt")  # files are not counted where none was kept, changed or dropped
    assert report.lines() == [
        "images: 1,200 kept, 0 changed, 0 dropped",
        "annotations: 0 kept, 1 changed, 2 dropped",
        "dropped 2 annotations: no area (a.jpg, ...)",
        "changed 1 annotation: clipped (b.jpg)",
        "warned 1 file: ignored (notes.txt)",
    ]


def test_a_negative_count_is_refused():
    with pytest.raises(InvalidInput, match="0 or more"):
        ConversionReport().drop("image", "x", count=-1)


def test_text_that_is_no_unicode_can_be_said():
    report = ConversionReport()
    report.drop("image", "broken picture", "b\udcff.png")
    assert report.lines()[-1].encode() == "dropped 1 image: broken picture (b\N{REPLACEMENT CHARACTER}.png)".encode()
    assert clean_name(" two\nlines\0\ud800 ") == "two lines\N{REPLACEMENT CHARACTER}"


def test_the_first_reasons_fit_one_line():
    report = ConversionReport()
    assert report.reasons("dropped") == ""
    report.warn("image", "odd", "w.png")
    for reason in ("missing", "broken", "huge", "empty"):
        for name in ("a.png", "b.png"):
            report.drop("image", reason, name)
    assert report.reasons("dropped", 2) == "dropped 2 images: missing (a.png, ...); dropped 2 images: broken (a.png, ...); ..."


def test_what_had_arrived_may_be_left_out_after_all_also_in_another_process():
    report = ConversionReport()
    report.keep("image", 3)
    report.warn("image", "odd", "a.png")
    again = ConversionReport.from_dict(report.to_dict())
    again.leave_out("image", "is there already", "b.png", count=2)
    assert again.kept == {"image": 1}
    assert again.count("image", "dropped", "is there already") == 2
    again.warn("image", "odd", "c.png")
    assert again.to_dict()["findings"][-1]["examples"] == ["a.png", "c.png"]
