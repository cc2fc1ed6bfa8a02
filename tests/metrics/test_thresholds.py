"""The best confidence, against a slow loop and cases by hand."""

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.thresholds import CANDIDATES, find_best_confidence


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
