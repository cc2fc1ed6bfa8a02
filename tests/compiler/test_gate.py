from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from report_fakes import make_shown

from sightline.compiler.candidates import Candidate
from sightline.compiler.comparison import CategoryChange, CompiledComparison, compare_tensors
from sightline.compiler.gate import (
    GateResult,
    check_accuracy,
    check_fp32,
    check_layers,
    check_quantised,
    check_shown,
    judge_candidate,
)
from sightline.core.manifests import DecodeSpec, Precision
from sightline.runtime.backend import LayerRow

DECODE = DecodeSpec(head="softmax", outputs=("a",))


def make_comparison(change: float, low: float, high: float) -> CompiledComparison:
    return CompiledComparison(
        metric="top1",
        category_metric="recall",
        images=400,
        baseline=0.8,
        candidate=0.8 + change,
        change=change,
        low=low,
        high=high,
        method="",
        agreement_name="",
        agreement=1.0,
        mean_iou=None,
        per_category=(CategoryChange(category="cat", baseline=0.8, candidate=0.8 + change, low=low, high=high),),
    )


def make_row(kind: str, precision: str) -> LayerRow:
    return LayerRow(name=kind, source_layers=(), kind=kind, primitive="", precision=precision, time_us=1, share=0.1)


def test_the_error_is_that_of_the_worst_picture() -> None:
    expected = [{"a": np.array([[10.0, -20.0]])}, {"a": np.array([[1.0, 0.0]])}]
    actual = [{"a": np.array([[10.0, -19.0]])}, {"a": np.array([[1.0, 0.1]])}]
    assert check_fp32("openvino", expected, actual, DECODE).value == pytest.approx(0.1)  # 1 of 20 is 0.05, 0.1 of 1 is 0.1


def test_a_quantised_network_may_round_otherwise_where_it_is_unsure() -> None:
    expected = [{"a": np.array([[0.9, 0.1]])}, {"a": np.array([[0.02, 0.02]])}]
    actual = [{"a": np.array([[0.9, 0.1]])}, {"a": np.array([[0.02, 0.03]])}]  # one step of 0.01: 35 % of the second picture
    check = check_quantised("openvino", expected, actual, DECODE)
    assert check.value == pytest.approx(0.01 / (0.9**2 + 0.1**2 + 2 * 0.02**2) ** 0.5)
    assert check.passed
    assert not check_quantised("openvino", expected, [{"a": 1 - one["a"]} for one in expected], DECODE).passed
    assert not check_quantised("openvino", [], [], DECODE).passed
    assert not check_quantised("openvino", expected, [{"a": one["a"] * np.nan} for one in expected], DECODE).passed


def test_class_indices_of_a_quantised_network_are_compared_by_the_places_that_differ() -> None:
    decode = msgspec.structs.replace(DECODE, head="label_map", outputs=("a",))
    expected = [{"a": np.full((1, 4, 4), 15.0)}]
    actual = [{"a": np.full((1, 4, 4), 15.0)}]
    actual[0]["a"][0, 0, 0] = 0
    check = check_quantised("openvino", expected, actual, decode)
    assert (check.value, check.passed) == (1 / 16, True)
    assert not check_quantised("openvino", expected, [{"a": np.full((1, 4, 4), 14.0)}], decode).passed


def test_no_pictures_prove_nothing() -> None:
    assert not check_fp32("openvino", [], [], DECODE).passed


def test_fp32_must_stay_within_a_thousandth() -> None:
    expected = [{"a": np.array([1.0])}]
    assert check_fp32("openvino", expected, [{"a": np.array([1.0009])}], DECODE).passed
    assert not check_fp32("openvino", expected, [{"a": np.array([1.0011])}], DECODE).passed


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_half_of_the_arithmetic_must_run_as_the_candidate_is_called(precision: Precision) -> None:
    rows = [make_row("Convolution", precision), make_row("FullyConnected", "fp32"), make_row("Reorder", "fp32")]
    assert check_layers(rows, precision).passed
    failed = check_layers([*rows, make_row("Convolution", "fp32")], precision)
    assert not failed.passed
    assert f"1 of 3 convolution and matrix layers run in {precision.upper()}" in failed.text
    assert not check_layers([], precision).passed


