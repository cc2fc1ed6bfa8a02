from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from sightline.bench.comparing import ComparedNumber, ReportComparison, compare_reports
from sightline.bench.records import DatasetFacts, LoadResult, ReportContent
from sightline.bench.resamples import Resamples
from sightline.bench.tables import explain_intervals
from sightline.bench.timing import compute_spread
from sightline.metrics.task_metrics import ResampledMetrics

MakeContent = Callable[..., ReportContent]


def find(comparison: ReportComparison, group: str, name: str) -> ComparedNumber:
    return next(number for number in comparison.numbers if (number.group, number.name) == (group, name))


def test_a_report_compared_with_itself_has_no_differences(make_content: MakeContent) -> None:
    comparison = compare_reports(make_content(), make_content())
    assert comparison.warnings == ()
    assert {number.verdict for number in comparison.numbers} == {"same", "unknown"}  # unknown: energy
    assert {number.ratio for number in comparison.numbers if number.a} == {1.0}


def test_difference_and_ratio_are_b_against_a(make_content: MakeContent) -> None:
    a = make_content()
    latency = msgspec.structs.replace(a.latency[0], ms=msgspec.structs.replace(a.latency[0].ms, p50=2.5))
    number = find(compare_reports(a, make_content(latency=(latency,))), "latency", "end to end, batch 1: p50")
    assert (number.difference, number.ratio) == (-2.5, 0.5)


def test_accuracies_on_other_pictures_are_shown_but_not_compared(make_content: MakeContent) -> None:
    other = DatasetFacts(name="parts", version="beef" * 16, split="test", images=10, images_in_split=10)
    comparison = compare_reports(make_content(), make_content(dataset=other))
    number = find(comparison, "accuracy", "map")
    assert (number.a, number.b, number.difference, number.ratio) == (0.5, 0.5, None, None)
    assert not comparison.same_pictures
    assert any("different pictures" in warning for warning in comparison.warnings)


def test_a_drawn_subset_compares_only_with_the_same_seed(make_content: MakeContent) -> None:
    part = DatasetFacts(name="parts", version="c0ffee" * 10, split="test", images=5, images_in_split=10)
    assert compare_reports(make_content(dataset=part, seed=1), make_content(dataset=part, seed=1)).same_pictures
    assert not compare_reports(make_content(dataset=part, seed=1), make_content(dataset=part, seed=2)).same_pictures


@pytest.mark.parametrize(("drawn", "same"), [((10, 10), True), ((10, 9), False), ((10, None), False), ((None, None), False)])
def test_pictures_without_a_label_that_an_older_report_counts_as_judged_make_no_difference(
    drawn: tuple[int | None, int | None], same: bool, make_content: MakeContent
) -> None:
    older, newer = (
        DatasetFacts(name="parts", version="c0ffee" * 10, split="test", images=images, images_in_split=10, drawn=told)
        for images, told in zip((10, 8), drawn, strict=True)
    )
    assert compare_reports(make_content(dataset=older), make_content(dataset=newer)).same_pictures is same


@pytest.mark.parametrize(("drawn", "same"), [(10, True), (9, False), (None, False)])
def test_pictures_that_were_left_out_of_a_whole_split_are_the_same_whatever_the_seed(
    drawn: int | None, same: bool, make_content: MakeContent
) -> None:
    facts = DatasetFacts(name="parts", version="c0ffee" * 10, split="test", images=8, images_in_split=10, drawn=drawn)
    pair = make_content(dataset=facts, seed=0), make_content(dataset=facts, seed=1)
    assert compare_reports(*pair).same_pictures is same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("http://one:8000", "http://two:8000", False),
        ("http://one:8000", "http://one:8000/", True),
        ("http://one:8000", None, False),
    ],
)
def test_servers_are_hosts_of_their_own(first: str, second: str | None, same: bool, make_content: MakeContent) -> None:
    subject = make_content().subject
    pair = [make_content(subject=msgspec.structs.replace(subject, url=url)) for url in (first, second)]
    comparison = compare_reports(*pair)
    assert comparison.same_host is same
    assert find(comparison, "throughput", "batch 1, 1 stream").ratio == (1.0 if same else None)
    assert find(comparison, "accuracy", "map").ratio == 1.0
    assert [("speeds are not compared" in warning) for warning in comparison.warnings] == ([] if same else [True])


@pytest.mark.parametrize(("first", "second", "same"), [("A", None, True), ("A", "A", True), ("A", "B", False)])
def test_a_gpu_and_the_cpu_beside_it_are_compared_and_two_kinds_of_gpu_are_not(
    first: str | None, second: str | None, same: bool, make_content: MakeContent
) -> None:
    host = make_content().host
    pair = [make_content(host=host | ({"gpu": gpu} if gpu else {})) for gpu in (first, second)]
    for a, b in (pair, pair[::-1]):
        comparison = compare_reports(a, b)
        assert find(comparison, "throughput", "batch 1, 1 stream").ratio == (1.0 if same else None)
        assert any("different GPU" in warning for warning in comparison.warnings) is not same


