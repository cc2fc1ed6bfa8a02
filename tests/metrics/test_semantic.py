import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import NotFound
from sightline.imaging.masks import label_map_to_annotations
from sightline.metrics.semantic import SemanticEvaluator

NAMES = Categories(["a", "b"])


def judge(pairs, unlabelled="background", categories=NAMES):
    """Label maps, 9 = unlabelled, through annotations."""
    evaluator = SemanticEvaluator(categories, unlabelled)
    for truth, predicted in pairs:
        sides = [label_map_to_annotations(np.array(side), categories) for side in (truth, predicted)]
        evaluator.add(*sides, len(truth[0]), len(truth))
    return evaluator


TRUTH, PREDICTED = [[0, 0, 1, 1], [0, 9, 9, 1]], [[0, 1, 1, 9], [0, 0, 9, 1]]


def test_unlabelled_pixels_as_background_by_hand():
    metrics = judge([(TRUTH, PREDICTED)]).compute()
    # a: 2 right, 3 true, 3 said; b: 2 right, 3 true, 3 said; background: 1 right, 2 true, 2 said.
    assert metrics.per_category["a"]["iou"] == pytest.approx(2 / 4)
    assert metrics.per_category["b"]["iou"] == pytest.approx(2 / 4)
    assert metrics.per_category["background"]["iou"] == pytest.approx(1 / 3)
    assert metrics.primary == metrics.values["miou"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert metrics.values["pixel_accuracy"] == pytest.approx(5 / 8)
    assert metrics.confusion == [[2, 1, 0], [0, 2, 1], [1, 0, 1]]


def test_unlabelled_pixels_ignored_by_hand():
    metrics = judge([(TRUTH, PREDICTED)], "ignore").compute()
    # Two pixels leave. a: 2 right, 3 true, 2 said; b: 2 right, 3 true, 3 said; one b was answered with nothing.
    assert metrics.per_category["a"]["iou"] == pytest.approx(2 / 3)
    assert metrics.per_category["b"]["iou"] == pytest.approx(2 / 4)
    assert set(metrics.per_category) == {"a", "b"}
    assert metrics.values["pixel_accuracy"] == pytest.approx(4 / 6)
    assert metrics.confusion == [[2, 1, 0], [0, 2, 1], [0, 0, 0]]


def test_a_category_called_background_is_the_background():
    categories = Categories(["background", "part"])
    metrics = judge([([[9, 9, 1, 1]], [[0, 9, 1, 9]])], categories=categories).compute()
    assert metrics.confusion == [[2, 0], [1, 1]]
    assert metrics.primary == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_iou_is_taken_over_all_pictures_together():
    metrics = judge([([[0, 0, 0, 0]], [[0, 0, 0, 0]]), ([[0, 0, 9, 9]], [[9, 9, 9, 9]])]).compute()
    assert metrics.per_category["a"]["iou"] == pytest.approx(4 / 6)  # not the mean of 1 and 0


def test_classes_that_do_not_occur_are_not_in_the_mean():
    metrics = judge([([[0, 0]], [[0, 0]])]).compute()
    assert metrics.primary == 1.0
    assert "iou" not in metrics.per_category["b"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unlabelled", ["ignore", "background"])
def test_counts_agree_with_a_slow_loop(seed, unlabelled):
    rng = np.random.default_rng(seed)
    pairs = [(rng.choice([0, 1, 9], (6, 7)), rng.choice([0, 1, 9], (6, 7))) for _ in range(3)]
    counts = np.zeros((3, 3), int)
    for truth, predicted in pairs:
        for true, said in zip(truth.ravel(), predicted.ravel(), strict=True):
            if true != 9 or unlabelled == "background":
                counts[min(true, 2), min(said, 2)] += 1
    assert judge(pairs, unlabelled).compute().confusion == counts.tolist()


def test_nothing_added_gives_zero():
    assert judge([]).compute().primary == 0.0
    assert judge([([[9, 9]], [[0, 0]])], "ignore").compute().primary == 0.0


def test_a_picture_without_a_pixel_that_counts_judges_nothing():
    pairs = [(TRUTH, PREDICTED), ([[9, 9]], [[0, 0]])]
    assert [judge(pairs, unlabelled).judged for unlabelled in ("background", "ignore")] == [2, 1]


def test_unknown_names_are_refused():
    evaluator = SemanticEvaluator(NAMES)
    with pytest.raises(NotFound, match="'zebra'"):
        evaluator.add(label_map_to_annotations(np.zeros((2, 2), int), Categories(["zebra"])), [], 2, 2)
