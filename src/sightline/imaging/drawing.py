"""Draw annotations on a picture so that a person can read them, whatever the picture's size.

Line width and letter height grow with the picture; every label stands on a plate of its category's colour, inside the picture,
in black or white, whichever is easier to read on it, and where it hides least of the other things.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.imaging.fonts import find_font
from sightline.imaging.masks import draw_annotation, find_annotation_box
from sightline.imaging.plates import Colour, Image, draw_plate, measure_plate, place_plates

MASK_OPACITY = 0.45


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
    _draw_names(drawn, annotations, categories)
    return drawn


def _draw_names(image: Image, annotations: Sequence[Annotation], categories: Categories) -> None:
    """Name each thing beside its box; labels of the whole image stand below each other in its corner."""
    size = image.shape[:2]
    plates = [measure_plate(_label_text(annotation, categories), *size) for annotation in annotations]
    boxes = [find_annotation_box(annotation) for annotation in annotations]
    placed = [index for index, box in enumerate(boxes) if box is not None]
    corners = place_plates(
        [plates[index] for index in placed],
        np.array([boxes[index] for index in placed], np.float64).reshape(-1, 4),
        [annotations[index].geometry == "mask" for index in placed],
        *size,
    )
    places = dict(zip(placed, corners, strict=True))
    top = 0
    for index, (annotation, plate) in enumerate(zip(annotations, plates, strict=True)):
        draw_plate(image, plate, places.get(index, (0, top)), _find_colour(annotation, categories))
        top += 0 if index in places else plate.height


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
