"""Networks that answer a picture with a picture: super-resolution, style transfer, denoising.

The head `picture` says what the numbers of such an output mean (`PictureSpec`). Of the output only what lies over the picture
is kept: bands of a letterbox and padded edges are cut away. How much larger than its input a network draws is read from the
shapes, so no factor is declared, and the answer has the network's own resolution: nothing is enlarged that it did not draw.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import DecodeSpec
from sightline.imaging.resizing import Placement, resize_image

Array = np.ndarray[Any, Any]
Picture = np.ndarray[Any, np.dtype[np.uint8]]
PICTURE = "picture"  # the head's name


class PictureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the numbers of a picture output mean: the parameters of the head `picture`.

    Attributes:
        range: the values that stand for a pixel's 0 and 255: (0, 1), (0, 255), (-1, 1); what lies beyond is clipped.
        colour: order of the channels; "GRAY" has one.
        layout: order of the tensor's axes.
    """

    range: tuple[float, float]
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"


def read_picture_spec(decode: DecodeSpec) -> PictureSpec:
    """The parameters of a decode spec whose head is `picture`. Raises: InvalidInput naming what does not fit."""
    if decode.head != PICTURE or len(decode.outputs) != 1:
        raise InvalidInput(f"expected the head {PICTURE} on one output, got {decode.head!r} on {list(decode.outputs)}")
    try:
        spec = msgspec.convert(decode.parameters, PictureSpec)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f'the head {PICTURE} needs parameters such as {{"range": [0, 1]}}, got {decode.parameters}: {error}'
        ) from error
    low, high = spec.range
    if not (np.isfinite(spec.range).all() and low < high):
        raise InvalidInput(f"expected a range of two numbers, the lower one first, got {list(spec.range)}; correct the head")
    return spec


def write_pictures(decode: DecodeSpec, outputs: Mapping[str, Array], placements: Sequence[Placement]) -> list[Picture]:
    """The pictures of a batch.

    Args:
        decode: head `picture`, the output's name, and the parameters.
        outputs: arrays by output name, batch axis first.
        placements: how each source picture lies in the network's input.

    Returns:
        One `(H, W, 3)` uint8 RGB picture each, of the output's own resolution.

    Raises:
        InvalidInput: wrong parameters, an output of the wrong shape, or one that holds NaN. NotFound: the output is missing.
    """
    spec, name = read_picture_spec(decode), decode.outputs[0]
    if name not in outputs:
        raise NotFound(f"expected the output {name!r}, got {sorted(outputs)}; correct the decode spec")
    if outputs[name].ndim != 4 or len(outputs[name]) != len(placements):
        raise InvalidInput(
            f"expected output {name} as {len(placements)} pictures of {spec.layout}, got shape {outputs[name].shape}"
        )
    return [write_picture(row, placement, spec) for row, placement in zip(outputs[name], placements, strict=True)]


def write_picture(output: Array, placement: Placement, spec: PictureSpec) -> Picture:
    """One picture from one row of the output.

    Args:
        output: `(C, h, w)`, or `(h, w, C)` when the layout is NHWC; numbers of any type.
        placement: how the source picture lies in the network's input.
        spec: what the numbers mean.

    Returns:
        `(H, W, 3)` uint8 RGB: the part that the source covers, rounded; of equal aspect as the source also under "stretch".

    Raises: InvalidInput as `write_pictures`.
    """
    channels = 1 if spec.colour == "GRAY" else 3
    if output.ndim != 3 or output.shape[0 if spec.layout == "NCHW" else 2] != channels or output.size == 0:
        raise InvalidInput(f"expected a {spec.colour} picture in {spec.layout}, got shape {output.shape}; correct the head")
    planes = output.transpose(1, 2, 0) if spec.layout == "NCHW" else output  # (C, h, w) -> (h, w, C)
    part = _cut_covered(planes, placement)
    if np.isnan(part).any():
        raise InvalidInput("expected numbers in the picture that the network draws, got NaN; the network fails on this input")
    low, high = spec.range
    scaled = (part.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    if spec.colour == "GRAY":
        pixels = np.repeat(pixels, 3, axis=2)
    elif spec.colour == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(_restore_aspect(pixels, placement))


def find_covered(placement: Placement) -> tuple[float, float, float, float]:
    """Part of the source picture that the network sees, `(x_min, y_min, x_max, y_max)` source pixels; all but for a crop."""
    x_min, y_min = -placement.offset_x / placement.scale_x, -placement.offset_y / placement.scale_y
    return (
        max(0.0, x_min),
        max(0.0, y_min),
        min(float(placement.source_width), x_min + placement.input_width / placement.scale_x),
        min(float(placement.source_height), y_min + placement.input_height / placement.scale_y),
    )


def _cut_covered(planes: Array, placement: Placement) -> Array:
    """What lies over the source picture, from `(h, w, C)` that lies over the whole input; at least one pixel."""
    height, width = planes.shape[:2]
    grid_x, grid_y = width / placement.input_width, height / placement.input_height
    left, right = _find_span(placement.offset_x * grid_x, placement.source_width * placement.scale_x * grid_x, width)
    top, bottom = _find_span(placement.offset_y * grid_y, placement.source_height * placement.scale_y * grid_y, height)
    return planes[top:bottom, left:right]


def _find_span(start: float, length: float, limit: int) -> tuple[int, int]:
    first = min(max(0, round(start)), limit - 1)
    return first, min(limit, max(first + 1, round(start + length)))


def _restore_aspect(pixels: Picture, placement: Placement) -> Picture:
    """Shrink the longer-drawn axis of a picture that was stretched; one input pixel of rounding is no stretch."""
    x_min, y_min, x_max, y_max = find_covered(placement)
    scale = min(placement.scale_x, placement.scale_y)
    excess_x = (placement.scale_x - scale) * (x_max - x_min)
    excess_y = (placement.scale_y - scale) * (y_max - y_min)
    if max(excess_x, excess_y) <= 1:
        return pixels
    height, width = pixels.shape[:2]
    wanted_width = max(1, round(width * scale / placement.scale_x))
    wanted_height = max(1, round(height * scale / placement.scale_y))
    return np.asarray(resize_image(pixels, wanted_width, wanted_height), np.uint8)
