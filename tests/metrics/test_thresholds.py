"""The best confidence, against a slow loop and cases by hand."""

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.matching import IOU_THRESHOLDS, CategoryMatches
from sightline.metrics.thresholds import CANDIDATES, compute_f1, find_best_confidence


def box(x: float, confidence: float | None = None) -> Annotation:
    return Annotation(category="a", box_xyxy=(x, 0.0, x + 10, 10.0), confidence=confidence)


def test_the_threshold_lies_between_right_and_wrong_predictions() -> None:
    evaluator = DetectionEvaluator(Categories(["a"]))
    evaluator.add([box(0), box(20)], [box(0, 0.9), box(20, 0.7), box(60, 0.4), box(80, 0.3)], 100, 20)
    best = find_best_confidence(evaluator.match())
    assert best is not None
    assert 0.4 < best[0] <= 0.7
    assert best[1] == pytest.approx(1.0)
    assert evaluator.compute().values["best_confidence"] == best[0]


def test_without_true_objects_there_is_none() -> None:
    evaluator = DetectionEvaluator(Categories(["a"]))
    evaluator.add([], [box(0, 0.9)], 100, 20)
    assert find_best_confidence(evaluator.match()) is None


def make_matches(confidences: list[float], right: list[int], ignored: list[int], truth: list[int]) -> CategoryMatches:
    """Predictions of one picture; at any IoU above 0.5 all of them are wrong."""
    matched, passed_over = np.zeros((2, len(IOU_THRESHOLDS), len(confidences)), bool)
    matched[0], passed_over[0] = right, ignored
    places = np.zeros(len(confidences), np.int64)
    return CategoryMatches(
        places, np.array(confidences), matched, passed_over, np.arange(len(truth)), np.array(truth, np.int64)
    )


def test_f1_by_hand_changes_at_the_confidence_of_each_prediction_itself() -> None:
    # The third lies in a crowd and counts neither way.
    matches = make_matches([0.9, 0.6, 0.5, 0.3], right=[1, 0, 0, 1], ignored=[0, 0, 1, 0], truth=[2, 1])
    f1 = dict(zip(CANDIDATES.tolist(), compute_f1(matches), strict=True))
    assert (min(f1), max(f1), len(f1)) == (0.05, 0.95, 91)
    assert [f1[at] for at in (0.95, 0.91)] == [0, 0]
    assert [f1[at] for at in (0.9, 0.61)] == pytest.approx([2 / 4] * 2)
    assert [f1[at] for at in (0.6, 0.5, 0.31)] == pytest.approx([2 / 5] * 3)
    assert [f1[at] for at in (0.3, 0.05)] == pytest.approx([4 / 6] * 2)


def test_the_middle_of_the_best_confidences_for_the_mean_of_the_categories_that_occur() -> None:
    many = make_matches([0.9, 0.6, 0.5, 0.3], right=[1, 0, 0, 1], ignored=[0, 0, 1, 0], truth=[2, 1])
    one = make_matches([0.2], right=[1], ignored=[0], truth=[1])
    none = make_matches([0.7], right=[0], ignored=[0], truth=[0])
    # All right things are shown up to 0.2: of the 16 candidates 0.05 .. 0.20 the ninth. F1 is then 4 / 6 and 1.
    assert find_best_confidence([many, one, none]) == (0.13, pytest.approx(5 / 6))


def test_it_equals_counting_again_at_every_threshold(rng: np.random.Generator) -> None:
    pictures = []
    for _ in range(6):
        places = rng.choice(20, 6, replace=False) * 20.0
        pictures.append(([box(x) for x in places[:4]], [box(x, float(rng.uniform(0.05, 1))) for x in places[1:]]))
    evaluator = DetectionEvaluator(Categories(["a"]))
    for truth, predicted in pictures:
        evaluator.add(truth, predicted, 400, 20)
    slow = []
    for threshold in CANDIDATES:
        shown = [[p for p in predicted if (p.confidence or 0) >= threshold] for _, predicted in pictures]
        true_places = [{t.box_xyxy for t in truth} for truth, _ in pictures]
        right = sum(p.box_xyxy in places for said, places in zip(shown, true_places, strict=True) for p in said)
        slow.append(2 * right / (sum(map(len, shown)) + sum(map(len, true_places))))
    best = find_best_confidence(evaluator.match())
    assert best is not None
    assert best[1] == pytest.approx(max(slow))
    assert slow[int(np.argmin(np.abs(CANDIDATES - best[0])))] == pytest.approx(max(slow))
