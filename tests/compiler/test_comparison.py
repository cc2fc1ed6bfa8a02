from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy import SPEC, write_version

from sightline.compiler.candidates import Candidate
from sightline.compiler.comparison import CompiledComparison, Judged, compare_judged, compare_tensors, predict_items
from sightline.compiler.gate import check_accuracy, check_unlabelled
from sightline.compiler.importing.packed_outputs import Part
from sightline.compiler.tuning.autotune import Setting
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import DecodeSpec, ModelManifest, Task, UnlabelledPixels
from sightline.data.items import Item
from sightline.imaging.masks import encode_mask
from sightline.metrics.evaluator import make_evaluator

NAMES = ("a", "b")


def make_manifest(task: Task, confidence_threshold: float = 0.25) -> ModelManifest:
    return ModelManifest(
        name="net",
        task=task,
        network="test",
        categories=NAMES,
        input=SPEC,
        decode=DecodeSpec(head="test", outputs=("y",), confidence_threshold=confidence_threshold),
        parameter_count=1,
        created_at="2026-11-27T00:00:00+00:00",
        files={},
    )


def annotate(task: Task, names: str, confidence: float | None = None) -> list[Annotation]:
    """One annotation a letter; of a detector and a segmenter all over the picture of 10 x 10 pixels."""
    origin = "human" if confidence is None else "model"
    box = (0.0, 0.0, 10.0, 10.0) if task == "detection" else None
    mask = encode_mask(np.ones((10, 10), bool)) if task == "semantic" else None
    return [Annotation(category=one, box_xyxy=box, mask=mask, confidence=confidence, origin=origin) for one in names]  # type: ignore[arg-type]


def compare(
    task: Task,
    truth: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    pixels: UnlabelledPixels = "background",
) -> CompiledComparison:
    """What changed, all answers at 0.9. Args: truth, before, after: categories of each picture; "" for none, "?" unknown."""
    items = [
        Item(
            blob=str(place),
            file_name=f"{place}.png",
            width=10,
            height=10,
            seen_by="nobody" if names == "?" else None,
            annotations=() if names == "?" else tuple(annotate(task, names)),
        )
        for place, names in enumerate(truth)
    ]
    sides = []
    for answers in (before, after):
        evaluator = make_evaluator(task, Categories(NAMES), pixels)
        predictions = [annotate(task, names, 0.9) for names in answers]
        for item, answer in zip(items, predictions, strict=True):
            if item.seen_by is None:  # as `predict_items` does
                evaluator.add(item.annotations, answer, item.width, item.height)
        sides.append(Judged(predictions, evaluator))
    return compare_judged(make_manifest(task), items, sides[0], sides[1], seed=0)[0]


@pytest.mark.parametrize("task", ["classification", "multilabel", "semantic"])
def test_one_label_does_not_switch_off_the_comparison_of_answers(task: Task) -> None:
    after = ["a"] * 67 + ["b"] * 33
    comparison = compare(task, ["a"] + [""] * 99, ["a"] * 100, after, "ignore")
    assert comparison.evidence == "labels"
    assert check_accuracy(comparison, 0.01).passed  # the one label there is stays right
    assert comparison.unlabelled is not None
    assert (comparison.unlabelled.evidence, comparison.unlabelled.images) == ("answers", 99)
    check = check_unlabelled(comparison, comparison.unlabelled, 0.01)
    assert (check.passed, check.value) == (False, pytest.approx(-0.33))  # 33 of 100 pictures
    assert "99 of the pictures have no label" in check.text


def test_a_few_changes_without_labels_pass_and_what_labels_show_to_be_lost_is_added() -> None:
    truth = ["a"] * 200 + [""] * 100
    kept = compare("classification", truth, ["a"] * 300, ["a"] * 297 + ["b"] * 3)
    assert kept.unlabelled is not None
    assert check_unlabelled(kept, kept.unlabelled, 0.01).passed  # 3 of 300 pictures
    lost = compare("classification", truth, ["a"] * 300, ["b"] + ["a"] * 296 + ["b"] * 3)
    assert lost.unlabelled is not None
    check = check_unlabelled(lost, lost.unlabelled, 0.01)
    assert (check.passed, check.value) == (False, pytest.approx(-4 / 300))


