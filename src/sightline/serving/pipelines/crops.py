"""Cut pictures around boxes, and know where each lies in the picture of the request.

A `View` is a picture together with the way from its pixels to those of the request's picture. With it, whatever a network finds
in a crop, or in a picture that another network has drawn, is decoded straight into the request's pixels.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy
from sightline.imaging.resizing import Placement
from sightline.serving.pipelines.declaration import CropSettings

Image = np.ndarray[Any, Any]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that shows the request's picture or a part of it: `pixel = (request's pixel - left) * scale`, same for top.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        owner: which picture of the execution it shows.
        owner_width, owner_height: size of that picture, pixels.
        left, top: where its corner lies there, pixels.
        scale_x, scale_y: its pixels per pixel there.
    """

    image: Image
    owner: int
    owner_width: int
    owner_height: int
    left: float = 0.0
    top: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0


class Crop(msgspec.Struct, frozen=True, kw_only=True):
    """A view cut around the annotation at `place` in the list of its owner."""

    view: View
    place: int


def view_whole(image: Image, owner: int) -> View:
    """The view of a request's picture itself."""
    height, width = image.shape[:2]
    return View(image=image, owner=owner, owner_width=width, owner_height=height)


def rebase_placement(placement: Placement, view: View) -> Placement:
    """How the owner of a view lies in a network's input, from how the view lies in it.

    With v = (x - left) * k and input = v * s + o: input = x * (s * k) + (o - left * s * k).
    """
    scale_x, scale_y = placement.scale_x * view.scale_x, placement.scale_y * view.scale_y
    return Placement(
        source_width=view.owner_width,
        source_height=view.owner_height,
        input_width=placement.input_width,
        input_height=placement.input_height,
        scale_x=scale_x,
        scale_y=scale_y,
        offset_x=placement.offset_x - view.left * scale_x,
        offset_y=placement.offset_y - view.top * scale_y,
    )


def cut_crops(view: View, annotations: Sequence[Annotation], settings: CropSettings) -> list[Crop]:
    """Crops of one picture, in the order of its annotations, which is best first; boxes that cover no pixel give none.

    Args:
        view: the picture that is cut.
        annotations: in the owner's pixels.
        settings: which boxes, how many, and how much around them.
    """
    crops: list[Crop] = []
    for place, annotation in enumerate(annotations):
        if len(crops) == settings.max_crops:
            break
        if annotation.box_xyxy is None or (settings.categories and annotation.category not in settings.categories):
            continue
        if (crop := _cut(view, annotation.box_xyxy, settings.margin)) is not None:
            crops.append(Crop(view=crop, place=place))
    return crops


def find_crop(box_xyxy: BoxXyxy, margin: float, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Whole pixels `(left, top, right, bottom)` that a box with its margin touches, inside a picture; None when there are none.

    Args:
        box_xyxy: pixels, may reach beyond the picture.
        margin: share of the box's width and height added on each side.
        width, height: of the picture, pixels.

    Example: `find_crop((10, 10, 20, 30), 0.1, 25, 100) == (9, 8, 21, 32)`.
    """
    x_min, y_min, x_max, y_max = box_xyxy
    if not (x_max > x_min and y_max > y_min and all(map(math.isfinite, box_xyxy))):
        return None
    if x_max <= 0 or y_max <= 0 or x_min >= width or y_min >= height:  # only a margin would reach the picture
        return None
    more_x, more_y = margin * (x_max - x_min), margin * (y_max - y_min)
    left, top = max(0, math.floor(x_min - more_x)), max(0, math.floor(y_min - more_y))
    right, bottom = min(width, math.ceil(x_max + more_x)), min(height, math.ceil(y_max + more_y))
    return left, top, right, bottom


def _cut(view: View, box_xyxy: BoxXyxy, margin: float) -> View | None:
    x_min, y_min, x_max, y_max = box_xyxy
    height, width = view.image.shape[:2]
    inside = (
        (x_min - view.left) * view.scale_x,
        (y_min - view.top) * view.scale_y,
        (x_max - view.left) * view.scale_x,
        (y_max - view.top) * view.scale_y,
    )
    found = find_crop(inside, margin, width, height)
    if found is None:
        return None
    left, top, right, bottom = found
    return msgspec.structs.replace(
        view,
        image=view.image[top:bottom, left:right],  # not copied: many boxes may cover all of a large picture
        left=view.left + left / view.scale_x,
        top=view.top + top / view.scale_y,
    )