def test_the_limit_is_on_the_change_and_a_wide_interval_is_said() -> None:
    narrow = check_accuracy(make_comparison(-0.005, -0.008, 0.001), 0.01)
    assert narrow.passed and "cannot exclude" not in narrow.text
    wide = check_accuracy(make_comparison(-0.005, -0.03, 0.02), 0.01)
    assert wide.passed
    assert "cannot exclude a larger drop" in wide.text
    failed = check_accuracy(make_comparison(-0.02, -0.03, 0.01), 0.01)
    assert not failed.passed and "cannot exclude" not in failed.text
    assert "change -2.00 points (95 % interval -3.00 to +1.00), limit -1.00" in failed.text


@pytest.mark.parametrize("evidence", ["labels", "answers"])
@pytest.mark.parametrize(("images", "max_drop"), [(100, 0.01), (200, 0.005), (300, 0.02), (5000, 0.05)])
def test_exactly_the_drop_that_is_allowed_passes_and_one_answer_more_does_not(
    evidence: Literal["labels", "answers"], images: int, max_drop: float
) -> None:
    lost = round(images * max_drop)
    for changed, passed in ((lost, True), (lost + 1, False)):
        change = (images - changed) / images - 1.0  # 0.99 - 1 is -0.010000000000000009
        comparison = msgspec.structs.replace(make_comparison(change, -0.1, 0.0), evidence=evidence, answers=images)
        assert check_accuracy(comparison, max_drop).passed is passed


def test_no_change_on_pictures_without_labels_proves_nothing() -> None:
    unlabelled = msgspec.structs.replace(make_comparison(0.0, -1.0, 1.0), per_category=())
    check = check_accuracy(unlabelled, 0.01)
    assert not check.passed
    assert "no label" in check.text


def test_doubled_tensors_do_not_pass_though_their_cosine_is_one() -> None:
    before = [{"y": np.array([[1.0, 2.0, 3.0]])} for _ in range(20)]
    comparison, _ = compare_tensors(before, [{"y": 2 * one["y"]} for one in before], seed=0)
    assert comparison.agreement == pytest.approx(1)
    check = check_accuracy(comparison, 0.01)
    assert (check.name, check.passed, check.value) == ("tensors", False, pytest.approx(1.0))


def test_the_error_of_tensors_is_that_of_the_95th_picture_of_a_hundred() -> None:
    before = [{"y": np.array([[10.0]])} for _ in range(101)]
    after = [{"y": np.array([[10.0 + 0.01 * place]])} for place in range(101)]  # errors 0 to 10 %
    comparison, _ = compare_tensors(before, after, seed=0)
    assert comparison.change == pytest.approx(-0.095)
    assert comparison.low <= comparison.change <= comparison.high
    assert check_accuracy(comparison, 0.01).passed
    assert not check_accuracy(comparison, 0.009).passed


@pytest.mark.parametrize(("error", "passed"), [(0.1, True), (0.1001, False)])
def test_tensors_may_be_off_by_ten_times_the_drop_that_is_allowed(error: float, passed: bool) -> None:
    comparison = msgspec.structs.replace(make_comparison(-error, -0.2, -0.05), evidence="tensors")
    check = check_accuracy(comparison, 0.01)
    assert (check.name, check.value, check.limit, check.passed) == ("tensors", error, 0.1, passed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["FP32", "compiled", "both"])
def test_tensors_that_are_not_finite_never_pass(value: float, side: str) -> None:
    good = [{"y": np.array([[1.0, 2.0]])} for _ in range(20)]
    broken = [{"y": np.array([[1.0, value]])} for _ in range(20)]
    before, after = good if side == "compiled" else broken, good if side == "FP32" else broken
    comparison, _ = compare_tensors(before, after, seed=0)
    check = check_accuracy(comparison, 1.0)  # even where an error of ten times the output would be let through
    assert (check.name, check.passed, comparison.agreement) == ("tensors", False, 0.0)
    assert "on more than 5 % of 20 pictures" in check.text


