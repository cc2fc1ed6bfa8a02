import numpy as np
import pytest

from sightline.imaging.plates import measure_plate, place_plates

SIZE = 240, 320


def place(*boxes: tuple[float, float, float, float], inside: bool = False) -> list[tuple[int, int]]:
    plates = [measure_plate("dent 66%", *SIZE) for _ in boxes]
    return place_plates(plates, np.array(boxes, np.float64).reshape(-1, 4), [inside] * len(boxes), *SIZE)


def find_shared(corner: tuple[int, int], box: tuple[int, int, int, int]) -> int:
    """Pixels of a box under a plate, counted in a loop."""
    plate = measure_plate("dent 66%", *SIZE)
    return sum(
        box[0] <= x < box[2] and box[1] <= y < box[3]
        for x in range(corner[0], corner[0] + plate.width)
        for y in range(corner[1], corner[1] + plate.height)
    )


def test_a_lone_box_has_its_name_above():
    plate = measure_plate("dent 66%", *SIZE)
    assert place((100, 80, 160, 120)) == [(100, 80 - plate.height)]


@pytest.mark.parametrize("shift", [0.3, 0.5, 0.7])
def test_a_box_between_pixels_has_its_name_above_all_the_same(shift):
    plate = measure_plate("dent 66%", *SIZE)
    (corner,) = place((100 + shift, 80 + shift, 160 + shift, 120 + shift))
    assert corner == (round(100 + shift), round(80 + shift) - plate.height)


def test_a_name_stands_below_where_there_is_no_room_above():
    assert place((100, 2, 160, 60)) == [(100, 60)]


def test_a_name_does_not_hide_a_small_box_above_its_own():
    small = (104, 68, 116, 78)
    corners = place((100, 80, 160, 120), small)
    assert find_shared(corners[0], small) == 0
    assert find_shared(corners[1], (100, 80, 160, 120)) == 0


def test_names_of_equal_boxes_do_not_hide_each_other():
    plate = measure_plate("dent 66%", *SIZE)
    first, second = place((100, 80, 160, 120), (100, 80, 160, 120))
    assert abs(first[0] - second[0]) >= plate.width or abs(first[1] - second[1]) >= plate.height


def test_a_box_as_large_as_the_picture_has_its_name_inside():
    assert place((0, 0, 320, 240)) == [(0, 0)]


def test_the_name_of_a_mask_stands_inside():
    assert place((100, 80, 200, 160), inside=True) == [(100, 80)]


def test_nothing_to_place():
    assert place() == []


@pytest.mark.parametrize("shape", [(1, 1), (9, 300), (240, 320)])
def test_a_plate_is_at_most_as_wide_as_the_picture(shape):
    assert measure_plate("a name so long that no small picture holds it", *shape).width <= max(shape[1], 8)
