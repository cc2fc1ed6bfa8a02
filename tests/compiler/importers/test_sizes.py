import math

import numpy as np
import pytest

from sightline.compiler.importers.sizes import find_resize_factor, find_same_pads


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "pads"),
    [(5, 3, 1, 1, (1, 1)), (6, 3, 2, 1, (0, 1)), (5, 2, 1, 1, (0, 1)), (7, 3, 1, 2, (2, 2)), (8, 1, 2, 1, (0, 0))],
)
def test_same_puts_the_odd_pixel_behind(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> None:
    assert find_same_pads(size, kernel, stride, dilation) == pads  # worked by hand


def test_a_length_times_its_factor_rounds_down_to_the_wanted_one_in_either_precision() -> None:
    for before in range(1, 80):
        for after in range(1, 160):
            factor = find_resize_factor(before, after)
            assert math.floor(before * float(factor)) == math.floor(np.float32(before) * factor) == after


def test_a_stated_factor_stays_where_it_gives_the_wanted_length() -> None:
    assert find_resize_factor(7, 15, 2.2) == np.float32(2.2)  # 15.4
