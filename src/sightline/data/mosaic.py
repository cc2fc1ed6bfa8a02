"""Mosaic (Bochkovskiy et al. 2020, YOLOv4, §3.3) without a canvas: four pictures, each warped once, straight into place.

The four lie around the middle of an imagined canvas of twice the input's size, each fitted into a quarter by the letterbox rule
and pushed against the middle. What the random variation does to the canvas is composed with that, so pixels are interpolated
once and no large canvas is ever filled.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.data.augmentation import PAD_VALUE, Matrix, scale_matrix, shift_matrix, warp_points

PARTS = 4


def quarter_matrix(part: int, source_width: int, source_height: int, width: int, height: int) -> Matrix:
    """Picture -> canvas of `2 width` x `2 height` pixels: part 0 is top left, 1 top right, 2 bottom left, 3 bottom right."""
    scale = min(width / source_width, height / source_height)
    left = width if part % 2 else width - scale * source_width
    top = height if part // 2 else height - scale * source_height
    return shift_matrix(left, top) @ scale_matrix(scale, scale)


def paint_mosaic(
    pictures: Sequence[NDArray[np.uint8]], matrix: Matrix, width: int, height: int
) -> tuple[NDArray[np.uint8], list[Matrix]]:
    """One picture made of four.

    Args:
        pictures: four `(H, W, 3)` uint8, of any size.
        matrix: canvas of `2 width` x `2 height` -> result, image coordinates.
        width, height: size of the result, pixels.

    Returns:
        `(height, width, 3)` uint8, and the matrix of each picture -> result.
    """
    image, matrices = np.full((height, width, 3), PAD_VALUE, np.uint8), []
    for part, picture in enumerate(pictures):
        source_height, source_width = picture.shape[:2]
        matrices.append(matrix @ quarter_matrix(part, source_width, source_height, width, height))
        _paint_part(image, picture, matrices[-1])
    return image, matrices


def _paint_part(image: NDArray[np.uint8], part: NDArray[np.uint8], matrix: Matrix) -> None:
    """Warp a picture into `image`, to the pixels whose centres lie in it and to no others.

    `BORDER_TRANSPARENT` would paint it from the centre of its first pixel to one pixel after that of its last: half a pixel of
    its own off at either end, which is many of the result where a small picture grows.
    """
    height, width = part.shape[:2]
    corners = warp_points(np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64), matrix)
    edges = np.ceil(np.stack([corners.min(0), corners.max(0)]) - 0.5)  # of the pixels whose centres lie between
    (left, top), (right, bottom) = edges.clip(0, (image.shape[1], image.shape[0])).astype(int)
    if left >= right or top >= bottom:
        return
    at_centres = shift_matrix(-0.5 - left, -0.5 - top) @ matrix @ shift_matrix(0.5, 0.5)  # OpenCV's integers are pixel centres
    place = image[top:bottom, left:right]
    warped = cv2.warpAffine(part, at_centres[:2], (right - left, bottom - top), borderMode=cv2.BORDER_REPLICATE)
    if np.isclose(matrix[:2, :2], 0, atol=1e-9).sum() == 2:  # its edges are rows and columns: it fills its bounds
        place[...] = warped
        return
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    source_x, source_y = (row[0] * x + row[1] * y + row[2] for row in np.linalg.inv(matrix)[:2])  # (rows, columns) each
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    np.copyto(place, warped, where=inside[..., None])