def test_what_labels_show_to_be_gained_makes_up_for_no_change_without_labels() -> None:
    gained = compare("classification", ["a"] * 50 + [""] * 50, ["b"] * 50 + ["a"] * 50, ["a"] * 98 + ["b"] * 2)
    assert gained.change == 1.0
    assert gained.unlabelled is not None
    assert check_unlabelled(gained, gained.unlabelled, 0.01).value == pytest.approx(-0.02)


@pytest.mark.parametrize(("task", "pixels"), [("detection", "background"), ("semantic", "background")])
def test_where_a_picture_without_annotations_shows_nothing_the_labels_judge_it(task: Task, pixels: UnlabelledPixels) -> None:
    assert compare(task, ["a", ""], ["a", "a"], ["a", ""], pixels).unlabelled is None


@pytest.mark.parametrize("task", ["detection", "semantic"])
def test_a_picture_that_nobody_looked_at_is_judged_by_its_answers_not_as_one_that_shows_nothing(task: Task) -> None:
    lost = compare(task, ["a", "?"], ["a", "a"], ["a", ""])
    assert (lost.images, lost.baseline, lost.change) == (1, 1.0, 0.0)
    assert lost.unlabelled is not None
    assert (lost.unlabelled.images, lost.unlabelled.change) == (1, -1.0)
    assert not check_unlabelled(lost, lost.unlabelled, 0.01).passed


def test_pictures_that_nobody_looked_at_have_no_truth_to_be_counted(tmp_path: Path) -> None:
    labels = [tuple(annotate("multilabel", "ab")), ()]
    version = write_version(
        tmp_path / "data", "two", NAMES, {"val": 4}, lambda index: (np.full((24, 24, 3), index, np.uint8), labels[index % 2])
    )
    items = [msgspec.structs.replace(one, seen_by=None if one.annotations else "nobody") for one in version.items("val")]
    graph = write_constant(tmp_path / "net.onnx", (0.9, 0.9))
    manifest = make_manifest("multilabel")
    decode = msgspec.structs.replace(manifest.decode, head="sigmoid", parameters={"activated": True})
    manifest = msgspec.structs.replace(manifest, decode=decode)
    judged = predict_items(Candidate("reference", "fp32", None, graph, graph), Setting(1, 1), manifest, version, items)
    assert judged.evaluator is not None
    assert (judged.evaluator.images, len(judged.predictions), judged.evaluator.compute().primary) == (2, 4, 1.0)


def test_labels_of_all_pictures_and_pictures_that_nobody_answers_leave_nothing_to_compare() -> None:
    assert compare("multilabel", ["a", "b"], ["a", "b"], ["a", "a"]).unlabelled is None
    assert compare("multilabel", ["a", ""], ["a", ""], ["a", ""]).unlabelled is None


def test_a_label_that_users_no_longer_get_is_lost_at_the_models_own_threshold(tmp_path: Path) -> None:
    """Through `predict_items`: a network of two constant sigmoids, of which the second falls from 0.4 to 0.05."""
    version = write_version(
        tmp_path / "data",
        "two",
        NAMES,
        {"val": 4},
        lambda _: (np.zeros((24, 24, 3), np.uint8), tuple(annotate("multilabel", "ab"))),
    )
    items = list(version.items("val"))
    for threshold, change in ((0.25, -0.5), (0.5, 0.0)):
        manifest = make_manifest("multilabel", threshold)
        manifest = msgspec.structs.replace(
            manifest, decode=msgspec.structs.replace(manifest.decode, head="sigmoid", parameters={"activated": True})
        )
        sides: list[Judged] = []
        parts: list[float] = []
        for name, second in (("before", 0.4), ("after", 0.05)):
            graph = write_constant(tmp_path / f"{name}.onnx", (0.9, second))
            reference = Candidate("reference", "fp32", None, graph, graph)
            sides.append(predict_items(reference, Setting(1, 1), manifest, version, items, parts.append))
        assert parts == [0.25, 0.5, 0.75, 1] * 2
        assert compare_judged(manifest, items, sides[0], sides[1], seed=0)[0].change == pytest.approx(change)


