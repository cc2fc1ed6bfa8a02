"""The mosaic puts pictures and boxes where they belong."""

import numpy as np
import pytest

from sightline.data.augmentation import LabelledPicture, rotation_matrix, scale_matrix, shift_matrix
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


@pytest.mark.parametrize("quarter_turns", [0, 1])
def test_parts_that_grow_meet_at_the_seam_and_end_at_their_edge(quarter_turns: int) -> None:
    pictures = [make_picture(value, 4, 3) for value in (10, 20, 30, 40)]  # of 4 x 3 pixels, eight times as large in 32 x 32
    turned = scale_matrix(0.5, 0.5) @ shift_matrix(64, 64) @ rotation_matrix(90.0 * quarter_turns) @ shift_matrix(-64, -64)
    mosaic = warp_mosaic(pictures, turned, 64, 64)  # the whole canvas, halved
    assert len(mosaic.boxes_xyxy) == 4
    painted = np.zeros((64, 64), bool)
    for box, label in zip(mosaic.boxes_xyxy.round().astype(int).tolist(), mosaic.labels, strict=True):
        x_min, y_min, x_max, y_max = box
        assert (mosaic.image[y_min:y_max, x_min:x_max] == label).all()
        painted[y_min:y_max, x_min:x_max] = True
    assert (mosaic.image[~painted] == 114).all()


def test_a_turned_part_is_painted_where_its_pixels_are() -> None:
    pictures = [make_picture(value, 4, 3) for value in (10, 20, 30, 40)]
    turned = scale_matrix(0.5, 0.5) @ shift_matrix(64, 64) @ rotation_matrix(30.0) @ shift_matrix(-64, -64)
    mosaic = warp_mosaic(pictures, turned, 64, 64)
    back = np.linalg.inv(turned @ quarter_matrix(3, 4, 3, 64, 64))
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    own_x, own_y = (row[0] * x + row[1] * y + row[2] for row in back[:2])
    inside = (own_x >= 0) & (own_x < 4) & (own_y >= 0) & (own_y < 3)
    assert ((mosaic.image[..., 0] == 40) == inside).all()
