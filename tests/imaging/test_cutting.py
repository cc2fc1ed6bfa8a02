import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.imaging.cutting import Stroke, cut_out
from sightline.imaging.files.reading import read_image
from sightline.imaging.masks import draw_polygons

HEIGHT, WIDTH = 120, 160


def paint(mask: np.ndarray, inside: int = 150, outside: int = 90) -> np.ndarray:
    """A gray thing on a darker ground, with the noise of a sensor."""
    noise = np.random.default_rng(0).normal(0, 6, (*mask.shape, 3))
    return (np.where(mask, inside, outside)[..., None] + noise).clip(0, 255).astype(np.uint8)


def draw_disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_disc_is_cut_out_of_its_box() -> None:
    disc = draw_disc(80, 60, 25)
    assert iou(cut_out(paint(disc), (54, 34, 106, 86)), disc) > 0.95


def test_a_pore_of_nine_pixels_is_found() -> None:
    pore = np.zeros((HEIGHT, WIDTH), bool)
    pore[50:53, 70:73] = True
    assert iou(cut_out(paint(pore, inside=30), (69, 49, 74, 54)), pore) > 0.6


@pytest.mark.parametrize("points", [(4.0, 3.0), (1e300, -1e300), (4.0, 3.0, 1e18, 1e300)])
def test_a_stroke_may_be_broad_or_reach_far_out_of_a_small_box(points: tuple[float, ...]) -> None:
    found = cut_out(paint(draw_disc(5, 5, 3)), (2, 2, 8, 8), [Stroke(points, 1000, adds=False)])
    assert found.any() == (points == (1e300, -1e300))  # all of it is under the stroke, or nothing


def test_a_scratch_is_found_though_its_box_holds_mostly_background() -> None:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.line(drawn, (40, 30), (120, 90), 1, 3)
    scratch = drawn.astype(bool)
    found = cut_out(paint(scratch, inside=190), (38, 28, 123, 93))
    assert iou(found, scratch) > 0.6
    assert scratch[28:93, 38:123].mean() < 0.11  # what the box alone would score


def test_real_things_are_found_better_than_their_boxes_tell(shared_data: Path) -> None:
    folder = shared_data / "label-formats" / "labelme-nuts" / "images"
    image = read_image(folder / "0.jpg")
    scores = []
    for shape in json.loads((folder / "0.json").read_text())["shapes"][:3]:
        truth = draw_polygons([tuple(value for point in shape["points"] for value in point)], *image.shape[:2])
        rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        scores.append(iou(cut_out(image, box), truth))
    assert min(scores) > 0.85  # their boxes: 0.71 on average


def test_strokes_say_what_belongs_to_the_thing() -> None:
    two = draw_disc(50, 60, 18) | draw_disc(110, 60, 18)
    image, box = paint(two), (30.0, 40.0, 130.0, 80.0)
    assert iou(cut_out(image, box), two) > 0.9
    without = cut_out(image, box, [Stroke((110.0, 50.0, 110.0, 70.0), 8.0, adds=False)])
    assert not without[60, 110] and without[60, 50]
    again = Stroke((110.0, 60.0), 3.0, adds=True)
    assert cut_out(image, box, [Stroke((110.0, 60.0), 3.0, adds=False), again])[60, 110]


def test_a_stroke_beyond_the_box_widens_it() -> None:
    disc = draw_disc(80, 60, 25)
    half = cut_out(paint(disc), (54, 34, 80, 86))
    assert not half[:, 82:].any()
    whole = cut_out(paint(disc), (54, 34, 80, 86), [Stroke((70.0, 60.0, 103.0, 60.0), 1.0, adds=True)])
    assert whole[60, 100]


def test_the_same_box_gives_the_same_pixels() -> None:
    image = paint(draw_disc(80, 60, 25))
    cv2.setRNGSeed(7)
    once = cut_out(image, (40, 30, 110, 90))
    np.testing.assert_array_equal(cut_out(image, (40, 30, 110, 90)), once)


@pytest.mark.parametrize(
    "box", [(0, 0, WIDTH, HEIGHT), (-50, -50, 500, 500), (0, 0, 3, 3), (158.5, 118.5, 160, 120), (80, 0, 81, 120)]
)
def test_any_box_on_the_picture_gives_a_mask_within_it(box: tuple[float, float, float, float]) -> None:
    found = cut_out(paint(draw_disc(80, 60, 25)), box)
    assert found.shape == (HEIGHT, WIDTH) and found.dtype == bool
    outside = np.ones((HEIGHT, WIDTH), bool)
    x_min, y_min, x_max, y_max = np.clip(box, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
    outside[int(y_min) : int(np.ceil(y_max)), int(x_min) : int(np.ceil(x_max))] = False
    assert not (found & outside).any()


def test_a_picture_without_any_contrast_has_nothing_to_fail_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "grabCut", None)  # which took ten seconds for it
    flat = np.full((40, 40, 3), 90, np.uint8)
    assert not cut_out(flat, (10, 10, 30, 30)).any()
    dab = cut_out(flat, (10, 10, 30, 30), [Stroke((20.0, 20.0), 4.0, adds=True)])
    assert dab[20, 20] and not dab[:16].any() and not dab[25:].any() and 40 < dab.sum() <= 81
    assert cut_out(flat, (0, 0, 40, 40), [Stroke((20.0, 20.0), 100.0, adds=True)]).all()


def test_strokes_that_leave_nothing_give_an_empty_mask() -> None:
    image = paint(draw_disc(80, 60, 25))
    assert not cut_out(image, (54, 34, 106, 86), [Stroke((80.0, 60.0), 100.0, adds=False)]).any()


@pytest.mark.parametrize("box", [(200, 10, 300, 50), (50, 50, 50, 80), (80, 80, 40, 40)])
def test_a_box_without_a_pixel_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidInput, match="expected a box within 160 x 120 pixels"):
        cut_out(paint(draw_disc(80, 60, 25)), box)