def test_a_rare_picture_that_is_not_finite_does_not_decide_and_two_of_twenty_one_do() -> None:
    before = [{"y": np.array([[10.0]])} for _ in range(21)]
    after = [{"y": np.array([[np.nan if place < 1 else 10.1]])} for place in range(21)]
    comparison, _ = compare_tensors(before, after, seed=0)
    assert comparison.change == pytest.approx(-0.01)  # 20 of 21 stay below it
    assert -1 <= comparison.low <= comparison.change <= comparison.high
    after[1] = {"y": np.array([[np.nan]])}
    assert not check_accuracy(compare_tensors(before, after, seed=0)[0], 0.1).passed


def compare_unlabelled(agreement: float, answers: int | None) -> CompiledComparison:
    plain = make_comparison(agreement - 1, agreement - 1, agreement - 1)
    return msgspec.structs.replace(plain, evidence="answers", candidate=agreement, answers=answers, per_category=())


def judge(
    precision: Precision, quantiser: str | None, comparison: CompiledComparison | None, max_drop: float = 0.01
) -> GateResult:
    candidate = Candidate("openvino", precision, quantiser, Path("a.xml"), Path("a.onnx"))
    same = [{"a": np.array([[0.9, 0.1]])}]
    checks = {"openvino": check_fp32("openvino", same, same, DECODE)}
    return judge_candidate(candidate, checks, [make_row("Convolution", precision)], comparison, max_drop)


@pytest.mark.parametrize(
    ("precision", "quantiser", "evidence", "names"),
    [
        ("int8", "nncf", "labels", ["fp32 error", "int8 layers", "accuracy", "agreement"]),
        ("int8", "nncf", "answers", ["fp32 error", "int8 layers", "agreement"]),
        ("int8", "nncf", "tensors", ["fp32 error", "int8 layers", "tensors"]),
        ("int8", None, "labels", ["fp32 error", "int8 layers", "accuracy", "agreement"]),  # it came quantised
        ("int8", None, "tensors", ["fp32 error", "int8 layers", "agreement"]),  # stated only
        ("bf16", None, "answers", ["fp32 error", "bf16 layers", "agreement"]),
        ("fp32", None, "labels", ["fp32 error", "accuracy", "agreement"]),
    ],
)
def test_each_candidate_must_prove_what_applies_to_it(
    precision: Precision, quantiser: str | None, evidence: Literal["labels", "answers", "tensors"], names: list[str]
) -> None:
    lossy = msgspec.structs.replace(make_comparison(-0.3, -0.4, 0.0), evidence=evidence, answers=100)
    gate = judge(precision, quantiser, lossy)
    assert [check.name for check in gate.checks] == names
    assert gate.passed is ((precision, quantiser, evidence) == ("int8", None, "tensors"))
    assert [check.name for check in judge(precision, quantiser, None).checks] == names[: 1 if precision == "fp32" else 2]


@pytest.mark.parametrize(("quantiser", "limit"), [("nncf", -0.01), (None, -0.1)])
def test_answers_on_the_pictures_without_labels_are_judged_beside_the_labels(quantiser: str | None, limit: float) -> None:
    both = msgspec.structs.replace(make_comparison(0.0, 0.0, 0.0), unlabelled=compare_unlabelled(0.95, 400))
    *_, agreement, unlabelled = judge("int8", quantiser, both).checks
    assert (agreement.name, agreement.limit, agreement.passed) == ("agreement", None, True)
    assert (unlabelled.name, unlabelled.limit) == ("unlabelled", limit)
    assert (unlabelled.value, unlabelled.passed) == (pytest.approx(-0.05), quantiser is None)


