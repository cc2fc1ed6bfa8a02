import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.matching import compute_average_precision, join_matches, match_image

from .scenes import NAMES, SIZE, box, make_scenes


def judge(scenes, geometry="box"):
    evaluator = DetectionEvaluator(Categories(NAMES), geometry)
    for truth, predicted in scenes:
        evaluator.add(truth, predicted, SIZE, SIZE)
    return evaluator


@pytest.mark.parametrize("geometry", ["box", "mask"])
@pytest.mark.parametrize("seed", range(6))
def test_equal_weights_give_the_map_of_faster_coco_eval(seed, geometry):
    evaluator = judge(make_scenes(3 if seed == 0 else 25, seed), geometry)
    metrics = evaluator.compute()
    resampled = evaluator.resample(np.ones((1, evaluator.images), np.int64))
    assert resampled.primary[0] == pytest.approx(metrics.primary, abs=1e-12)
    for index, name in enumerate(NAMES):
        if "ap" in metrics.per_category[name]:
            assert resampled.per_category[0, index] == pytest.approx(metrics.per_category[name]["ap"], abs=1e-12)
        else:
            assert np.isnan(resampled.per_category[0, index])
    values = {name: value for name, value in metrics.values.items() if name != "best_confidence"}
    found = evaluator.resample_all(np.ones((1, evaluator.images), np.int64)).values
    assert {name: found[name][0] for name in values} == pytest.approx(values, abs=1e-12)


def test_an_object_of_another_size_excuses_one_prediction_and_a_crowd_any_number():
    """Two predictions on an object that does not count, two in a crowd, and one of another size that fits nothing."""
    ious = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.9], [0.0, 0.8], [0.0, 0.0]])
    confidences = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    crowd, beyond = np.array([False, True]), np.array([True, False])
    match = match_image(ious, confidences, crowd, beyond, np.array([False] * 4 + [True]))
    assert (match.truth, match.matched.any()) == (0, False)
    assert match.ignored[0].tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_the_same_as_repeating_the_pictures(seed):
    # Without ties: of equally sure predictions of one picture, repeating would shuffle the order.
    scenes = make_scenes(12, seed + 50, ties=False)
    weights = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=3)
    weighted = judge(scenes).resample(weights)
    for row, expected in zip(weights, weighted.primary, strict=True):
        repeated = [scene for scene, times in zip(scenes, row, strict=True) for _ in range(times)]
        assert judge(repeated).compute().primary == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("found", "true", "recalls"), [(19, 20, 95), (7, 25, 29), (14, 25, 57), (3, 3, 101)])
def test_a_recall_that_is_nearly_reached_counts_as_coco_compares_it(found, true, recalls):
    # The recalls 0.95, 0.28 and 0.56 are numbers near these: 19 / 20 is less than the first, 7 / 25 not than the second.
    truth = [box("a", (20 * place, 0, 20 * place + 10, 10)) for place in range(true)]
    predicted = [box("a", one.box_xyxy, confidence=0.9) for one in truth[:found]]
    evaluator = judge([(truth, predicted)])
    assert evaluator.compute().primary == pytest.approx(recalls / 101, abs=1e-12)
    assert evaluator.resample(np.ones((1, 1), np.int64)).primary[0] == pytest.approx(recalls / 101, abs=1e-12)


def test_many_predictions_in_one_picture_are_cut_at_a_hundred():
    scenes = make_scenes(4, 3)
    crowded = [(truth, predicted * 12) for truth, predicted in scenes]
    assert max(len(predicted) for _, predicted in crowded) > 300
    evaluator = judge(crowded)
    assert evaluator.resample(np.ones((1, 4), np.int64)).primary[0] == pytest.approx(evaluator.compute().primary, abs=1e-12)


def test_of_equal_overlaps_the_last_is_taken_and_each_only_once():
    ious = np.array([[0.6, 0.6], [0.7, 0.7], [0.8, 0.8]])
    match = match_image(ious, np.array([0.9, 0.8, 0.7]), np.zeros(2, bool))
    assert match.matched[0].tolist() == [True, True, False]
    assert match.truth == 2


@pytest.mark.parametrize(("iou", "thresholds"), [(0.5, 1), (0.499, 0), (0.75, 6), (1.0, 10)])
def test_an_overlap_of_exactly_a_threshold_is_enough(iou, thresholds):
    match = match_image(np.array([[iou]]), np.array([0.9]), np.zeros(1, bool))
    assert match.matched[:, 0].tolist() == [True] * thresholds + [False] * (10 - thresholds)


def test_a_resample_without_truth_is_not_known():
    match = match_image(np.array([[0.9]]), np.array([0.5]), np.zeros(1, bool))
    empty = match_image(np.zeros((1, 0)), np.array([0.6]), np.zeros(0, bool))
    joined = join_matches([match, empty], [0, 1])
    precision = compute_average_precision(joined, np.array([[1, 0], [0, 1], [1, 1]]))
    assert precision[0, 0] == pytest.approx(1.0)
    assert np.isnan(precision[1]).all()
    assert precision[2, 0] == pytest.approx(0.5)  # the surer one is false


def test_no_pictures_and_no_resamples_are_fine():
    joined = join_matches([], [])
    assert compute_average_precision(joined, np.zeros((0, 0), int)).shape == (0, 10)
    assert np.isnan(compute_average_precision(joined, np.zeros((2, 0), int))).all()


def test_a_category_costs_only_the_pictures_that_have_any_of_it(monkeypatch):
    scenes = make_scenes(30, 9)
    evaluator = judge(scenes)
    pairs = sum(len({one.category for one in (*truth, *predicted)}) for truth, predicted in scenes)
    both = sum(len({one.category for one in truth} & {one.category for one in predicted}) for truth, predicted in scenes)
    measured = []
    overlap = evaluator._overlap
    monkeypatch.setattr(evaluator, "_overlap", lambda said, mine: measured.append(bool(said and mine)) or overlap(said, mine))
    evaluator.resample_all(np.ones((2, 30), np.int64))
    assert sum(len(matches.pictures) for matches in evaluator.match()) == pairs < 30 * len(NAMES)
    assert sum(measured) == both  # once for all four sizes of objects
