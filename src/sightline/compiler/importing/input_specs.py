"""How a picture becomes the tensor that an imported network wants: from its file, from the user, or from a named preset.

Wrong preprocessing costs more accuracy than any quantiser (one SqueezeNet: 64.0 % top-1 with its own, 0.7 % with another's),
and a network runs happily on it. So nothing is guessed: colour, mean and std are stated by someone, or the import is refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import onnx

from sightline.compiler.importers.importer import Colour, StatedInput
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import InputSpec, ResizeRule, Task

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV's RGB -> gray
SMALLEST_CROPPED = 96  # pixels; a classifier below it (CIFAR, MNIST) sees the whole picture
CROP_FRACTION = 0.875  # 224 of 256, the usual evaluation crop since Krizhevsky et al. 2012
PAD_VALUE = 114  # of letterbox bands where nobody says, as most detectors are trained
PICTURE_CHANNELS = (1, 3)
INTEGERS = {getattr(onnx.TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}


@dataclass(frozen=True)
class Preset:
    """A usual way to feed a network. Means and stds are for red, green, blue, in units of a pixel value 0..255."""

    description: str
    colour: Colour
    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]


PRESETS: dict[str, Preset] = {
    "imagenet-torch": Preset(
        "torchvision and timm: RGB, ImageNet mean and deviation", "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    ),
    "imagenet-caffe": Preset(
        "Caffe and Keras 'caffe' mode: BGR minus the ImageNet mean", "BGR", (123.0, 117.0, 104.0), (1.0, 1.0, 1.0)
    ),
    "imagenet-tf": Preset("TensorFlow Slim: RGB, -1..1", "RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "0-1": Preset("RGB, 0..1: Darknet, YOLO", "RGB", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "0-255": Preset("RGB, pixel values as they are", "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "ultraface": Preset("RGB, minus 127, over 128: MTCNN, UltraFace", "RGB", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "cifar10": Preset(
        "RGB, mean of CIFAR-10, over its deviation", "RGB", (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)
    ),
}


def make_preset_input(name: str, colour: Colour | None, channels: int) -> StatedInput:
    """A preset as a stated input for a network of so many channels.

    Args:
        name: in `PRESETS`.
        colour: another channel order than the preset's; means and stds follow their channels.
        channels: 1 or 3; one channel takes the gray value's own mean and deviation.

    Raises: NotFound.
    """
    if name not in PRESETS:
        raise NotFound(f"expected a preset of {', '.join(PRESETS)}, got {name!r}")
    preset = PRESETS[name]
    if channels == 1:
        mean, std = (
            sum(share * value for share, value in zip(LUMA, values, strict=True))
            for values in (preset.mean_rgb, preset.std_rgb)
        )
        return StatedInput(colour="GRAY", mean=(mean,), std=(std,))
    chosen = colour or preset.colour
    step = 1 if chosen == "RGB" else -1
    return StatedInput(colour=chosen, mean=preset.mean_rgb[::step], std=preset.std_rgb[::step])


def orient_rgb(said: StatedInput, colour: Colour | None) -> StatedInput:
    """Means and stds of red, green, blue in the channel order of a network."""
    if colour != "BGR":
        return said
    mean, std = (None if values is None else values[::-1] for values in (said.mean, said.std))
    return msgspec.structs.replace(said, mean=mean, std=std)


def merge_stated(first: StatedInput, second: StatedInput) -> StatedInput:
    """What the first says and, field by field where it is silent, the second."""
    known = {name: value for name, value in msgspec.structs.asdict(first).items() if value is not None}
    merged = msgspec.structs.asdict(second) | known
    return StatedInput(**merged)


def takes_whole_numbers(graph: onnx.ModelProto) -> bool:
    """Whether everything that reads the picture input casts it to integers first, as the import of such a network leaves it."""
    name = find_picture_input(graph)[0]
    readers = [node for node in graph.graph.node if name in node.input]
    kinds = [one.i for node in readers if node.op_type == "Cast" for one in node.attribute if one.name == "to"]
    return bool(readers) and len(kinds) == len(readers) and INTEGERS.issuperset(kinds)


def state_pixels(said: StatedInput, known: StatedInput) -> StatedInput:
    """What a file states of an input of whole numbers: pixels as they are, since a cast destroys what was normalised.

    Args: said: by the user; known: by the file.
    Raises: InvalidInput for another mean or deviation.
    """
    settled = merge_stated(said, known)
    for field, values, usual in (("mean", settled.mean, 0.0), ("std", settled.std, 1.0)):
        if values is not None and set(values) != {usual}:
            raise InvalidInput(
                f"expected {field} {usual:g} for a network that takes whole numbers, which are pixels 0..255, got "
                f"{', '.join(f'{value:g}' for value in values)}; give `mean` 0 and `std` 1, or import a float network"
            )
    return msgspec.structs.replace(known, mean=(0.0,), std=(1.0,))


def find_picture_input(graph: onnx.ModelProto) -> tuple[str, tuple[int, int, int], Literal["NCHW", "NHWC"]]:
    """Name of the picture input, its (channels, height, width), and its layout.

    Raises: Unsupported when the graph has no single picture input of a fixed size.
    """
    weights = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in weights]
    shapes = {value.name: [one.dim_value for one in value.type.tensor_type.shape.dim] for value in inputs}
    if len(inputs) != 1 or len(next(iter(shapes.values()))) != 4:
        raise Unsupported(f"expected one picture input of four axes, got {shapes}; this is no vision network we can feed")
    ((name, (_, *sizes)),) = shapes.items()
    first, second, third = sizes
    if first in PICTURE_CHANNELS and second > 0 and third > 0:
        return name, (first, second, third), "NCHW"
    if third in PICTURE_CHANNELS and first > 0 and second > 0:
        return name, (third, first, second), "NHWC"
    raise Unsupported(
        f"expected an input of 1 or 3 channels and a fixed size, got {name} {shapes[name]}; give `width` and `height`"
    )


def make_input_spec(graph: onnx.ModelProto, stated: StatedInput, task: Task) -> InputSpec:
    """The input spec of an imported network, complete or refused.

    Args:
        graph: its ONNX graph, which states name, size and layout.
        stated: from the file, the user or a preset.
        task: decides how a picture is brought to size where nobody says.

    Raises: InvalidInput naming what is missing; Unsupported for a graph without a picture input.
    """
    name, (channels, height, width), layout = find_picture_input(graph)
    missing = [field for field in ("colour", "mean", "std") if getattr(stated, field) is None]
    if channels == 1:
        stated, missing = _make_gray(stated, missing)
    if missing:
        raise InvalidInput(
            f"expected how pictures are fed, got no {', '.join(missing)} in the file; give `preset` "
            f"{'|'.join(PRESETS)}, or `colour`, `mean` and `std`, or `probe` to try the presets on labelled pictures"
        )
    assert stated.colour is not None and stated.mean is not None and stated.std is not None
    resize = stated.resize or choose_resize(task, width, height)
    return InputSpec(
        name=name,
        width=width,
        height=height,
        layout=layout,
        colour=stated.colour,
        mean=_spread(stated.mean, channels),
        std=_spread(stated.std, channels),
        resize=resize,
        shrink=stated.shrink or "area",
        crop_fraction=stated.crop_fraction or (CROP_FRACTION if resize == "centre_crop" else 1.0),
        pad_value=PAD_VALUE if stated.pad_value is None else stated.pad_value,
    )


def choose_resize(task: Task, width: int, height: int) -> ResizeRule:
    """How pictures are brought to size when nobody says: a large classifier crops, everything else sees the whole picture."""
    if task == "image":  # its answer keeps the aspect
        return "letterbox"
    is_cropped = task in ("classification", "multilabel") and min(width, height) >= SMALLEST_CROPPED
    return "centre_crop" if is_cropped else "stretch"


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Read "104,117,123" or "127.5". Raises: InvalidInput."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in PICTURE_CHANNELS or not all(map(math.isfinite, values)):
        raise InvalidInput(f"expected {option} as one or three numbers with commas, such as 104,117,123, got {text!r}")
    return values


def describe_spec(spec: InputSpec) -> str:
    """One line for people: "RGB 224 x 224, (pixel - 127.5) / 127.5, centre_crop"."""

    def show(values: Sequence[float]) -> str:
        return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{value:g}' for value in values)})"

    return f"{spec.colour} {spec.width} x {spec.height}, (pixel - {show(spec.mean)}) / {show(spec.std)}, {spec.resize}"


def _make_gray(stated: StatedInput, missing: list[str]) -> tuple[StatedInput, list[str]]:
    """A network of one channel takes gray whatever colour is named; three means become the gray value's."""
    changed: dict[str, Any] = {"colour": "GRAY"}
    for field in ("mean", "std"):
        values = getattr(stated, field)
        if values is not None and len(values) > 1:
            changed[field] = (sum(share * value for share, value in zip(LUMA, values, strict=True)),)
    return msgspec.structs.replace(stated, **changed), [field for field in missing if field != "colour"]


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InvalidInput(f"expected 1 or {channels} numbers for {channels} channels, got {tuple(values)}; correct them")
    return tuple(float(value) for value in values) * (channels if len(values) == 1 else 1)
