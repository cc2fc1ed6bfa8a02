"""Mosaic (Bochkovskiy et al. 2020, YOLOv4, §3.3) without a canvas: four pictures, each warped once, straight into place.

The four lie around the middle of an imagined canvas of twice the input's size, each fitted into a quarter by the letterbox rule
and pushed against the middle. What the random variation does to the canvas is composed with that, so pixels are interpolated
once and no large canvas is ever filled.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from sightline.core.annotations import Ring
from sightline.data.augmentation import (
    PAD_VALUE,
    LabelledPicture,
    Matrix,
    scale_matrix,
    shift_matrix,
    warp_boxes,
    warp_polygons,
)

PARTS = 4


def quarter_matrix(part: int, source_width: int, source_height: int, width: int, height: int) -> Matrix:
    """Picture -> canvas of `2 width` x `2 height` pixels: part 0 is top left, 1 top right, 2 bottom left, 3 bottom right."""
    scale = min(width / source_width, height / source_height)
    left = width if part % 2 else width - scale * source_width
    top = height if part // 2 else height - scale * source_height
    return shift_matrix(left, top) @ scale_matrix(scale, scale)


def warp_mosaic(
    pictures: Sequence[LabelledPicture], matrix: Matrix, width: int, height: int, least_visible: float = 0.25
) -> LabelledPicture:
    """One picture made of four.

    Args:
        pictures: four, of any size; label maps are not carried.
        matrix: canvas of `2 width` x `2 height` -> result, image coordinates.
        width, height: size of the result, pixels.
        least_visible: an object of whose box less than this share stays inside is dropped, 0..1.

    Returns:
        `(height, width, 3)` uint8 with the objects of all four.
    """
    image = np.full((height, width, 3), PAD_VALUE, np.uint8)
    boxes, labels = [], []
    polygons: list[tuple[Ring, ...]] = []
    half_pixel, back = shift_matrix(0.5, 0.5), shift_matrix(-0.5, -0.5)  # OpenCV's integers are pixel centres
    for part, picture in enumerate(pictures):
        source_height, source_width = picture.image.shape[:2]
        whole = matrix @ quarter_matrix(part, source_width, source_height, width, height)
        at_centres = (back @ whole @ half_pixel)[:2]
        cv2.warpAffine(picture.image, at_centres, (width, height), dst=image, borderMode=cv2.BORDER_TRANSPARENT)
        boxes.append(warp_boxes(picture.boxes_xyxy, whole))
        labels.append(picture.labels)
        polygons.extend(warp_polygons(rings, whole) for rings in picture.polygons)
    moved = np.concatenate(boxes)
    clipped = moved.clip(0, np.array([width, height, width, height], np.float32))
    area, visible = (moved[:, 2:] - moved[:, :2]).prod(1), (clipped[:, 2:] - clipped[:, :2]).prod(1)
    kept = (visible > 0) & (visible >= least_visible * area)
    kept_polygons = tuple(rings for rings, keep in zip(polygons, kept, strict=True) if keep) if polygons else ()
    return LabelledPicture(image, clipped[kept], np.concatenate(labels)[kept], kept_polygons)
