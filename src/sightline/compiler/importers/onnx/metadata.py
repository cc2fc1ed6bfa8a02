"""What ONNX files say of their input and categories in `metadata_props`, and in whose words.

Read as JSON or as Python literals of bounded length, never evaluated. Known words: Ultralytics' exporter (names, imgsz, task),
ONNX image metadata (docs/MetadataProps.md: Image.BitmapPixelFormat, Image.NominalPixelRange), OpenVINO Model API
(model_info ...), and plain mean, std, categories or labels as many training scripts write them.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.compiler.importers.importer import Colour, StatedInput

LONGEST_VALUE = 1_000_000
CATEGORY_KEYS = ("names", "categories", "labels", "classes", "class_names", "model_info labels")
MEAN_KEYS, STD_KEYS = ("mean", "image_mean", "model_info mean_values"), ("std", "image_std", "model_info scale_values")
SIZE_KEYS = ("imgsz", "input_size")
# (mean, std) that bring pixels 0..255 to the range a file names (docs/MetadataProps.md)
PIXEL_RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
    "NominalRange_16_235": (-16 * 255 / 219, 255 / 219),
}


def read_metadata(metadata: Mapping[str, str], channels: int) -> tuple[StatedInput, tuple[str, ...] | None]:
    """What the entries state of the input, and the categories. Whatever is absent or cannot be understood stays None."""
    if metadata.get("author") == "Ultralytics":
        stated = _read_ultralytics(metadata)
    else:
        colour, (mean, std) = _read_colour(metadata, channels), _read_scaling(metadata, channels)
        stated = StatedInput(colour=colour, mean=mean, std=std)
    names = next((names for key in CATEGORY_KEYS if (names := _read_names(metadata.get(key)))), None)
    return stated, names


def _read_ultralytics(metadata: Mapping[str, str]) -> StatedInput:
    """Their networks take RGB / 255, letterboxed; classifiers a centre crop (ultralytics/data/augment.py); RT-DETR stretched
    (`scaleFill=True` in ultralytics/models/rtdetr)."""
    is_classifier = metadata.get("task") == "classify"
    return StatedInput(
        colour="RGB",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        resize="centre_crop" if is_classifier else "stretch" if is_rt_detr(metadata) else "letterbox",
        crop_fraction=1.0 if is_classifier else None,
    )


def is_rt_detr(metadata: Mapping[str, str]) -> bool:
    """Whether Ultralytics' exporter describes an RT-DETR, in whatever spelling."""
    return "rtdetr" in re.sub("[-_ ]", "", metadata.get("description", "").lower())


def _read_colour(metadata: Mapping[str, str], channels: int) -> Colour | None:
    pixel_format = metadata.get("Image.BitmapPixelFormat", "")[:4].lower()
    if channels == 1:
        return "GRAY" if pixel_format == "gray" or not pixel_format else None
    reverse = metadata.get("model_info reverse_input_channels", "").strip().lower()
    if reverse in ("true", "yes"):
        return "RGB"  # the Model API reads BGR pictures and turns them round for such a network
    if pixel_format[:3] == "bgr":
        return "BGR"
    return "RGB" if pixel_format[:3] == "rgb" else None


def _read_scaling(metadata: Mapping[str, str], channels: int) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if pixel_range := PIXEL_RANGES.get(metadata.get("Image.NominalPixelRange", "")):
        return (pixel_range[0],) * channels, (pixel_range[1],) * channels
    mean = next((values for key in MEAN_KEYS if (values := _read_numbers(metadata.get(key), channels))), None)
    std = next((values for key in STD_KEYS if (values := _read_numbers(metadata.get(key), channels))), None)
    if mean is None or std is None or min(std) <= 0:
        return None, None
    if max(*mean, *std) > 1:
        return mean, std
    if max(mean) == 0 and min(std) == 1:
        return None, None  # means pixels 0..255 to one author and 0..1 to another
    return tuple(255 * value for value in mean), tuple(255 * value for value in std)


def read_size(metadata: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Width and height: "imgsz" is (height, width), or one number for both; "input_size" may begin with the channels."""
    value = next((_parse(metadata[key]) for key in SIZE_KEYS if key in metadata), None)
    sizes = [value, value] if isinstance(value, int) else value
    if not isinstance(sizes, list | tuple) or not 2 <= len(sizes) <= 3 or not all(type(size) is int for size in sizes):
        return None, None
    height, width = sizes[-2:]
    return (width, height) if width > 0 and height > 0 else (None, None)


def _read_numbers(text: str | None, count: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    value = _parse(text)
    if value is None:
        value = [_parse(word) for word in text[:1000].replace(",", " ").split()]
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(number, int | float) and abs(number) < 1e6 for number in values):
        return None
    return tuple(float(number) for number in values) if len(values) == count else None


def _read_names(text: str | None) -> tuple[str, ...] | None:
    """Category names in order of their numbers, from a list, a mapping, or words between blanks or commas."""
    if not text or len(text) > LONGEST_VALUE:
        return None
    value = _parse(text)
    if isinstance(value, dict):
        value = _order_names(value)
    elif value is None and text[:1] not in "{[(":
        separator = "\n" if "\n" in text.strip() else "," if "," in text else None
        value = [word.strip() for word in text.strip().split(separator)]
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    names = tuple(str(name) for name in value)
    return names if len(names) == len(set(names)) and all(names) else None


def _order_names(mapping: Mapping[Any, Any]) -> list[Any] | None:
    """{0: "a", 1: "b"}, {"0": "a"} or {"a": 0} as a list; None when the numbers leave gaps."""
    pairs = list(mapping.items())
    if pairs and all(type(number) is int for _, number in pairs):
        pairs = [(number, name) for name, number in pairs]
    try:
        numbered = {int(number): name for number, name in pairs}
    except (TypeError, ValueError):
        return None
    return [numbered[number] for number in range(len(numbered))] if set(numbered) == set(range(len(numbered))) else None


def _parse(text: str) -> Any:
    """A JSON value or a Python literal; None when it is neither."""
    if len(text) > LONGEST_VALUE:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None
