"""Boundary F: by hand, against loops over all pairs of pixels, and what says nothing."""

import math

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.imaging.masks import label_map_to_annotations
from sightline.metrics.boundary import BoundaryScores, find_reach
from sightline.metrics.semantic import SemanticEvaluator

VOID = 9


def score(
    truth: np.ndarray, answer: np.ndarray, tolerance: float = 1, count: int = 2, unknown: int | None = None
) -> list[float]:
    scores = BoundaryScores(count, tolerance)
    scores.add(truth, answer, unknown)
    return scores.resample(np.ones((1, 1), np.int64))[0].tolist()


def stripes(*starts: int, width: int = 20) -> np.ndarray:
    """Ten rows; at each of these columns the category changes between 0 and 1."""
    columns = np.zeros(width, np.uint8)
    for start in starts:
        columns[start:] ^= 1
    return np.tile(columns, (10, 1))


def list_outline(label_map: np.ndarray, category: int) -> list[tuple[int, int]]:
    """Slowly."""
    height, width = label_map.shape
    found = []
    for y in range(height - 1):
        for x in range(width - 1):
            block = {int(label_map[y + dy, x + dx]) == category for dy in (0, 1) for dx in (0, 1)}
            if len(block) == 2:
                found.append((y, x))
    return found


def score_slowly(truth: np.ndarray, answer: np.ndarray, category: int, reach: int, unknown: int | None) -> float:
    void = [] if unknown is None else np.argwhere(truth == unknown).tolist()

    def is_near(pixel: tuple[int, int], others: list) -> bool:
        return any(math.dist(pixel, other) <= reach for other in others)

    true, said = list_outline(truth, category), list_outline(answer, category)
    counted_true, counted_said = ([pixel for pixel in side if not is_near(pixel, void)] for side in (true, said))
    if not counted_true and not counted_said:
        return math.nan
    recall = sum(is_near(pixel, said) for pixel in counted_true) / max(1, len(counted_true))
    precision = sum(is_near(pixel, true) for pixel in counted_said) / max(1, len(counted_said))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("unknown", [None, VOID])
@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_loops_over_all_pairs_of_pixels(seed: int, reach: int, unknown: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.choice([0, 1, 2, VOID], (5, 6), p=[0.4, 0.3, 0.2, 0.1]), np.ones((4, 3), int)).astype(np.uint8)
    answer = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    answer[rng.random(truth.shape) < 0.03] = 0
    answer[answer == VOID] = 1
    expected = [score_slowly(truth, answer, category, reach, unknown) for category in range(4)]
    assert score(truth, answer, reach, 4, unknown) == pytest.approx(expected, nan_ok=True)


def test_by_hand() -> None:
    # One true outline; of the two answered ones the first is a pixel off, the other met by nothing: precision 1/2, recall 1.
    assert score(stripes(5), stripes(6, 12)) == pytest.approx([2 / 3, 2 / 3])
    assert score(stripes(5), stripes(7)) == [0, 0]
    assert score(stripes(5), stripes(7), tolerance=2) == [1, 1]


def test_a_category_whose_outline_neither_side_has_says_nothing() -> None:
    assert score(stripes(), stripes()) == pytest.approx([math.nan, math.nan], nan_ok=True)
    assert score(stripes(5), stripes(5), count=3) == pytest.approx([1, 1, math.nan], nan_ok=True)


def test_an_outline_that_one_side_alone_has_is_wrong() -> None:
    assert score(stripes(5), stripes()) == [0, 0]
    assert score(stripes(), stripes(5)) == [0, 0]


def test_the_mean_is_over_pictures_that_say_something() -> None:
    scores = BoundaryScores(2, 1)
    for answer in (stripes(5), stripes(), stripes(5, 12)):
        scores.add(stripes(5), answer)
    scores.add(stripes(), stripes())
    weights = np.array([[1, 1, 1, 1], [0, 3, 1, 9], [0, 0, 0, 1]])
    # 1, 0, 2/3, nothing.
    expected = [[5 / 9] * 2, [(2 / 3) / 4] * 2, [math.nan] * 2]
    assert scores.resample(weights).tolist() == [pytest.approx(row, nan_ok=True) for row in expected]
    assert np.isnan(BoundaryScores(2).resample(np.ones((1, 0), np.int64))).all()


def test_next_to_what_is_not_known_no_outline_counts() -> None:
    truth, answer = stripes(5, 12), stripes(12)
    assert score(truth, answer) == pytest.approx([2 / 3, 2 / 3])
    truth[:, 4:7] = VOID  # where the outline lies nobody knows
    assert score(truth, answer, unknown=VOID) == [1, 1]
    assert score(truth, stripes(8, 12), unknown=VOID) == pytest.approx([1, 1])  # 7 is next to it
    assert score(truth, stripes(9, 12), unknown=VOID) == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_the_smallest_pictures_are_judged(shape: tuple[int, int]) -> None:
    truth = np.zeros(shape, np.uint8)
    assert np.isnan(score(truth, truth)).all()


def test_tolerances_are_those_of_the_paper() -> None:
    assert [find_reach(share, 2048, 1024) for share in (0.0005, 0.001875, 0.00375, 0.005)] == [2, 5, 9, 12]
    assert [find_reach(pixels, 2048, 1024) for pixels in (1, 3)] == [1, 3]


def test_the_evaluator_means_it_over_the_categories_that_occur() -> None:
    names = Categories(["a", "b", "c"])
    evaluator = SemanticEvaluator(names, "ignore")
    taken_for_c = stripes(5) * 2
    for answer in (stripes(5), taken_for_c):
        evaluator.add(*(label_map_to_annotations(side, names) for side in (stripes(5), answer)), 20, 10)
    metrics = evaluator.compute()
    # The outline of "a" is met twice, that of "b" once; of "c" there is none, though one was answered.
    assert [metrics.per_category[name].get("boundary_f") for name in names] == [1, 0.5, None]
    assert metrics.values["boundary_f"] == 0.75


def test_without_any_outline_the_evaluator_leaves_it_out() -> None:
    names = Categories(["a", "b"])
    evaluator = SemanticEvaluator(names)
    evaluator.add(*[label_map_to_annotations(np.zeros((4, 4), int), names)] * 2, 4, 4)
    metrics = evaluator.compute()
    assert metrics.primary == 1
    assert "boundary_f" not in metrics.values
