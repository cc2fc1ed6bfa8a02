"""Draw annotations on a picture so that a person can read them, whatever the picture's size.

Line width and letter height grow with the picture; every label stands on a plate of its category's colour, inside the picture,
and in black or white, whichever is easier to read on it.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.imaging.fonts import find_font, find_usual_font, open_font
from sightline.imaging.masks import draw_annotation, find_polygons_box

Image = np.ndarray[Any, np.dtype[np.uint8]]
Colour = tuple[int, int, int]
FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPITAL_HEIGHT = 0.73  # of DejaVu Sans, in parts of its size
MASK_OPACITY = 0.45
DARK: Colour = (16, 16, 16)
LIGHT: Colour = (255, 255, 255)


def draw_annotations(image: Image, annotations: Sequence[Annotation], categories: Categories) -> Image:
    """Draw masks, then outlines and boxes, then labels on top.

    Args:
        image: `(H, W, 3)` uint8 RGB; not changed.
        annotations: of this picture; categories that are not in the table are drawn in gray. A name whose letters no font of
            the system has is drawn as "category 3", the place in the table.
        categories: where the colours come from.

    Returns:
        A new `(H, W, 3)` uint8 RGB picture.
    """
    drawn = image.copy()
    thickness = max(1, round(min(drawn.shape[:2]) / 300))
    for annotation in annotations:
        _draw_region(drawn, annotation, _find_colour(annotation, categories), thickness)
    image_label_top = 0
    for annotation in annotations:
        text = _label_text(annotation, categories)
        box = find_polygons_box(annotation.polygons) if annotation.polygons else annotation.box_xyxy
        if box is not None:
            anchor = (round(box[0]), round(box[1]))
            draw_label(drawn, text, anchor, _find_colour(annotation, categories), above=annotation.geometry != "mask")
        else:  # labels of the whole image stand below each other in its corner
            image_label_top += draw_label(drawn, text, (0, image_label_top), _find_colour(annotation, categories), above=False)
    return drawn


def _draw_region(image: Image, annotation: Annotation, colour: Colour, thickness: int) -> None:
    if annotation.mask is not None or annotation.polygons is not None:
        mask = draw_annotation(annotation, *image.shape[:2])
        image[mask] = (image[mask] * (1 - MASK_OPACITY) + np.array(colour) * MASK_OPACITY).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, outlines, -1, colour, thickness)
    elif annotation.box_xyxy is not None:
        x_min, y_min, x_max, y_max = (round(value) for value in annotation.box_xyxy)
        # The box's last pixel is the one before its far edge.
        cv2.rectangle(image, (x_min, y_min), (max(x_min, x_max - 1), max(y_min, y_max - 1)), colour, thickness)


def draw_label(image: Image, text: str, anchor: tuple[int, int], colour: Colour, above: bool) -> int:
    """Write `text` on a plate at `anchor` (its lower left corner when `above`, else its upper left). Returns its height."""
    height, width = image.shape[:2]
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
    plate_width, plate_height = text_width + 4, text_height + baseline + 2
    left = max(0, min(anchor[0], width - plate_width))
    top = anchor[1] - plate_height if above and anchor[1] >= plate_height else anchor[1]
    top = max(0, min(top, height - plate_height))
    cv2.rectangle(image, (left, top), (left + plate_width - 1, top + plate_height - 1), colour, cv2.FILLED)
    ink = DARK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128 else LIGHT
    if letters is None:
        cv2.putText(image, text, (left + 2, top + text_height + 1), FONT, scale, ink, weight, cv2.LINE_AA)
    else:
        part = image[top + 1 : top + 1 + text_height, left + 2 : left + 2 + text_width]
        opacity = letters[: part.shape[0], : part.shape[1], None] / 255
        part[:] = (part * (1 - opacity) + np.array(ink) * opacity).astype(np.uint8)
    return int(plate_height)


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


def name_category(name: str, categories: Categories) -> str:
    """The name to draw: the category's number where no font has the letters of its name."""
    if name in categories and not name.isascii() and find_font(name) is None:
        return f"category {categories.index(name)}"
    return name


def _label_text(annotation: Annotation, categories: Categories) -> str:
    """Name or number, and confidence."""
    name = name_category(annotation.category, categories)
    return name if annotation.confidence is None else f"{name} {annotation.confidence:.0%}"


def _find_colour(annotation: Annotation, categories: Categories) -> Colour:
    if annotation.category not in categories:
        return 128, 128, 128
    return categories.colour(categories.index(annotation.category))
