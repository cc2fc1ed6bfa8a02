import numpy as np
import pytest

from sightline.bench.matching import CurveBuilder, compute_curve, match_objects
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput


def thing(category: str, *box: float, confidence: float | None = None, is_crowd: bool = False) -> Annotation:
    return Annotation(category=category, box_xyxy=box, confidence=confidence, is_crowd=is_crowd)  # type: ignore[arg-type]


def test_the_more_confident_of_two_predictions_takes_the_box() -> None:
    truth = [thing("a", 0, 0, 10, 10)]
    sure, unsure = thing("a", 0, 0, 10, 8, confidence=0.9), thing("a", 0, 0, 10, 10, confidence=0.4)
    matches = match_objects(truth, [unsure, sure])
    assert (matches.right, matches.wrong, matches.missed) == ([sure], [unsure], [])


def test_a_box_of_another_category_is_wrong_and_the_thing_missed() -> None:
    truth, predicted = [thing("a", 0, 0, 10, 10)], [thing("b", 0, 0, 10, 10, confidence=0.9)]
    matches = match_objects(truth, predicted)
    assert (matches.right, matches.wrong, matches.missed) == ([], predicted, truth)


def test_overlap_of_exactly_half_is_right_and_less_is_wrong() -> None:
    truth = [thing("a", 0, 0, 10, 10)]
    assert match_objects(truth, [thing("a", 0, 0, 10, 5, confidence=1.0)]).right  # IoU 50 / 100
    assert match_objects(truth, [thing("a", 0, 0, 10, 4, confidence=1.0)]).wrong  # IoU 40 / 100


def test_a_prediction_inside_a_crowd_is_neither_right_nor_wrong_and_crowds_are_never_missed() -> None:
    truth = [thing("a", 0, 0, 100, 100, is_crowd=True)]
    inside, outside = thing("a", 10, 10, 20, 20, confidence=0.5), thing("a", 200, 0, 210, 10, confidence=0.5)
    matches = match_objects(truth, [inside, outside])
    assert (matches.right, matches.wrong, matches.missed) == ([], [outside], [])


def test_an_empty_picture_has_no_matches() -> None:
    matches = match_objects([], [])
    assert (matches.right, matches.wrong, matches.missed) == ([], [], [])


def test_an_annotation_without_a_box_is_refused() -> None:
    with pytest.raises(InvalidInput, match="with boxes"):
        match_objects([Annotation(category="a")], [])


def test_curve_worked_by_hand() -> None:
    # Confidence falling: right, wrong, right, wrong; 4 truths. Precision 1, 1/2, 2/3, 1/2 at recall 1/4, 1/4, 2/4, 2/4.
    curve = compute_curve("a", [(0.9, True), (0.8, False), (0.7, True), (0.1, False)], 4)
    values = dict(zip(curve.recall, curve.precision, strict=True))
    assert values[0.25] == 1.0
    assert values[0.26] == pytest.approx(2 / 3, abs=1e-4)
    assert max(values) == 0.5, "the curve ends at the highest recall reached"


def test_area_below_the_curve_is_cocos_average_precision(rng: np.random.Generator) -> None:
    """COCO's AP is the mean of the envelope at 101 recall levels, 0 beyond the last: a slow loop over the definition."""
    scores = [(float(score), bool(rng.random() < score)) for score in rng.random(200)]
    truths = 120
    ranked = sorted(scores, reverse=True)
    precisions, recalls, found = [], [], 0
    for rank, (_, is_right) in enumerate(ranked, 1):
        found += is_right
        precisions.append(found / rank)
        recalls.append(found / truths)
    slow = 0.0
    for level in np.linspace(0, 1, 101):
        slow += max([p for p, r in zip(precisions, recalls, strict=True) if r >= level], default=0.0) / 101
    assert sum(compute_curve("a", scores, truths).precision) / 101 == pytest.approx(slow, abs=1e-4)


def test_curves_gather_over_pictures_and_skip_categories_without_truth() -> None:
    builder = CurveBuilder(Categories(["a", "b"]))
    for _ in range(2):
        truth = [thing("a", 0, 0, 10, 10)]
        predicted = [thing("a", 0, 0, 10, 10, confidence=0.9), thing("b", 0, 0, 10, 10, confidence=0.9)]
        builder.add(match_objects(truth, predicted), truth)
    curves = builder.build()
    assert [curve.category for curve in curves] == ["a"]
    assert curves[0].recall[-1] == 1.0
    assert set(curves[0].precision) == {1.0}
