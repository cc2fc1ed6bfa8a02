"""Turn pictures into the tensor an InputSpec describes: the one place that does, so training, calibration and serving agree.

tensor = (resized pixel - mean) / std, per channel, in the order and layout the spec names. Everything stays uint8 until the
last step, which writes normalised float32 straight into the batch.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.imaging.resizing import Placement, centre_crop_image, letterbox_image, pad_image, stretch_image

Image = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def prepare_batch(images: Sequence[Image], spec: InputSpec) -> tuple[Floats, list[Placement]]:
    """Prepare pictures of any sizes into one tensor.

    Args:
        images: N pictures `(H, W, 3)` uint8 RGB, upright; sizes may differ, but for "pad".
        spec: what the network wants.

    Returns:
        `(N, C, H, W)` float32, or `(N, H, W, C)` when the layout is NHWC; and N placements.

    Raises:
        InvalidInput: not uint8 RGB pictures, or a spec that contradicts itself. ImageTooLarge: only under "pad".
    """
    scales, shifts = _read_normalisation(spec)
    batch = np.empty(arrange_axes(spec, len(images), *find_input_size(images, spec)), np.float32)
    placements = []
    for row, image in zip(batch, images, strict=True):
        placed, placement = place_image(image, spec)
        _write_normalised(_split_channels(placed, spec.colour), scales, shifts, spec.layout, row)
        placements.append(placement)
    return batch, placements


def place_batch(images: Sequence[Image], spec: InputSpec) -> tuple[Pixels, list[Placement]]:
    """Bring pictures of any sizes to the spec's size and leave them uint8, for engines that normalise inside the network.

    Args:
        images: N pictures `(H, W, 3)` uint8 RGB, upright; sizes may differ.
        spec: what the network wants.

    Returns:
        `(N, H, W, 3)` uint8 RGB, or `(N, H, W, 1)` when the spec is GRAY, whatever its layout; and N placements.

    Raises:
        InvalidInput: as `prepare_batch`.
    """
    return place_one_by_one(images, len(images), spec)


def place_one_by_one(images: Iterable[Image], count: int, spec: InputSpec) -> tuple[Pixels, list[Placement]]:
    """As `place_batch`, for pictures that are decoded on the way: each is placed and let go before the next is asked for.

    Args:
        images: `count` pictures; where there are fewer, the last rows mean nothing and have no placement.
        count: rows of the batch.
        spec: what the network wants.
    """
    batch: Pixels | None = None
    placements: list[Placement] = []
    for image in images:
        placed, placement = place_image(image, spec)
        if batch is None:
            batch = np.empty((count, *placed.shape[:2], 1 if spec.colour == "GRAY" else 3), np.uint8)
        _check_one_size({batch.shape[1:3], placed.shape[:2]})
        batch[len(placements)] = cv2.cvtColor(placed, cv2.COLOR_RGB2GRAY)[:, :, None] if spec.colour == "GRAY" else placed
        placements.append(placement)
        del image, placed  # else they would live until the next picture is decoded
    if batch is None:
        batch = np.empty((count, spec.height, spec.width, 1 if spec.colour == "GRAY" else 3), np.uint8)
    return batch, placements


def normalise_batch(pixels: Pixels, spec: InputSpec) -> Floats:
    """What `prepare_batch` makes, from what `place_batch` made: `(N, H, W, C)` uint8 to float32 in the spec's layout."""
    scales, shifts = _read_normalisation(spec)
    batch = np.empty(arrange_axes(spec, *pixels.shape[:3]), np.float32)
    for row, image in zip(batch, pixels, strict=True):
        planes = cv2.split(image)
        _write_normalised(planes[::-1] if spec.colour == "BGR" else planes, scales, shifts, spec.layout, row)
    return batch


def is_identity(spec: InputSpec) -> bool:
    """Whether the tensor holds just the numbers that `place_batch` makes, in the same order."""
    return set(spec.mean) == {0.0} and set(spec.std) == {1.0} and spec.layout == "NHWC" and spec.colour != "BGR"


