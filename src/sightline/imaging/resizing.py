"""Bring a picture to the size a network wants, and remember how, so that boxes find their way back exactly.

Pixel i covers the interval [i, i + 1): scaling a picture by s maps the point x to s * x, with no half-pixel shift; OpenCV's
`resize` samples by the same rule. Shrinking averages areas (`INTER_AREA`: no aliasing), growing interpolates linearly.
"""

from typing import Any

import cv2
import msgspec
import numpy as np

from sightline.core.errors import ImageTooLarge, InvalidInput
from sightline.core.manifests import ShrinkRule
from sightline.imaging.boxes import check_boxes

Image = np.ndarray[Any, Any]
Boxes = np.ndarray[Any, Any]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Indices = np.ndarray[Any, np.dtype[np.intp]]
MAX_FREE_PIXELS = 4_000_000  # 64 float channels of such a picture are 1 GB
MOST_COVERING = 16  # a grown picture that is cut afterwards has at most so many times the pixels of what is cut out


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture lies in the network's input: `input = source * scale + offset`, for x and y by themselves.

    Attributes:
        source_width, source_height: the upright picture, pixels.
        input_width, input_height: the network's input, pixels.
        scale_x, scale_y: input pixels per source pixel. They differ a little under "letterbox" too, where sizes are rounded.
        offset_x, offset_y: where the source's top left corner lies, input pixels; negative when it is cropped away.
    """

    source_width: int
    source_height: int
    input_width: int
    input_height: int
    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0

    def boxes_to_input(self, boxes_xyxy: Boxes) -> Floats:
        """Map `(N, 4)` boxes from source to input pixels; not clipped. Returns float32."""
        return (check_boxes(boxes_xyxy, np.float64) * self._scales() + self._offsets()).astype(np.float32)

    def boxes_to_source(self, boxes_xyxy: Boxes) -> Floats:
        """Map `(N, 4)` boxes from input to source pixels: the inverse of `boxes_to_input`; not clipped. Returns float32."""
        return ((check_boxes(boxes_xyxy, np.float64) - self._offsets()) / self._scales()).astype(np.float32)

    def clip_to_source(self, boxes_xyxy: Floats) -> Floats:
        """Cut `(N, 4)` source boxes at the edges of the picture."""
        limits = np.array([self.source_width, self.source_height] * 2, np.float32)
        return np.clip(np.asarray(boxes_xyxy, np.float32), np.float32(0), limits)

    def _scales(self) -> Doubles:
        return np.array([self.scale_x, self.scale_y] * 2)

    def _offsets(self) -> Doubles:
        return np.array([self.offset_x, self.offset_y] * 2)


def resize_image(image: Image, width: int, height: int, shrink: ShrinkRule = "area") -> Image:
    """Resize `(H, W)` or `(H, W, C)` to `(height, width[, C])`, same dtype; the same array when it has that size already.

    A picture that grows in either direction is interpolated bilinearly; `shrink` says how one that only shrinks is sampled.

    Raises: InvalidInput when a size is below 1 pixel.
    """
    if width < 1 or height < 1 or image.ndim not in (2, 3) or image.size == 0:
        raise InvalidInput(f"expected a picture and a size of at least 1 x 1, got {image.shape} and {width} x {height}")
    if image.shape[:2] == (height, width):
        return image
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    rule = cv2.INTER_AREA if shrinks and shrink == "area" else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=rule)).reshape(height, width, *image.shape[2:])


def letterbox_image(
    image: Image, width: int, height: int, pad_value: int = 114, shrink: ShrinkRule = "area"
) -> tuple[Image, Placement]:
    """Fit a picture into `width` x `height`, keep its aspect, centre it, fill the bands.

    Args:
        image: `(H, W, C)` uint8.
        width, height: of the result, pixels.
        pad_value: of the bands, 0..255.
        shrink: as in `resize_image`.

    Returns:
        `(height, width, C)` uint8, and where the picture lies in it.
    """
    source_height, source_width = image.shape[:2]
    scale = min(width / source_width, height / source_height)
    inner_width = min(width, max(1, round(source_width * scale)))
    inner_height = min(height, max(1, round(source_height * scale)))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    placement = Placement(
        source_width=source_width,
        source_height=source_height,
        input_width=width,
        input_height=height,
        scale_x=inner_width / source_width,
        scale_y=inner_height / source_height,
        offset_x=left,
        offset_y=top,
    )
    inner = resize_image(image, inner_width, inner_height, shrink)
    if (inner_width, inner_height) == (width, height):
        return inner, placement
    canvas = np.full((height, width, *image.shape[2:]), pad_value, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = inner
    return canvas, placement


def stretch_image(image: Image, width: int, height: int, shrink: ShrinkRule = "area") -> tuple[Image, Placement]:
    """Resize a picture to `width` x `height` without keeping its aspect. Returns the result and its placement."""
    source_height, source_width = image.shape[:2]
    placement = Placement(
        source_width=source_width,
        source_height=source_height,
        input_width=width,
        input_height=height,
        scale_x=width / source_width,
        scale_y=height / source_height,
    )
    return resize_image(image, width, height, shrink), placement


def centre_crop_image(
    image: Image, width: int, height: int, crop_fraction: float, shrink: ShrinkRule = "area"
) -> tuple[Image, Placement]:
    """Resize a picture to cover `width` x `height` / `crop_fraction`, and cut `width` x `height` from its middle.

    With a square input that is the usual evaluation transform: shorter side to size / crop_fraction, then a centre crop.
    A thin picture covers the input only when it is grown out of all proportion: 1 x 20,000 pixels to 256 x 5,120,000. Of such
    a one only what the crop keeps is ever made, which may differ from the other way by one level of rounding.

    Args:
        image: `(H, W, C)` uint8.
        width, height: of the result, pixels.
        crop_fraction: share of the resized picture that the crop keeps, above 0, at most 1.
        shrink: as in `resize_image`.

    Returns:
        `(height, width, C)` uint8, and where the picture lies in it (its offsets are zero or negative).
    """
    if not 0 < crop_fraction <= 1:
        raise InvalidInput(f"expected a crop_fraction above 0 and at most 1, got {crop_fraction}; correct the input spec")
    source_height, source_width = image.shape[:2]
    scale = max(width / source_width, height / source_height) / crop_fraction
    outer_width, outer_height = max(width, round(source_width * scale)), max(height, round(source_height * scale))
    left, top = (outer_width - width) // 2, (outer_height - height) // 2
    placement = Placement(
        source_width=source_width,
        source_height=source_height,
        input_width=width,
        input_height=height,
        scale_x=outer_width / source_width,
        scale_y=outer_height / source_height,
        offset_x=-left,
        offset_y=-top,
    )
    if outer_width * outer_height > max(source_width * source_height, MOST_COVERING * width * height):
        return _grow_part(image, placement), placement
    resized = resize_image(image, outer_width, outer_height, shrink)
    return resized[top : top + height, left : left + width], placement


def _grow_part(image: Image, placement: Placement) -> Image:
    """What the input shows of a picture that grows and is cut, bilinear as in `resize_image`; reads only what it shows."""
    rows, rows_after, shares_y = _find_neighbours(
        placement.source_height, placement.scale_y, -placement.offset_y, placement.input_height
    )
    columns, columns_after, shares_x = _find_neighbours(
        placement.source_width, placement.scale_x, -placement.offset_x, placement.input_width
    )
    top, left = rows[0], columns[0]
    part = image[top : rows_after[-1] + 1, left : columns_after[-1] + 1].astype(np.float32)
    part = _mix(part[rows - top], part[rows_after - top], shares_y[:, None, None])
    part = _mix(part[:, columns - left], part[:, columns_after - left], shares_x[:, None])
    return np.rint(part).astype(np.uint8)


def _find_neighbours(size: int, scale: float, first: float, count: int) -> tuple[Indices, Indices, Floats]:
    """For `count` pixels from `first` on of an axis that grew by `scale`: the source pixels before and after, and the share
    of the one after, 0..1."""
    positions = np.clip((np.arange(count) + first + 0.5) / scale - 0.5, 0, size - 1)
    before = positions.astype(np.intp)
    return before, np.minimum(before + 1, size - 1), (positions - before).astype(np.float32)


def _mix(before: Floats, after: Floats, shares: Floats) -> Floats:
    return before + (after - before) * shares


def pad_image(image: Image, width_multiple: int, height_multiple: int) -> tuple[Image, Placement]:
    """Leave a picture as it is, in the top left corner, and repeat its last column and row up to the next multiples.

    Args:
        image: `(H, W, C)` uint8.
        width_multiple, height_multiple: what the sides of the result are multiples of, pixels; 1 pads nothing.

    Returns:
        `(H', W', C)` uint8 with H' >= H and W' >= W, and where the picture lies in it.

    Raises: ImageTooLarge above `MAX_FREE_PIXELS`: what such a network needs of memory grows with the picture.
    """
    source_height, source_width = image.shape[:2]
    width = -(-source_width // width_multiple) * width_multiple
    height = -(-source_height // height_multiple) * height_multiple
    if width * height > MAX_FREE_PIXELS:
        raise ImageTooLarge(
            f"expected at most {MAX_FREE_PIXELS} pixels for a network that takes pictures as they are, got {source_width} x "
            f"{source_height}; send a smaller picture or parts of it"
        )
    placement = Placement(source_width=source_width, source_height=source_height, input_width=width, input_height=height)
    right, bottom = width - source_width, height - source_height
    if right == bottom == 0:
        return image, placement
    return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)), placement