def test_a_device_without_the_networks_own_precision_and_without_layers_is_judged_by_its_answers() -> None:
    candidate = Candidate("hls4ml", "int8", "fixed", Path("a.json"), Path("a.onnx"))
    gate = judge_candidate(candidate, {}, None, make_comparison(-0.02, -0.03, 0.0), 0.01)
    assert [(check.name, check.passed) for check in gate.checks] == [("accuracy", False), ("agreement", True)]
    assert gate.failures == [gate.checks[0].text] and not gate.passed


def test_pictures_on_which_nothing_is_shown_prove_nothing() -> None:
    check = check_accuracy(compare_unlabelled(1.0, 0), 0.01)
    assert (check.name, check.passed) == ("agreement", False)
    assert "neither FP32 nor the compiled network shows anything on 400 pictures" in check.text
    assert "give pictures that show what the Model finds" in check.text
    assert check_accuracy(compare_unlabelled(1.0, 1), 0.01).passed


@pytest.mark.parametrize(
    ("agreement", "answers", "max_drop", "passed"),
    [
        (0.91, 400, 0.01, True),
        (0.89, 400, 0.01, False),
        (0.89, 400, 0.12, True),
        (0.7, 400, 0.01, False),
        (1.0, 0, 0.01, False),
    ],
)
def test_without_labels_an_engine_keeps_nine_tenths_of_the_answers_of_a_network_that_came_quantised(
    agreement: float, answers: int, max_drop: float, passed: bool
) -> None:
    candidate = Candidate("openvino", "int8", None, Path("a.xml"), Path("a.onnx"))
    rows = [make_row("Convolution", "int8")]
    same = [{"a": np.array([[0.9, 0.1]])}]
    checks = {"openvino": check_quantised("openvino", same, same, DECODE)}
    gate = judge_candidate(candidate, checks, rows, compare_unlabelled(agreement, answers), max_drop)
    assert gate.passed == passed
    assert "the reference" in gate.checks[-1].text
    assert gate.checks[-1].limit == -max(0.1, max_drop)


@pytest.mark.parametrize(
    ("change", "low", "high", "passed"),
    [
        (0.0, -0.001, 0.001, True),
        (-0.03, -0.07, 0.01, True),  # few pictures: a loss may be chance
        (-0.03, -0.052, -0.009, True),  # a loss beyond doubt, but not beyond doubt one larger than the limit
        (-0.03, -0.05, -0.01, True),  # exactly the limit is allowed
        (-0.03, -0.045, -0.011, False),
        (-0.3, -0.4, -0.2, False),
        (0.3, 0.2, 0.4, True),
    ],
)
def test_a_loss_of_shown_objects_fails_where_it_is_beyond_doubt_larger_than_the_limit(
    change: float, low: float, high: float, passed: bool
) -> None:
    check = check_shown(make_shown(change, low, high), 0.01)
    assert (check.name, check.passed, check.value, check.limit) == ("shown", passed, high, -0.01)


def test_the_line_of_shown_objects_has_both_numbers_what_was_shown_and_the_interval() -> None:
    text = check_shown(make_shown(-0.3, -0.4, -0.2), 0.01).text
    assert "f1 of the objects shown (from confidence 0.35) 90.00 % FP32, 60.00 % compiled: change -30.00 points" in text
    assert "(95 % interval -40.00 to -20.00), whose better end may not lie below -1.00" in text
    assert "of 1000 true objects FP32 shows 900 and 90 false ones, compiled 600 and 20" in text


def test_a_detector_that_keeps_its_map_is_judged_by_what_it_shows_too() -> None:
    candidate = Candidate("openvino", "int8", "nncf", Path("a.xml"), Path("a.onnx"))
    rows, kept = [make_row("Convolution", "int8")], make_comparison(0.0, -0.005, 0.005)
    for shown, passed in ((make_shown(-0.3, -0.4, -0.2), False), (make_shown(-0.03, -0.07, 0.01), True), (None, True)):
        gate = judge_candidate(candidate, {}, rows, msgspec.structs.replace(kept, shown=shown), 0.01)
        assert gate.passed == passed
        assert [check.name for check in gate.checks] == ["int8 layers", "accuracy", *["shown"] * bool(shown), "agreement"]