def test_of_a_detector_the_objects_that_are_shown_are_compared_with_the_labels() -> None:
    comparison = compare("detection", ["a", "a", "b", ""], ["a", "a", "b", "b"], ["a", "", "b", ""])
    shown = comparison.shown
    assert shown is not None
    assert (shown.threshold, shown.objects) == (0.25, 3)
    assert (shown.baseline_shown, shown.baseline_right, shown.candidate_shown, shown.candidate_right) == (4, 3, 2, 2)
    # By hand: "a" 2 of 2, then 1 of 2 (F1 2/3); "b" 1 right of 2 shown (F1 2/3), then 1 of 1.
    assert [(row.category, row.baseline, row.candidate) for row in shown.per_category] == [
        ("a", 1.0, pytest.approx(2 / 3)),
        ("b", pytest.approx(2 / 3), 1.0),
    ]
    assert (shown.baseline, shown.candidate) == pytest.approx((5 / 6, 5 / 6))
    assert shown.change == pytest.approx(0.0, abs=1e-9)
    assert shown.low < -0.1 < 0.1 < shown.high


@pytest.mark.parametrize("task", ["classification", "multilabel", "semantic"])
def test_other_tasks_are_judged_by_what_is_shown_anyway(task: Task) -> None:
    assert compare(task, ["a", "b"], ["a", "b"], ["a", "b"]).shown is None


def test_where_no_shown_object_changed_so_few_pictures_still_leave_room() -> None:
    shown = compare("detection", ["a"] * 30, ["a"] * 30, ["a"] * 30).shown
    assert shown is not None
    assert (shown.change, shown.low, shown.high) == pytest.approx((0.0, -0.1, 0.1))  # the rule of three


@pytest.mark.parametrize("task", ["multilabel", "detection", "semantic"])
def test_a_category_that_no_resample_changes_has_no_interval(task: Task) -> None:
    truth = ["a"] * 9 + ["b"]
    kept = compare(task, truth, truth, truth)
    rows = [*kept.per_category[:2], *(kept.shown.per_category if kept.shown else ())]
    assert [(one.category, one.candidate, one.low, one.high) for one in rows] == [
        ("a", 1.0, None, None),
        ("b", 1.0, None, None),
    ] * (2 if kept.shown else 1)


@pytest.mark.parametrize("task", ["multilabel", "detection", "semantic"])
@pytest.mark.parametrize(("images", "high"), [(1, 0.0), (4, -0.25), (30, -0.9)])
def test_a_category_lost_in_all_its_pictures_is_as_sure_as_they_are_many(task: Task, images: int, high: float) -> None:
    """Every resample that shows it loses it: the rule of three, by hand."""
    truth = ["a"] * 9 + ["b"] * images
    lost = compare(task, truth, truth, ["a"] * 9 + [""] * images)
    rows = [lost.per_category[1], *(lost.shown.per_category[1:] if lost.shown else ())]
    expected = ("b", 0.0, -1.0, pytest.approx(high))
    assert [(one.category, one.candidate, one.low, one.high) for one in rows] == [expected] * len(rows)


def test_answers_that_all_stayed_leave_room_as_labels_that_did() -> None:
    """Of 12 pictures 10 show something: the rule of three, by hand."""
    items = [Item(blob=str(place), file_name="", width=10, height=10) for place in range(12)]
    answers = Judged([annotate("multilabel", names, 0.9) for names in ["a"] * 10 + [""] * 2])
    found, _ = compare_judged(make_manifest("multilabel"), items, answers, answers, seed=0)
    assert (found.evidence, found.low, found.change, found.high) == ("answers", pytest.approx(-0.3), 0.0, 0.0)