def test_speeds_on_another_machine_are_shown_but_not_compared(make_content: MakeContent) -> None:
    host = make_content().host | {"cpu": "Another CPU"}
    comparison = compare_reports(make_content(), make_content(host=host))
    assert find(comparison, "throughput", "batch 1, 1 stream").ratio is None
    assert find(comparison, "accuracy", "map").ratio == 1.0
    assert any("different CPU (A CPU and Another CPU)" in warning for warning in comparison.warnings)


def test_a_busy_machine_and_other_packages_are_named(make_content: MakeContent) -> None:
    host = make_content().host | {"packages": {"numpy": "2.2"}}
    busy = LoadResult(average_before=3.0, average_after=3.0, other_cores=1.5)
    warnings = compare_reports(make_content(), make_content(host=host, load=busy)).warnings
    assert any("numpy 2.1 and 2.2" in warning for warning in warnings)
    assert any("1.5 cores busy while the second" in warning for warning in warnings)


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_number_only_one_report_holds_has_none_on_the_other_side(make_content: MakeContent, side: str) -> None:
    bare = make_content(latency=())
    pair = (make_content(), bare) if side == "b" else (bare, make_content())
    number = find(compare_reports(*pair), "latency", "end to end, batch 1: p50")
    assert getattr(number, side) is None
    assert number.verdict == "unknown"


def test_a_threshold_among_the_metrics_is_not_compared_as_an_accuracy(make_content: MakeContent) -> None:
    accuracy = make_content().accuracy
    values = {**accuracy.values, "best_confidence": 0.4}
    with_threshold = make_content(accuracy=msgspec.structs.replace(accuracy, values=values))
    names = {number.name for number in compare_reports(with_threshold, with_threshold).numbers}
    assert "best_confidence" not in names and set(accuracy.values) <= names


@pytest.mark.parametrize(
    ("b", "interval", "verdict"),
    [
        (0.6, (0.55, 0.65), "better"),
        (0.4, (0.35, 0.45), "worse"),
        (0.6, (0.45, 0.75), "unclear"),  # a lies in b's interval
        (0.52, (0.51, 0.53), "unclear"),  # b lies in a's interval
        (0.6, (None, None), "unclear"),
    ],
)
def test_an_accuracy_is_better_or_worse_only_outside_the_intervals(
    b: float, interval: tuple[float | None, float | None], verdict: str, make_content: MakeContent
) -> None:
    accuracy = msgspec.structs.replace(make_content().accuracy, primary_low=0.45, primary_high=0.55)
    low, high = interval
    other = msgspec.structs.replace(accuracy, primary=b, values={"map": b}, primary_low=low, primary_high=high)
    number = find(compare_reports(make_content(accuracy=accuracy), make_content(accuracy=other)), "accuracy", "map")
    assert (number.difference, number.verdict) == (pytest.approx(b - 0.5), verdict)


def make_resamples(changes: Sequence[float], draws: str = "0") -> tuple[Resamples, Resamples]:
    """Of two Reports: the mAP50 of the second, and the AP of its "b", are by `changes` higher in the resamples."""
    first = np.linspace(0.2, 0.6, len(changes))
    sides = [
        ResampledMetrics({"map50": values}, {"ap": np.stack([first, values], axis=1)}) for values in (first, first + changes)
    ]
    return tuple(
        Resamples(draws=name, images=10, categories=("a", "b"), pictures=(9, 9), found=side)
        for name, side in zip("0" + draws, sides, strict=True)
    )  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("changes", "difference", "verdict"),
    [((0.02, 0.05), 0.03, "better"), ((-0.05, -0.02), -0.03, "worse"), ((-0.01, 0.05), 0.03, "unclear")],
)
def test_an_accuracy_is_better_or_worse_where_its_paired_interval_leaves_out_0(
    changes: tuple[float, float], difference: float, verdict: str, make_content: MakeContent
) -> None:
    accuracy = make_content().accuracy
    rows = {"a": {"ap": 0.4}, "b": {"ap": 0.6 + difference}}
    other = msgspec.structs.replace(accuracy, values={"map": 0.5, "map50": 0.8 + difference}, per_category=rows)
    pair = make_content(), make_content(accuracy=other)
    comparison = compare_reports(*pair, make_resamples(np.linspace(*changes, 1001).tolist()))
    spread = changes[1] - changes[0]
    ends = pytest.approx((changes[0] + 0.025 * spread, changes[1] - 0.025 * spread), abs=1e-6)
    for name in ("map50", "b: ap"):
        number = find(comparison, "accuracy", name)
        assert (number.difference_interval, number.no_interval, number.verdict) == (ends, "", verdict)
    assert comparison.count_intervals() == 2
    same = find(comparison, "accuracy", "a: ap")
    assert (same.difference_interval, same.no_interval, same.verdict) == (None, "unchanged", "same")


