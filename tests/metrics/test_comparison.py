import msgspec
import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.imaging.masks import label_map_to_annotations
from sightline.metrics.comparison import compare_evaluators, compare_shown
from sightline.metrics.evaluator import make_evaluator
from sightline.metrics.intervals import draw_weights

from .scenes import NAMES, SIZE, label, make_scenes
from .test_shown import find_f1_slowly

CATEGORIES = Categories(NAMES)


def judge(task, pictures, categories=CATEGORIES):
    evaluator = make_evaluator(task, categories)
    for truth, predicted in pictures:
        evaluator.add(truth, predicted, SIZE, SIZE)
    return evaluator


def test_detection_before_and_after_losing_boxes():
    scenes = make_scenes(30, 1)
    rng = np.random.default_rng(0)
    fewer = [(truth, [one for one in predicted if rng.random() < 0.8]) for truth, predicted in scenes]
    before, after = judge("detection", scenes), judge("detection", fewer)
    result = compare_evaluators(before, after, resamples=200)
    assert result.metric == "map"
    assert result.before == pytest.approx(before.compute().primary)
    assert result.after == pytest.approx(after.compute().primary)
    assert result.change.estimate == pytest.approx(result.after - result.before)
    assert result.change.low < result.change.estimate < result.change.high < 0
    assert set(result.per_category) == {"a", "b", "c"}


def test_the_interval_is_that_of_recomputing_map_on_every_resample():
    scenes = make_scenes(6, 2, ties=False)
    fewer = [(truth, predicted[::2]) for truth, predicted in scenes]
    result = compare_evaluators(judge("detection", scenes), judge("detection", fewer), resamples=40, seed=3)
    changes = []
    for row in draw_weights(6, 40, seed=3):
        again, fewer_again = (
            [scene for scene, times in zip(side, row, strict=True) for _ in range(times)] for side in (scenes, fewer)
        )
        changes.append(judge("detection", fewer_again).compute().primary - judge("detection", again).compute().primary)
    assert (result.change.low, result.change.high) == pytest.approx(tuple(np.percentile(changes, [2.5, 97.5])), abs=1e-9)


def test_the_interval_of_what_is_shown_is_that_of_counting_every_resample_anew():
    scenes = make_scenes(9, 6, ties=False)
    sunken = [
        (truth, [msgspec.structs.replace(one, confidence=0.8 * one.confidence) for one in predicted])
        for truth, predicted in scenes
    ]
    result = compare_shown(judge("detection", scenes), judge("detection", sunken), resamples=60, seed=3)
    before, after = (find_f1_slowly(side, 0.25) for side in (scenes, sunken))
    assert result.metric == "f1"
    assert (result.before, result.after) == pytest.approx(tuple(np.mean(list(one.values())) for one in (before, after)))
    assert result.change.estimate == pytest.approx(result.after - result.before)
    changes, of_a = [], []
    for row in draw_weights(9, 60, seed=3):
        drawn = ([scene for scene, times in zip(side, row, strict=True) for _ in range(times)] for side in (scenes, sunken))
        first, second = (find_f1_slowly(side, 0.25) for side in drawn)
        changes.append(np.mean(list(second.values())) - np.mean(list(first.values())))
        of_a.append(second["a"] - first["a"])
    ends = (result.change.low, result.change.high, result.per_category["a"].low, result.per_category["a"].high)
    assert ends == pytest.approx((*np.percentile(changes, [2.5, 97.5]), *np.percentile(of_a, [2.5, 97.5])), abs=1e-9)
    assert set(result.per_category) == {"a", "b", "c"}


def test_the_same_answers_do_not_change():
    scenes = make_scenes(5, 4)
    result = compare_evaluators(judge("detection", scenes), judge("detection", scenes), resamples=50)
    assert (result.change.estimate, result.change.low, result.change.high) == (0, 0, 0)


