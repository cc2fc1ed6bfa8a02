"""The mosaic puts pictures and boxes where they belong."""

import numpy as np
import pytest

from sightline.data.augmentation import LabelledPicture, scale_matrix, shift_matrix
from sightline.data.mosaic import quarter_matrix, warp_mosaic


def make_picture(value: int, width: int, height: int) -> LabelledPicture:
    box = np.array([[0, 0, width, height]], np.float32)
    return LabelledPicture(np.full((height, width, 3), value, np.uint8), box, np.array([value]), ((),))


def test_every_part_fills_its_quarter_of_the_canvas() -> None:
    pictures = [make_picture(value, 32, 32) for value in (10, 20, 30, 40)]
    mosaic = warp_mosaic(pictures, scale_matrix(0.5, 0.5), 32, 32)  # the 64 x 64 canvas, halved
    quarters = [mosaic.image[y : y + 12, x : x + 12] for y in (2, 18) for x in (2, 18)]
    assert [int(np.median(quarter)) for quarter in quarters] == [10, 20, 30, 40]
    assert mosaic.boxes_xyxy.tolist() == [[0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]]
    assert mosaic.labels.tolist() == [10, 20, 30, 40]


def test_a_wide_picture_keeps_its_aspect_and_touches_the_middle() -> None:
    matrix = quarter_matrix(0, 64, 32, 32, 32)  # top left, 64 x 32 into 32 x 32
    assert matrix[:2].tolist() == [[0.5, 0, 0], [0, 0.5, 16]]  # half the size, pushed down against the middle


def test_objects_outside_the_result_are_dropped() -> None:
    pictures = [make_picture(value, 32, 32) for value in (1, 2, 3, 4)]
    mosaic = warp_mosaic(pictures, shift_matrix(0, 0), 32, 32)  # only the top left quarter is seen
    assert mosaic.labels.tolist() == [1]
    assert mosaic.image.shape == (32, 32, 3)
    assert mosaic.image[5:25, 5:25] == pytest.approx(1)


def test_pictures_without_objects_give_none() -> None:
    empty = LabelledPicture(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), ())
    mosaic = warp_mosaic([empty] * 4, scale_matrix(0.5, 0.5), 16, 16)
    assert mosaic.boxes_xyxy.shape == (0, 4)