def test_what_has_no_interval_is_told_with_the_reason(make_content: MakeContent) -> None:
    comparison = compare_reports(make_content(), make_content(), make_resamples([0.1, 0.2], draws="1"))
    reasons = {names[0]: (reason, names) for reason, names in comparison.group_reasons().items()}
    assert reasons["map"] == ("no resamples of it are kept", ["map"])
    assert reasons["map50"][1] == ["map50", "a: ap", "b: ap"] and "different seeds" in reasons["map50"][0]
    assert reasons["throughput"] == ("the range of its repeats stands for it", ["throughput"])
    assert reasons["latency"] == (
        "it was measured once",  # three calls are too few for fifths of them
        ["latency", "CPU of latency", "CPU of throughput", "memory"],
    )
    assert all((number.difference_interval is None) == bool(number.no_interval) for number in comparison.numbers)
    elsewhere = make_content(dataset=DatasetFacts(name="p", version="beef" * 16, split="test", images=10, images_in_split=10))
    number = find(compare_reports(make_content(), elsewhere, make_resamples([0.1, 0.2])), "accuracy", "map50")
    assert (number.difference_interval, number.no_interval) == (None, "not compared")


@pytest.mark.parametrize(("repeats", "verdict"), [((120.0, 130.0, 140.0), "better"), ((90.0, 130.0, 140.0), "unclear")])
def test_a_throughput_is_better_only_outside_the_repeats(
    repeats: tuple[float, ...], verdict: str, make_content: MakeContent
) -> None:
    slow, fast = (
        msgspec.structs.replace(make_content().throughput[0], images_per_s=speed, repeats=turns)
        for speed, turns in ((100.0, (95.0, 100.0, 105.0)), (130.0, repeats))
    )
    comparison = compare_reports(make_content(throughput=(slow,)), make_content(throughput=(fast,)))
    assert find(comparison, "throughput", "batch 1, 1 stream").verdict == verdict


@pytest.mark.parametrize(
    ("milliseconds", "verdict"),
    [((3.0, 3.1, 3.0, 3.2, 3.1), "better"), ((4.0, 4.1, 5.2, 4.0, 4.1), "unclear"), ((6.1, 6.2, 6.3, 6.2, 6.2), "worse")],
)
def test_a_latency_is_better_only_outside_what_its_own_calls_differ_by(
    milliseconds: tuple[float, ...], verdict: str, make_content: MakeContent
) -> None:
    """Ten calls each, two of each time; a's come in the order of a machine that slows down, from 4 to 6 ms."""
    pair = []
    for times in ((4.0, 4.5, 5.0, 5.5, 6.0), milliseconds):
        samples = tuple(np.repeat(times, 2).tolist())
        latency = msgspec.structs.replace(make_content().latency[0], ms=compute_spread(samples), samples_ms=samples)
        pair.append(make_content(latency=(latency,)))
    number = find(compare_reports(*pair), "latency", "end to end, batch 1: p50")
    assert (number.a_interval, number.b_interval) == ((4.0, 6.0), (min(milliseconds), max(milliseconds)))
    assert number.verdict == verdict


def test_what_was_measured_once_is_neither_better_nor_worse(make_content: MakeContent) -> None:
    a = make_content()
    assert a.memory is not None
    b = make_content(
        memory=msgspec.structs.replace(a.memory, after_bytes=a.memory.after_bytes * 2, opening_bytes=1),
        energy=msgspec.structs.replace(a.energy, joules_per_image=1.0),
        latency=(msgspec.structs.replace(a.latency[0], ms=compute_spread([1.0, 1.0, 1.0]), samples_ms=(1.0,) * 3, cpu_ms=1.0),),
        throughput=(msgspec.structs.replace(a.throughput[0], images_per_s=1e6, repeats=(1e6,), cpu_ms_per_image=0.1),),
    )
    comparison = compare_reports(msgspec.structs.replace(a, energy=msgspec.structs.replace(b.energy, joules_per_image=2.0)), b)
    changed = [number for number in comparison.numbers if number.difference]
    assert {number.group for number in changed} == {"memory", "energy", "latency", "throughput"}
    assert {number.verdict for number in changed} == {"unclear"}
    assert any("measured once" in line for line in explain_intervals(comparison))


def test_reports_of_one_thing_are_told_apart_by_their_time(make_content: MakeContent) -> None:
    comparison = compare_reports(make_content(created_at="2026-01-01"), make_content(created_at="2026-01-02"))
    assert (comparison.a[-12:], comparison.b[-12:]) == (", 2026-01-01", ", 2026-01-02")
