"""The F1 of what is shown, against slow loops over pictures, objects and predictions that are written here."""

import tracemalloc

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.intervals import draw_weights
from sightline.metrics.shown import ShownObjects

from .scenes import NAMES, SIZE, Scene, box, make_scenes


def judge(scenes: list[Scene], threshold: float = 0.3) -> DetectionEvaluator:
    evaluator = DetectionEvaluator(Categories(NAMES), "box", threshold)
    for truth, predicted in scenes:
        evaluator.add(truth, predicted, SIZE, SIZE)
    return evaluator


def measure_overlap(one: Annotation, true: Annotation) -> float:
    """IoU of two boxes; with a crowd the share of the first that lies in it."""
    assert one.box_xyxy is not None
    assert true.box_xyxy is not None
    (left, top, right, bottom), (x_min, y_min, x_max, y_max) = one.box_xyxy, true.box_xyxy
    shared = max(0.0, min(right, x_max) - max(left, x_min)) * max(0.0, min(bottom, y_max) - max(top, y_min))
    area = (right - left) * (bottom - top)
    return shared / (area if true.is_crowd else area + (x_max - x_min) * (y_max - y_min) - shared)


def count_slowly(scene: Scene, name: str, threshold: float) -> tuple[int, int, int]:
    """Right, shown and true objects of one category in one picture."""
    truth = [one for one in scene[0] if one.category == name and not one.is_crowd]
    crowds = [one for one in scene[0] if one.category == name and one.is_crowd]
    said = [one for one in scene[1] if one.category == name and (one.confidence or 0) >= threshold]
    found: set[int] = set()
    right = shown = 0
    for one in sorted(said, key=lambda one: -(one.confidence or 0)):
        fits = [(measure_overlap(one, true), place) for place, true in enumerate(truth) if place not in found]
        best = max(fits, default=(0.0, -1))
        if best[0] >= 0.5:
            found.add(best[1])
            right, shown = right + 1, shown + 1
        elif not any(measure_overlap(one, crowd) >= 0.5 for crowd in crowds):
            shown += 1
    return right, shown, len(truth)


def find_f1_slowly(scenes: list[Scene], threshold: float) -> dict[str, float]:
    """Of the categories that occur."""
    scores = {}
    for name in NAMES:
        counts = [count_slowly(scene, name, threshold) for scene in scenes]
        right, shown, true = (sum(column) for column in zip(*counts, strict=True))
        if true:
            precision, recall = right / shown if shown else 0.0, right / true
            scores[name] = 2 * precision * recall / (precision + recall) if right else 0.0
    return scores


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.71, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_f1_is_that_of_slow_loops(seed: int, threshold: float) -> None:
    scenes = make_scenes(12, seed, ties=False)
    slowly = find_f1_slowly(scenes, threshold)
    evaluator = judge(scenes, threshold)
    found = evaluator.shown.resample(np.ones((1, 12), np.int64))
    assert found.primary[0] == pytest.approx(np.mean(list(slowly.values())))
    assert evaluator.shown.find_f1() == found.primary[0]
    for name, value in zip(NAMES, found.per_category[0], strict=True):
        assert value == pytest.approx(slowly.get(name, np.nan), nan_ok=True)
    totals = np.sum([count_slowly(scene, name, threshold) for scene in scenes for name in NAMES], axis=0)
    counts = evaluator.shown.sum_up()
    assert (counts.right, counts.shown, counts.truth) == tuple(totals)


def test_weights_are_repeated_pictures() -> None:
    scenes = make_scenes(7, 9, ties=False)
    weights = draw_weights(7, 20, seed=2)
    found = judge(scenes).shown.resample(weights)
    for row, primary in zip(weights, found.primary, strict=True):
        repeated = [scene for scene, times in zip(scenes, row, strict=True) for _ in range(times)]
        assert primary == pytest.approx(np.mean(list(find_f1_slowly(repeated, 0.3).values())))


def test_confidences_that_sink_together_leave_the_ranks_and_lose_what_is_shown() -> None:
    place = (10.0, 10.0, 60.0, 60.0)
    scenes, sunken = ([([box("a", place)], [box("a", place, confidence=sure)])] * 5 for sure in (0.9, 0.2))
    assert judge(scenes).compute().primary == judge(sunken).compute().primary == 1.0
    assert (judge(scenes).shown.find_f1(), judge(sunken).shown.find_f1()) == (1.0, 0.0)
    assert judge(sunken, threshold=0.2).shown.find_f1() == 1.0


def test_more_objects_than_coco_looks_at_are_all_counted() -> None:
    """A candidate that shows 100 of 150 objects has lost a third of them."""
    places = [(x * 20.0, y * 20.0, x * 20.0 + 15, y * 20.0 + 15) for x in range(15) for y in range(10)]
    said = [box("a", place, confidence=0.9) for place in places]
    truth = [box("a", place) for place in places]
    assert judge([(truth, said)]).shown.find_f1() == 1.0
    assert judge([(truth, said[:100])]).shown.find_f1() == pytest.approx(2 * 100 / 250)


def test_false_objects_cost_where_the_category_occurs() -> None:
    place, away = (10.0, 10.0, 60.0, 60.0), (200.0, 200.0, 260.0, 260.0)
    said = [box("a", place, confidence=0.9), box("a", away, confidence=0.8), box("b", away, confidence=0.8)]
    found = judge([([box("a", place)], said)]).shown
    assert found.find_f1() == pytest.approx(2 / 3)  # "b" occurs nowhere
    assert found.sum_up() == (3, 1, 1)


def test_nothing_added_is_nothing() -> None:
    evaluator = judge([])
    assert (evaluator.shown.find_f1(), evaluator.shown.sum_up()) == (0.0, (0, 0, 0))
    assert judge([([], [])]).shown.find_f1() == 0.0


def test_a_thousand_categories_of_which_each_picture_shows_one_cost_no_table_of_all() -> None:
    pictures, categories = 300, 1000
    shown = ShownObjects(categories, 0.5)
    for picture in range(pictures):
        labels = np.array([picture % 7], np.int64)
        shown.add(labels, np.zeros(1, bool), labels, np.full(1, 0.9), np.ones((1, 1)))
    weights = draw_weights(pictures, 10, 0)
    tracemalloc.start()
    f1 = shown.resample_scores(weights)["f1"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pictures * 3 * categories * 8  # 7.2 MB: the table of all pictures and categories
    assert np.array_equal(~np.isnan(f1), np.tile(np.arange(categories) < 7, (10, 1)))
    assert np.nanmin(f1) == np.nanmax(f1) == 1
