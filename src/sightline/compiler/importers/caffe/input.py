"""What a Caffe prototxt says of its pictures: their size, and in `transform_param` mean, scale and crop.

Caffe's data layers decode with OpenCV, so three channels are blue, green, red; they subtract the mean and then multiply by
`scale` (data_transformer.cpp), which is dividing by 1 / scale. A file without `transform_param` says nothing of colour or mean.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.compiler.importers.caffe.network import Layer, Network
from sightline.compiler.importers.caffe.step import MOST_VALUES
from sightline.compiler.importers.caffe.text import Fields
from sightline.compiler.importers.caffe.wire import read_blob
from sightline.compiler.importers.importer import Colour, ImportOptions, StatedInput
from sightline.core.errors import InvalidInput

MOST_MEAN_BYTES = 64 * 2**20
COLOURS: dict[int, Colour] = {1: "GRAY", 3: "BGR"}


def choose_shape(network: Network, layers: Sequence[Layer], options: ImportOptions) -> tuple[int, int, int]:
    """Channels, height, width of the input: what the user says, else what the file says.

    Raises: InvalidInput when neither says it, or they contradict each other in the channels.
    """
    channels, height, width = network.picture_shape or (_find_channels(network, layers, options), *_find_size(network))
    if options.channels not in (None, channels):
        raise InvalidInput(f"the network takes {channels} channels, got channels={options.channels}; leave channels out")
    height, width = options.height or height, options.width or width
    if not height or not width:
        raise InvalidInput("the prototxt does not say its input's size; give width and height")
    if channels * height * width > MOST_VALUES:
        raise InvalidInput(
            f"expected an input of at most {MOST_VALUES} values, got {channels} x {height} x {width}; give a smaller one"
        )
    return channels, height, width


def read_stated(network: Network, channels: int, folder: Path) -> tuple[StatedInput, tuple[str, ...]]:
    """What the file says of its input, and what a user should know about it.

    Raises: InvalidInput for a transform that does not fit the channels.

    Args:
        channels: of the input.
        folder: where a `mean_file` is looked for, whatever folder the prototxt names.
    """
    transform = network.transform
    if transform is None:
        return StatedInput(colour="GRAY" if channels == 1 else None), ()
    scale = transform.number("scale", 1.0)
    if scale <= 0:
        raise InvalidInput(f"line {transform.line}: expected a positive scale, got {scale}; correct the prototxt")
    mean, notes = _read_mean(transform, channels, folder)
    stated = StatedInput(
        colour=COLOURS.get(channels),
        mean=mean,
        std=(1.0 / scale,) * channels,
        resize="stretch" if transform.child("resize_param").text("resize_mode") in ("WARP", "1") else None,
    )
    return stated, notes


def _find_channels(network: Network, layers: Sequence[Layer], options: ImportOptions) -> int:
    """Input channels of a training net: those of the weights that read the picture."""
    for layer in layers:
        if network.picture in layer.reads and layer.blobs and layer.blobs[0].ndim == 4 and layer.type == "Convolution":
            return int(layer.blobs[0].shape[1]) * max(1, layer.param("convolution_param").integer("group", 1))
    if options.channels is None:
        raise InvalidInput("the prototxt does not say how many channels its input has; give channels")
    return options.channels


def _find_size(network: Network) -> tuple[int, int]:
    """Height and width that a training net's data layer states, 0 where it does not."""
    transform = network.transform or Fields()
    crop = transform.integer("crop_size", 0)
    resize = transform.child("resize_param")
    return (crop, crop) if crop > 0 else (resize.integer("height", 0), resize.integer("width", 0))


def _read_mean(transform: Fields, channels: int, folder: Path) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    values = transform.numbers("mean_value")
    if values and len(values) not in (1, channels):
        raise InvalidInput(
            f"line {transform.line}: expected 1 or {channels} mean values, got {len(values)}; correct the prototxt"
        )
    if values:
        return tuple(values) if len(values) == channels else tuple(values) * channels, ()
    named = transform.text("mean_file")
    if not named:
        return (0.0,) * channels, ()
    path = folder / Path(named.replace("\\", "/")).name
    if not path.is_file():
        return None, (f"the mean picture {path.name} is not beside the prototxt: the mean is not stated",)
    note = f"the mean picture {path.name} was averaged to one value per channel"
    return _average_mean(path, channels), (note,)


def _average_mean(path: Path, channels: int) -> tuple[float, ...]:
    """The mean of each channel of a binaryproto. Raises: InvalidInput."""
    if path.stat().st_size > MOST_MEAN_BYTES:
        raise InvalidInput(f"expected a mean picture of at most {MOST_MEAN_BYTES} bytes, got {path}; give the mean by hand")
    picture = read_blob(memoryview(path.read_bytes()))
    if picture.ndim != 4 or picture.shape[:2] != (1, channels) or not np.isfinite(picture).all():
        raise InvalidInput(
            f"expected a mean picture (1, {channels}, H, W) in {path}, got {picture.shape}; give the mean by hand"
        )
    return tuple(float(value) for value in picture.mean(axis=(0, 2, 3), dtype=np.float64))
