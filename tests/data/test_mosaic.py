"""The mosaic puts pictures and boxes where they belong."""

import numpy as np
import pytest

from sightline.data.augmentation import rotation_matrix, scale_matrix, shift_matrix, warp_points
from sightline.data.mosaic import paint_mosaic, quarter_matrix


def make_pictures(*values: int, width: int, height: int) -> list[np.ndarray]:
    return [np.full((height, width, 3), value, np.uint8) for value in values]


def test_every_part_fills_its_quarter_of_the_canvas() -> None:
    pictures = make_pictures(10, 20, 30, 40, width=32, height=32)
    image, matrices = paint_mosaic(pictures, scale_matrix(0.5, 0.5), 32, 32)  # the 64 x 64 canvas, halved
    quarters = [image[y : y + 12, x : x + 12] for y in (2, 18) for x in (2, 18)]
    assert [int(np.median(quarter)) for quarter in quarters] == [10, 20, 30, 40]
    places = [warp_points(np.array([(0, 0), (32, 32)]), matrix).ravel().tolist() for matrix in matrices]
    assert places == [[0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]]


def test_a_wide_picture_keeps_its_aspect_and_touches_the_middle() -> None:
    matrix = quarter_matrix(0, 64, 32, 32, 32)  # top left, 64 x 32 into 32 x 32
    assert matrix[:2].tolist() == [[0.5, 0, 0], [0, 0.5, 16]]  # half the size, pushed down against the middle


def test_parts_outside_the_result_are_not_seen() -> None:
    image, _ = paint_mosaic(make_pictures(1, 2, 3, 4, width=32, height=32), shift_matrix(0, 0), 32, 32)  # the top left quarter
    assert image.shape == (32, 32, 3)
    assert image[5:25, 5:25] == pytest.approx(1)


@pytest.mark.parametrize("quarter_turns", [0, 1])
def test_parts_that_grow_meet_at_the_seam_and_end_at_their_edge(quarter_turns: int) -> None:
    pictures = make_pictures(10, 20, 30, 40, width=4, height=3)  # eight times as large in 32 x 32
    turned = scale_matrix(0.5, 0.5) @ shift_matrix(64, 64) @ rotation_matrix(90.0 * quarter_turns) @ shift_matrix(-64, -64)
    image, matrices = paint_mosaic(pictures, turned, 64, 64)  # the whole canvas, halved
    painted = np.zeros((64, 64), bool)
    for picture, matrix in zip(pictures, matrices, strict=True):
        corners = warp_points(np.array([(0, 0), (4, 3)]), matrix).round().astype(int)
        (x_min, y_min), (x_max, y_max) = corners.min(0), corners.max(0)
        assert (image[y_min:y_max, x_min:x_max] == picture[0, 0]).all()
        painted[y_min:y_max, x_min:x_max] = True
    assert (image[~painted] == 114).all()


def test_a_turned_part_is_painted_where_its_pixels_are() -> None:
    pictures = make_pictures(10, 20, 30, 40, width=4, height=3)
    turned = scale_matrix(0.5, 0.5) @ shift_matrix(64, 64) @ rotation_matrix(30.0) @ shift_matrix(-64, -64)
    image, _ = paint_mosaic(pictures, turned, 64, 64)
    back = np.linalg.inv(turned @ quarter_matrix(3, 4, 3, 64, 64))
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    own_x, own_y = (row[0] * x + row[1] * y + row[2] for row in back[:2])
    inside = (own_x >= 0) & (own_x < 4) & (own_y >= 0) & (own_y < 3)
    assert ((image[..., 0] == 40) == inside).all()