def test_the_seed_decides_the_interval():
    scenes = make_scenes(10, 5)
    pair = judge("detection", scenes), judge("detection", [(truth, predicted[1:]) for truth, predicted in scenes])
    first, again, other = (compare_evaluators(*pair, resamples=100, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.change.estimate == other.change.estimate and first.change.low != other.change.low


def test_classification_gives_the_interval_of_paired_proportions():
    pictures = [([label("ab"[index % 2])], [label("ab"[index % 2], 0.9)]) for index in range(40)]
    worse = [(truth, [label("c", 0.9)] if index < 4 else said) for index, (truth, said) in enumerate(pictures)]
    result = compare_evaluators(judge("classification", pictures), judge("classification", worse))
    assert (result.before, result.after) == (1.0, 0.9)
    # One more gained (0 + 1) and lost (4 + 1) of 42, by hand.
    p_gained, p_lost = 1 / 42, 5 / 42
    half = 1.959964 * ((p_gained + p_lost - (p_gained - p_lost) ** 2) / 42) ** 0.5
    assert (result.change.low, result.change.high) == pytest.approx(
        (p_gained - p_lost - half, p_gained - p_lost + half), abs=1e-6
    )
    # Of 20 pictures of each category two were lost: one gained and three lost of 22, by hand.
    half = 1.959964 * ((1 / 22 + 3 / 22 - (2 / 22) ** 2) / 22) ** 0.5
    for name in "ab":
        change = result.per_category[name]
        assert (change.estimate, change.low, change.high) == pytest.approx((-0.1, -2 / 22 - half, -2 / 22 + half), abs=1e-6)


def test_a_category_of_few_pictures_whose_answers_stayed_is_not_exactly_known():
    pictures = [([label("a")], [label("a", 0.9)])] * 3 + [([label("b")], [label("a", 0.9)])] * 30
    better = [(truth, [label("b", 0.9)] if index == 3 else said) for index, (truth, said) in enumerate(pictures)]
    result = compare_evaluators(judge("classification", pictures), judge("classification", better))
    half = 1.959964 * (2 / 5 / 5) ** 0.5  # one gained and one lost of 5, by hand
    change = result.per_category["a"]
    assert (change.estimate, change.low, change.high) == pytest.approx((0.0, -half, half), abs=1e-6)
    assert set(result.per_category) == {"a", "b"}


def test_segmentation_and_multilabel_are_compared_alike(rng):
    maps = [(rng.integers(0, 3, (8, 8)), rng.integers(0, 3, (8, 8))) for _ in range(12)]
    before, after = make_evaluator("semantic", CATEGORIES), make_evaluator("semantic", CATEGORIES)
    for truth, predicted in maps:
        before.add(label_map_to_annotations(truth, CATEGORIES), label_map_to_annotations(truth, CATEGORIES), 8, 8)
        after.add(label_map_to_annotations(truth, CATEGORIES), label_map_to_annotations(predicted, CATEGORIES), 8, 8)
    result = compare_evaluators(before, after, resamples=100)
    assert result.before == 1.0
    assert result.after == pytest.approx(after.compute().primary)
    assert result.change.high < -0.5
    pictures = [([label("a"), label("b")], [label("a", 0.9)])] * 5
    same = compare_evaluators(judge("multilabel", pictures), judge("multilabel", pictures), resamples=10)
    assert same.before == pytest.approx(judge("multilabel", pictures).compute().primary) == 0.5


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "instance", "semantic"])
def test_nothing_judged_is_an_open_question(task):
    result = compare_evaluators(make_evaluator(task, CATEGORIES), make_evaluator(task, CATEGORIES), resamples=5)
    assert (result.before, result.after, result.change.low, result.change.high) == (0, 0, -1, 1)
    assert result.per_category == {}


def test_evaluators_of_other_pictures_are_refused():
    with pytest.raises(InvalidInput, match="same pictures"):
        compare_evaluators(judge("detection", make_scenes(2, 0)), judge("detection", make_scenes(3, 0)))
    with pytest.raises(InvalidInput, match="same pictures"):
        compare_evaluators(make_evaluator("detection", CATEGORIES), make_evaluator("semantic", CATEGORIES))
