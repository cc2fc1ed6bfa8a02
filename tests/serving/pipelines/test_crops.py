"""Crops: expected pixels are worked out by hand."""

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.imaging.resizing import Placement
from sightline.serving.pipelines.crops import View, cut_crops, find_crop, rebase_placement, view_whole
from sightline.serving.pipelines.declaration import CropSettings

PICTURE = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)


def box(*corners: float, category: str = "dog") -> Annotation:
    return Annotation(category=category, box_xyxy=corners, confidence=0.9, origin="model")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("corners", "margin", "expected"),
    [
        ((10, 10, 20, 30), 0.0, (10, 10, 20, 30)),
        ((10.2, 10.9, 19.1, 29.5), 0.0, (10, 10, 20, 30)),  # every pixel that is touched
        ((10, 10, 20, 30), 0.1, (9, 8, 21, 32)),  # 1 px of 10, 2 px of 20
        ((10, 10, 20, 30), 0.5, (5, 0, 25, 40)),
        ((1, 2, 5, 6), 1.0, (0, 0, 9, 10)),  # cut at the left and top edge
        ((90, 30, 99, 39), 0.5, (85, 25, 100, 40)),  # and at the right and bottom edge of 100 x 40
        ((-5, -5, 3, 4), 0.0, (0, 0, 3, 4)),
        ((95, 35, 140, 60), 0.0, (95, 35, 100, 40)),
        ((10.3, 10.3, 10.4, 10.4), 0.0, (10, 10, 11, 11)),  # a tenth of a pixel is in one pixel
        ((0, 0, 100, 40), 2.0, (0, 0, 100, 40)),
    ],
)
def test_crop_holds_the_pixels_that_the_box_and_its_margin_touch(
    corners: tuple[float, float, float, float], margin: float, expected: tuple[int, int, int, int]
) -> None:
    assert find_crop(corners, margin, 100, 40) == expected


@pytest.mark.parametrize(
    "corners",
    [
        (10, 10, 10, 20),  # no width
        (20, 10, 10, 20),  # inverted
        (100, 10, 120, 20),  # beside the picture
        (-20, 10, 0, 20),
        (10, 40, 20, 50),
        (float("nan"), 0, 10, 10),
        (0, 0, float("inf"), 10),
    ],
)
def test_boxes_that_cover_no_pixel_give_no_crop_whatever_their_margin(corners: tuple[float, float, float, float]) -> None:
    assert find_crop(corners, 1.0, 100, 40) is None


def test_crops_are_cut_from_the_picture_in_the_order_of_its_annotations() -> None:
    crops = cut_crops(view_whole(PICTURE, 3), [box(5, 6, 9, 8), box(0, 0, 2, 1)], CropSettings())
    assert [crop.place for crop in crops] == [0, 1]
    np.testing.assert_array_equal(crops[0].view.image, PICTURE[6:8, 5:9])
    np.testing.assert_array_equal(crops[1].view.image, PICTURE[0:1, 0:2])
    assert {crop.view.owner for crop in crops} == {3}
    assert (crops[0].view.left, crops[0].view.top, crops[0].view.owner_width, crops[0].view.owner_height) == (5, 6, 30, 20)


def test_only_wanted_categories_are_cut_and_their_places_in_the_list_are_kept() -> None:
    found = [box(0, 0, 5, 5, category="cat"), box(5, 5, 9, 9), box(9, 9, 12, 12, category="cat"), box(1, 1, 4, 4)]
    crops = cut_crops(view_whole(PICTURE, 0), found, CropSettings(categories=("dog",)))
    assert [crop.place for crop in crops] == [1, 3]


def test_of_more_boxes_than_allowed_the_first_that_can_be_cut_are() -> None:
    found = [box(4, 4, 4, 9), box(0, 0, 5, 5), box(5, 5, 9, 9), box(9, 9, 12, 12)]  # the first has no width
    crops = cut_crops(view_whole(PICTURE, 0), found, CropSettings(max_crops=2))
    assert [crop.place for crop in crops] == [1, 2]


def test_annotations_of_the_whole_image_and_none_at_all_give_no_crops() -> None:
    whole = Annotation(category="dog", confidence=1.0, origin="model")
    assert cut_crops(view_whole(PICTURE, 0), [whole], CropSettings()) == []
    assert cut_crops(view_whole(PICTURE, 0), [], CropSettings()) == []


def test_a_view_drawn_twice_as_large_is_cut_in_its_own_pixels_and_keeps_its_place_in_the_owner() -> None:
    drawn = np.repeat(np.repeat(PICTURE, 2, axis=0), 2, axis=1)  # (40, 60, 3)
    view = View(image=drawn, owner=0, owner_width=30, owner_height=20, scale_x=2.0, scale_y=2.0)
    (crop,) = cut_crops(view, [box(5, 6, 9, 8)], CropSettings())
    np.testing.assert_array_equal(crop.view.image, drawn[12:16, 10:18])
    assert (crop.view.left, crop.view.top) == (5, 6)


def test_boxes_found_in_a_crop_come_out_in_the_pixels_of_the_picture() -> None:
    """A crop of 10 x 10 at (5, 6), fed at 20 x 20: what lies at (4, 8) of the input lies at (5 + 2, 6 + 4)."""
    view = View(image=PICTURE[6:16, 5:15], owner=0, owner_width=30, owner_height=20, left=5, top=6)
    of_crop = Placement(
        source_width=10, source_height=10, input_width=20, input_height=20, scale_x=2, scale_y=2, offset_x=0, offset_y=0
    )
    rebased = rebase_placement(of_crop, view)
    np.testing.assert_allclose(rebased.boxes_to_source(np.array([[4, 8, 20, 20]])), [[7, 10, 15, 16]])
    assert (rebased.source_width, rebased.source_height) == (30, 20)
