import numpy as np
import pytest

from sightline.imaging.ranking import find_smallest


@pytest.mark.parametrize("count", [1, 2, 5, 19, 20, 21])
@pytest.mark.parametrize("nans", [0, 3, 18, 20])
@pytest.mark.parametrize("levels", [2, 5, 1000])  # few: most values are equal
def test_the_smallest_are_what_a_stable_sort_begins_with(count: int, nans: int, levels: int) -> None:
    rng = np.random.default_rng(count * 31 + nans)
    values = rng.integers(0, levels, 20).astype(np.float32)
    values[rng.permutation(20)[:nans]] = np.nan
    np.testing.assert_array_equal(find_smallest(values, count), np.argsort(values, kind="stable")[:count])


def test_integers_without_an_opposite_are_ranked() -> None:
    values = np.array([3, -128, 127, 3, -128], np.int8)
    assert find_smallest(values, 3).tolist() == [1, 4, 0]
    assert find_smallest(~values, 2).tolist() == [2, 0]  # the largest


def test_infinities_have_their_place() -> None:
    assert find_smallest(np.array([np.inf, 1.0, -np.inf, np.inf, np.nan]), 4).tolist() == [2, 1, 0, 3]
