"""Plates: a name on a ground of its category's colour, placed where it hides least of what else is marked in a picture."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np

from sightline.imaging.fonts import find_font, find_usual_font, open_font

Image = np.ndarray[Any, np.dtype[np.uint8]]
Boxes = np.ndarray[Any, np.dtype[np.float64]]
Colour = tuple[int, int, int]
Corner = tuple[int, int]  # left, top
FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPITAL_HEIGHT = 0.73  # of DejaVu Sans, in parts of its size
DARK: Colour = (16, 16, 16)
LIGHT: Colour = (255, 255, 255)


class Plate(msgspec.Struct, frozen=True, kw_only=True):
    """A text that was measured for a picture; `draw_plate` writes it.

    Attributes:
        width, height: of the plate, pixels.
        text_height: of its letters, pixels.
        scale, weight: of OpenCV's font.
        letters: `(h, w)` uint8, the text already drawn, where OpenCV's font lacks its letters.
    """

    text: str
    width: int
    height: int
    text_height: int
    scale: float
    weight: int
    letters: Image | None


def measure_plate(text: str, height: int, width: int) -> Plate:
    """The plate of a text for a picture of this height and width, as wide as the picture at most."""
    letter_height = min(28, max(8, min(height, width) / 40))
    weight = max(1, round(letter_height / 12))
    scale = cv2.getFontScaleFromHeight(FONT, round(letter_height), weight)
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, scale, weight)
    letters = None if text.isascii() else _render_letters(text, letter_height, width - 4)
    if letters is not None:
        (text_height, text_width), baseline = letters.shape, 1
    elif text_width + 4 > width:  # a long name on a small picture
        scale *= (width - 4) / text_width
        (text_width, text_height), baseline = cv2.getTextSize(text, FONT, scale, weight)
    return Plate(
        text=text,
        width=text_width + 4,
        height=text_height + baseline + 2,
        text_height=text_height,
        scale=scale,
        weight=weight,
        letters=letters,
    )


def draw_plate(image: Image, plate: Plate, corner: Corner, colour: Colour) -> None:
    """Write a plate, its top left corner at `corner`, moved into the picture where it would leave it."""
    left, top = _keep_inside(plate, corner, *image.shape[:2])
    cv2.rectangle(image, (left, top), (left + plate.width - 1, top + plate.height - 1), colour, cv2.FILLED)
    ink = DARK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128 else LIGHT
    if plate.letters is None:
        place = (left + 2, top + plate.text_height + 1)
        cv2.putText(image, plate.text, place, FONT, plate.scale, ink, plate.weight, cv2.LINE_AA)
    else:
        rows, columns = plate.letters.shape
        part = image[top + 1 : top + 1 + rows, left + 2 : left + 2 + columns]
        opacity = plate.letters[: part.shape[0], : part.shape[1], None] / 255
        part[:] = (part * (1 - opacity) + np.array(ink) * opacity).astype(np.uint8)


def place_plates(plates: Sequence[Plate], boxes_xyxy: Boxes, inside: Sequence[bool], height: int, width: int) -> list[Corner]:
    """Corners for the plates of boxes, one after the other, each where it hides least of other boxes and earlier plates.

    What a plate hides is counted in parts of each box, so that one over a small box is worse than one over the ground of a
    large one. Of places that hide the same the first counts: above the box, below it, beside it, inside.

    Args:
        plates: one for each box.
        boxes_xyxy: `(N, 4)` pixels.
        inside: `(N,)` whether the place inside comes first, as for masks, which have no outline to stand on.
        height, width: of the picture, pixels.
    """
    corners: list[Corner] = []
    taken = np.empty((2 * len(plates), 4))
    taken[: len(plates)] = boxes_xyxy.round()  # plates stand on whole pixels: a part of one beside its own box hides nothing
    for index, plate in enumerate(plates):
        places = _list_places(plate, taken[index], inside[index], height, width)
        spans = np.array([(left, top, left + plate.width, top + plate.height) for left, top in places], np.float64)
        hidden = _compute_hidden(spans, taken[: len(plates) + index])
        if inside[index]:
            hidden[:, index] = 0
        best = int(np.round(hidden.sum(axis=1), 3).argmin())
        corners.append(places[best])
        taken[len(plates) + index] = spans[best]
    return corners


def _list_places(plate: Plate, box_xyxy: Boxes, inside: bool, height: int, width: int) -> list[Corner]:
    """Where the plate may stand, best first; those that would leave the picture are left out, but for the one inside."""
    x_min, y_min, x_max, y_max = map(int, box_xyxy.tolist())
    over, right_aligned = y_min - plate.height, x_max - plate.width
    within = [_keep_inside(plate, (x_min, y_min), height, width)]
    around = [
        (max(0, min(x_min, width - plate.width)), over),
        (right_aligned, over),
        (max(0, min(x_min, width - plate.width)), y_max),
        (right_aligned, y_max),
        (x_max, y_min),
        (x_min - plate.width, y_min),
    ]
    fitting = [
        (left, top)
        for left, top in around
        if left >= 0 and top >= 0 and left + plate.width <= width and top + plate.height <= height
    ]
    return within + fitting if inside else fitting + within


def _compute_hidden(spans_xyxy: Boxes, taken_xyxy: Boxes) -> Boxes:
    """`(P, T)`: the part, 0..1, of each taken rectangle that each of P rectangles would hide."""
    starts = np.maximum(spans_xyxy[:, None, :2], taken_xyxy[None, :, :2])
    ends = np.minimum(spans_xyxy[:, None, 2:], taken_xyxy[None, :, 2:])
    shared = np.clip(ends - starts, 0, None).prod(axis=2)
    areas = np.clip(taken_xyxy[:, 2:] - taken_xyxy[:, :2], 1, None).prod(axis=1)
    hidden: Boxes = shared / areas[None]
    return hidden


def _keep_inside(plate: Plate, corner: Corner, height: int, width: int) -> Corner:
    left, top = corner
    return max(0, min(left, width - plate.width)), max(0, min(top, height - plate.height))


def _render_letters(text: str, letter_height: float, longest: int) -> Image:
    """`(h, w)` uint8, 255 where a letter is: what OpenCV's font, ASCII alone, lacks; a box for what every font lacks."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    font = open_font(find_font(text) or find_usual_font(), letter_height / CAPITAL_HEIGHT)
    x_min, y_min, x_max, y_max = font.getbbox(text, anchor="ls")
    letters = Picture.new("L", (max(1, math.ceil(x_max - x_min)), max(1, math.ceil(y_max - y_min))))  # 0 for invisible letters
    ImageDraw.Draw(letters).text((-x_min, -y_min), text, fill=255, font=font, anchor="ls")
    shrink = min(1.0, longest / letters.width)
    size = max(1, round(letters.width * shrink)), max(1, round(letters.height * shrink))
    return cv2.resize(np.asarray(letters), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