def batch_shape(spec: InputSpec, count: int) -> tuple[int, int, int, int]:
    """Shape of the network's input for `count` pictures; under "pad" the smallest one."""
    return arrange_axes(spec, count, spec.height, spec.width)


def arrange_axes(spec: InputSpec, count: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Shape of a tensor in the spec's layout, `(N, C, H, W)` or `(N, H, W, C)`."""
    channels = 1 if spec.colour == "GRAY" else 3
    return (count, channels, height, width) if spec.layout == "NCHW" else (count, height, width, channels)


def find_input_size(images: Sequence[Image], spec: InputSpec) -> tuple[int, int]:
    """Height and width of the input for these pictures; under "pad" theirs, which must be one size. Raises: InvalidInput."""
    if spec.resize != "pad" or not images:
        return spec.height, spec.width
    for image in images:
        check_picture(image)
    sizes = {
        (-(-image.shape[0] // spec.height) * spec.height, -(-image.shape[1] // spec.width) * spec.width) for image in images
    }
    _check_one_size(sizes)
    return sizes.pop()


def place_image(image: Image, spec: InputSpec) -> tuple[Image, Placement]:
    """Bring a picture to the spec's size by its resize rule; still uint8 RGB `(H, W, 3)`. Raises: InvalidInput."""
    check_picture(image)
    if spec.resize == "letterbox":
        return letterbox_image(image, spec.width, spec.height, spec.pad_value, spec.shrink)
    if spec.resize == "stretch":
        return stretch_image(image, spec.width, spec.height, spec.shrink)
    if spec.resize == "pad":
        return pad_image(image, spec.width, spec.height)
    return centre_crop_image(image, spec.width, spec.height, spec.crop_fraction, spec.shrink)


def check_picture(image: Image) -> None:
    """Raises: InvalidInput unless it is uint8 `(H, W, 3)`."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InvalidInput(
            f"expected a picture uint8 (H, W, 3), got {image.dtype} {image.shape}; "
            "give its path or encoded bytes, or convert it"
        )


def _check_one_size(sizes: set[tuple[int, int]]) -> None:
    """Raises: InvalidInput for several sizes (height, width), which only pictures under "pad" have."""
    if len(sizes) > 1:
        raise InvalidInput(
            f"expected pictures of one size for a network that takes them as they are, got {sorted(sizes)} (height, width); "
            "send a request for each"
        )


def _read_normalisation(spec: InputSpec) -> tuple[Floats, Floats]:
    """`(C,)` factors and shifts with tensor = pixel * factor + shift."""
    channels = 1 if spec.colour == "GRAY" else 3
    if len(spec.mean) != channels or len(spec.std) != channels or min(spec.std) <= 0:
        raise InvalidInput(
            f"expected {channels} means and positive stds for {spec.colour}, got mean {spec.mean} and std {spec.std}; "
            "correct the input spec"
        )
    mean, std = np.array(spec.mean), np.array(spec.std)
    return (1.0 / std).astype(np.float32), (-mean / std).astype(np.float32)


def _split_channels(image: Image, colour: str) -> Sequence[Image]:
    """`(H, W, 3)` RGB as the planes `(H, W)` that the network wants, in its order."""
    if colour == "GRAY":
        return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),)
    planes: Sequence[Image] = cv2.split(image)
    return planes if colour == "RGB" else planes[::-1]


def _write_normalised(planes: Sequence[Image], scales: Floats, shifts: Floats, layout: str, out: Floats) -> None:
    """Write `plane * scale + shift` into `out`, `(C, H, W)` or `(H, W, C)`, without a float copy in between."""
    for channel, plane in enumerate(planes):
        target = out[channel] if layout == "NCHW" else out[:, :, channel]
        np.multiply(plane, scales[channel], out=target)
        if shifts[channel]:
            target += shifts[channel]