def test_pictures_whose_pixels_do_not_count_give_no_evidence() -> None:
    """The rule of three of the 12 that carry a mask."""
    kept = compare("semantic", ["a"] * 12 + [""] * 40, ["a"] * 52, ["a"] * 52, "ignore")
    assert (kept.images, kept.low, kept.high) == (12, -0.25, 0.25)


@pytest.mark.parametrize(("images", "reach"), [(12, 0.25), (2, 1.0)])
def test_pictures_without_a_change_exclude_only_changes_in_three_of_them(images: int, reach: float) -> None:
    kept = compare("multilabel", ["a"] * images, ["a"] * images, ["a"] * images)
    assert (kept.low, kept.change, kept.high) == (-reach, 0.0, reach)


def test_an_interval_that_the_resamples_found_stays_as_it_is() -> None:
    # Half of 12 are lost, in 95 % of the resamples 3 to 9, or nearly so: F1 falls from 1 to 2 * 6 / (12 + 6), to 0.4 or 0.86.
    lossy = compare("multilabel", ["a"] * 12, ["a"] * 12, ["a"] * 6 + [""] * 6)
    assert lossy.change == pytest.approx(-1 / 3)
    assert -0.75 < lossy.low < -0.55 and -0.2 < lossy.high < 0
    assert [(one.category, one.low, one.high) for one in lossy.per_category] == [("a", lossy.low, lossy.high)]


def test_the_error_of_a_part_by_hand_is_that_of_all_pictures_together() -> None:
    before = [{"y": np.array([[3.0, 100.0]])}, {"y": np.array([[4.0, 100.0]])}]
    after = [{"y": np.array([[3.3, 100.0]])}, {"y": np.array([[4.0, 100.0]])}]
    comparison, _ = compare_tensors(before, after, seed=0, parts=[Part("y", 1, (0,)), Part("y", 1, (1,))])
    # 0.3 of the root of 9 + 16. A quarter of the draws takes the first picture twice, 0.3 of 3, another the second twice.
    assert (comparison.part, comparison.change) == ("y, channel 0", pytest.approx(-0.06))
    assert (comparison.low, comparison.high) == pytest.approx((-0.1, 0.0))


@pytest.mark.parametrize("labelled", [0, 1])
def test_one_picture_with_labels_is_enough_to_judge_by_labels(tmp_path: Path, labelled: int) -> None:
    version = write_version(
        tmp_path / "data",
        "few",
        NAMES,
        {"val": 2},
        lambda place: (np.zeros((24, 24, 3), np.uint8), tuple(annotate("multilabel", "a")) if place < labelled else ()),
    )
    graph = write_constant(tmp_path / "net.onnx", (0.9, 0.1))
    manifest = make_manifest("multilabel")
    decode = msgspec.structs.replace(manifest.decode, head="sigmoid", parameters={"activated": True})
    judged = predict_items(
        Candidate("reference", "fp32", None, graph, graph),
        Setting(1, 1),
        msgspec.structs.replace(manifest, decode=decode),
        version,
        list(version.items("val")),
    )
    assert len(judged.predictions) == 2
    assert (judged.evaluator is not None) is bool(labelled)


def test_raw_outputs_are_those_of_each_picture_however_many_are_inferred_together(tmp_path: Path) -> None:
    version = write_version(tmp_path / "data", "five", NAMES, {"val": 5}, lambda _: (np.zeros((24, 24, 3), np.uint8), ()))
    graph = write_constant(tmp_path / "net.onnx", (0.5, 2.0))
    parts: list[float] = []
    judged = predict_items(
        Candidate("reference", "fp32", None, graph, graph),
        Setting(1, 1, batch=2),
        make_manifest("raw"),
        version,
        list(version.items("val")),
        parts.append,
    )
    assert [one["y"].tolist() for one in judged.tensors] == [[[0.5, 2.0]]] * 5
    assert parts == [2 / 5, 4 / 5, 1]


def write_constant(path: Path, values: tuple[float, float]) -> Path:
    """A network that answers the same whatever it sees."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "w", "b"], ["y"]),
    ]
    weights = {"w": np.zeros((3, 2), np.float32), "b": np.array(values, np.float32)}
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
