import json

import msgspec
import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.imaging.masks import label_map_to_annotations
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator
from sightline.metrics.task_metrics import PRIMARY_MEANINGS

from .scenes import NAMES, SIZE, box, label, make_scenes

CATEGORIES = Categories(["a", "b"])


@pytest.mark.parametrize(
    ("task", "primary"),
    [("classification", "top1"), ("multilabel", "f1"), ("detection", "map"), ("instance", "map"), ("semantic", "miou")],
)
def test_each_task_has_its_primary_metric(task, primary):
    metrics = make_evaluator(task, CATEGORIES).compute()
    assert metrics.primary_name == primary
    assert metrics.values[primary] == metrics.primary == 0.0
    assert task in EVALUATION_THRESHOLDS
    assert PRIMARY_MEANINGS[primary].startswith(f"{primary}: ")


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance", "semantic"])
@pytest.mark.parametrize("truth", [[], [box("a", (1, 1, 3, 3))]])
@pytest.mark.parametrize("predicted", [[], [box("b", (1, 1, 3, 3), confidence=0.5)]])
def test_metrics_are_finite_and_fit_into_json(task, truth, predicted):
    evaluator = make_evaluator(task, CATEGORIES)
    evaluator.add(truth, predicted, 8, 8)
    content = json.loads(msgspec.json.encode(evaluator.compute()), parse_constant=pytest.fail)
    numbers = [*content["values"].values(), *(value for row in content["per_category"].values() for value in row.values())]
    assert all(isinstance(number, float | int) for number in numbers)  # JSON would hold null for NaN


def make_pictures(task, categories, rng, count=8):
    """(truth, predicted) of pictures; now and then one has nothing of a kind; "d" occurs in no truth."""
    if task in ("detection", "instance"):
        return make_scenes(count, int(rng.integers(1000)), ties=False)
    if task == "semantic":
        maps = [rng.choice([0, 1, 2, 9], (2, 3, 3), p=[0.3, 0.3, 0.1, 0.3]) for _ in range(count)]
        return [tuple(label_map_to_annotations(side, categories) for side in pair) for pair in maps]
    draw = [list(NAMES[:3]), list(NAMES)]
    sizes = [
        (rng.integers(0, 2), rng.integers(0, 3)) if task == "classification" else rng.integers(0, 4, 2) for _ in range(count)
    ]
    names = [[rng.choice(all_of, size, replace=False) for all_of, size in zip(draw, pair, strict=True)] for pair in sizes]
    return [([label(one) for one in true], [label(one, round(float(rng.random()), 1)) for one in said]) for true, said in names]


@pytest.mark.parametrize(
    ("task", "score", "unlabelled"),
    [
        ("detection", "ap", "background"),
        ("classification", "recall", "background"),
        ("multilabel", "f1", "background"),
        ("semantic", "iou", "background"),
        ("semantic", "iou", "ignore"),
    ],
)
def test_weights_are_the_same_as_adding_a_picture_so_often(task, score, unlabelled, rng):
    categories = Categories(NAMES)
    pictures = make_pictures(task, categories, rng)
    weights = np.concatenate([rng.multinomial(8, np.full(8, 1 / 8), 6), np.eye(8, dtype=np.int64), np.zeros((1, 8), np.int64)])

    def judge(times):
        evaluator = make_evaluator(task, categories, unlabelled)
        for (truth, predicted), often in zip(pictures, times, strict=True):
            for _ in range(often):
                evaluator.add(truth, predicted, *((SIZE, SIZE) if task == "detection" else (3, 3)))
        return evaluator

    once = judge(np.ones(8, int))
    resampled = once.resample(weights)
    for row, times in enumerate(weights):
        metrics = judge(times).compute()
        occur = [metrics.per_category.get(name, {}).get("truth", 0) > 0 for name in once.category_names]
        expected = [
            metrics.per_category[name][score] if there else np.nan
            for name, there in zip(once.category_names, occur, strict=True)
        ]
        np.testing.assert_allclose(resampled.per_category[row], expected, atol=1e-12)
        np.testing.assert_allclose(resampled.primary[row], metrics.primary if any(occur) else np.nan, atol=1e-12)
    compare_all(once.resample_all(weights), [judge(times).compute() for times in weights], once.category_names)


def compare_all(found, computed, names):
    """Every metric of every resample against that of the repeated pictures; none is missing."""
    told = {name for metrics in computed for name in metrics.values}
    assert told - set(found.values) <= {"best_confidence"}
    for row, metrics in enumerate(computed):
        has_truth = any(one["truth"] for one in metrics.per_category.values())
        for name, values in found.values.items():
            if not has_truth:  # there the metrics are 0, and a resample says nothing
                assert np.isnan(values[row]) or values[row] == metrics.values[name] == 0, name
            else:
                assert values[row] == pytest.approx(metrics.values.get(name, np.nan), abs=1e-12, nan_ok=True), name
        for name, values in found.per_category.items():
            expected = [metrics.per_category.get(category, {}).get(name, np.nan) for category in names]
            known = [category in metrics.per_category for category in names]  # pixels of no category are no category
            np.testing.assert_allclose(values[row][known], np.array(expected)[known], atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("task", "threshold", "shown"), [("multilabel", None, 0.5), ("detection", None, 0.25), ("detection", 0.4, 0.4)]
)
def test_what_a_user_is_shown_counts_from_the_threshold_on(task, threshold, shown):
    for confidence, f1 in ((shown, 1.0), (shown - 0.01, 0.0)):
        evaluator = make_evaluator(task, CATEGORIES, threshold=threshold)
        evaluator.add([box("a", (1, 1, 3, 3))], [box("a", (1, 1, 3, 3), confidence=confidence)], 8, 8)
        assert evaluator.compute().per_category["a"]["f1"] == f1


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance"])
def test_a_label_of_another_tool_is_a_sure_prediction(task):
    """What states no confidence comes before what is less sure than 1, and is shown at every threshold."""
    place = (1, 1, 3, 3)
    said = [box("a", place, confidence=0.9), box("b", place)] if task == "classification" else [box("b", place)]
    evaluator = make_evaluator(task, CATEGORIES, threshold=1.0)
    evaluator.add([box("b", place)], said, 8, 8)
    metrics = evaluator.compute()
    assert (metrics.primary, metrics.per_category["b"]["f1"]) == (pytest.approx(1.0), 1.0)


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance"])
def test_a_confidence_that_is_no_number_is_refused(task):
    evaluator = make_evaluator(task, CATEGORIES)
    with pytest.raises(InvalidInput, match="for 'b', got NaN"):
        evaluator.add([], [box("a", (1, 1, 3, 3), confidence=0.5), box("b", (1, 1, 3, 3), confidence=float("nan"))], 8, 8)


def test_unlabelled_pixels_reach_the_evaluator():
    evaluators = [make_evaluator("semantic", CATEGORIES, rule) for rule in ("ignore", "background")]
    for evaluator in evaluators:
        evaluator.add([], [], 4, 4)
    assert [evaluator.compute().values["pixel_accuracy"] for evaluator in evaluators] == [0.0, 1.0]


def test_unknown_tasks_are_refused():
    with pytest.raises(NotFound, match="'pose'"):
        make_evaluator("pose", CATEGORIES)
