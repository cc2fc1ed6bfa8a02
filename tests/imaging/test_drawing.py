import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.imaging import drawing
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.masks import encode_mask

CATEGORIES = Categories(["cell", "platelet"])


def test_a_box_is_outlined_in_its_colour_and_the_inside_is_left():
    image = np.full((200, 300, 3), 10, np.uint8)
    drawn = draw_annotations(image, [Annotation(category="platelet", box_xyxy=(100, 50, 200, 150))], CATEGORIES)
    colour = CATEGORIES.colour(1)
    assert tuple(drawn[149, 150]) == colour and tuple(drawn[100, 100]) == colour and tuple(drawn[100, 199]) == colour
    assert (drawn[100, 150] == 10).all() and (drawn[100, 210] == 10).all()


def test_the_picture_given_is_not_changed():
    image = np.zeros((50, 50, 3), np.uint8)
    draw_annotations(image, [Annotation(category="cell", box_xyxy=(1, 1, 40, 40), confidence=0.5)], CATEGORIES)
    assert not image.any()


def test_a_mask_is_tinted_and_its_hole_is_not():
    mask = np.zeros((300, 300), bool)
    mask[100:200, 100:200] = True
    mask[130:170, 130:170] = False
    drawn = draw_annotations(
        np.zeros((300, 300, 3), np.uint8), [Annotation(category="cell", mask=encode_mask(mask))], CATEGORIES
    )
    np.testing.assert_allclose(drawn[150, 115], np.array(CATEGORIES.colour(0)) * 0.45, atol=1)
    assert not drawn[150, 150].any()


def test_a_polygon_without_a_box_is_drawn_where_it_lies():
    polygon = Annotation(category="cell", polygons=((100.0, 100.0, 250.0, 100.0, 250.0, 250.0, 100.0, 250.0),))
    drawn = draw_annotations(np.zeros((300, 300, 3), np.uint8), [polygon], CATEGORIES)
    assert drawn[200, 200].any()
    assert not drawn[:60, :60].any()


def test_labels_of_the_whole_image_stand_below_each_other():
    one = draw_annotations(np.zeros((200, 300, 3), np.uint8), [Annotation(category="cell", confidence=0.9)], CATEGORIES)
    two = draw_annotations(
        np.zeros((200, 300, 3), np.uint8), [Annotation(category=name, confidence=0.9) for name in CATEGORIES], CATEGORIES
    )
    assert np.flatnonzero(two.any(axis=(1, 2))).max() > 1.8 * np.flatnonzero(one.any(axis=(1, 2))).max()


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (20, 20), (4000, 3000)])
def test_any_size_of_picture_and_any_box_can_be_drawn(shape):
    annotations = [
        Annotation(category="platelet", box_xyxy=(-20.0, -20.0, 5000.0, 5000.0), confidence=1.0),
        Annotation(category="a name so long that no small picture holds it", box_xyxy=(0.4, 0.4, 0.6, 0.6)),
        Annotation(category="größe", confidence=0.333),
    ]
    assert draw_annotations(np.zeros((*shape, 3), np.uint8), annotations, CATEGORIES).shape == (*shape, 3)


def test_nothing_to_draw_is_a_copy(rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    drawn = draw_annotations(image, [], CATEGORIES)
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_a_name_that_no_font_has_is_drawn_as_its_number(monkeypatch):
    monkeypatch.setattr(drawing, "find_font", lambda text: None)
    blank, box = np.zeros((240, 320, 3), np.uint8), (20.0, 40.0, 200.0, 200.0)
    names = Categories(["cat", "猫"])
    numbered = draw_annotations(blank, [Annotation(category="猫", box_xyxy=box, confidence=0.5)], names)
    named = Categories(["cat", "category 1"])
    expected = draw_annotations(blank, [Annotation(category="category 1", box_xyxy=box, confidence=0.5)], named)
    np.testing.assert_array_equal(numbered, expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 300, 3), (240, 320, 3)])
def test_names_that_are_not_ascii_are_told_apart(shape):
    """OpenCV's own font writes each of them as question marks."""
    names = ("Öl", "Äl", "Öl auf dem Gehäuse und noch viel weiter links", "масло", "фильтр", "日本語")
    categories = Categories(names)
    box = (0.0, 0.0, float(shape[1]), float(shape[0]))
    grounds = [
        draw_annotations(np.zeros(shape, np.uint8), [Annotation(category=name, box_xyxy=box)], categories) for name in names
    ]
    assert all(drawn.shape == shape for drawn in grounds)
    if shape[0] < 200:
        return
    gray = Categories(["another"])  # one colour for all: what differs are the letters
    drawn = [draw_annotations(np.zeros(shape, np.uint8), [Annotation(category=name, box_xyxy=box)], gray) for name in names]
    assert len({picture.tobytes() for picture in drawn}) == len(names)
    same_width = [picture[:14, 3:18] for picture in drawn[:2]]  # Ö and Ä
    assert (same_width[0] > 200).any() and (same_width[0] != same_width[1]).any()
