"""What an OpenVINO IR says of its picture input: `model_info` of Model API, and the switches of the old Model Optimizer.

Model API's keys say how to prepare a picture, and pictures are BGR there: `reverse_input_channels` tells an RGB network. What
the keys leave open stands in a section of our own, as `compiler.openvino_files` writes it; with `embedded_processing` the graph
does it itself. Model Optimizer always built mean, scale and channel order into the graph: the input takes pixels as they are.
"""

import re
from typing import Literal, get_args

import msgspec

from sightline.compiler.importers.importer import StatedInput
from sightline.compiler.importers.openvino.input import Model, Picture
from sightline.compiler.openvino_files import OWN_SECTION
from sightline.core.errors import InvalidInput
from sightline.core.manifests import ResizeRule, ShrinkRule

RESIZE_RULES: dict[str, ResizeRule] = {
    "crop": "centre_crop",
    "fit_to_window_letterbox": "letterbox",
    "standard": "stretch",
}
SHRINK_RULES: tuple[ShrinkRule, ...] = get_args(ShrinkRule)
MANY_CLASSES = 100_000


def state_input(model: Model, picture: Picture) -> tuple[StatedInput, tuple[str, ...] | None, tuple[str, ...]]:
    """What the file states, its categories, and notes. Raises: InvalidInput for numbers that are none."""
    info, switches = read_section(model, "model_info"), read_section(model, "conversion_parameters")
    notes: list[str] = []
    stated = StatedInput(colour="GRAY" if picture.channels == 1 else None)
    if is_true(info.get("embedded_processing", "")):
        notes.append("the file resizes and normalises inside the network (embedded_processing): it takes pixels 0..255")
        stated = _state_raw_pixels(stated, picture)
    elif info:
        stated = _read_model_info(info, stated, picture, notes)
        own = read_section(model, OWN_SECTION)
        stated = _read_own_info(own, stated, notes)
        if picture.channels == 3:
            stated = msgspec.structs.replace(stated, colour=read_colour(info, own))
    elif _has_built_in(switches, notes):
        stated = _state_raw_pixels(stated, picture)
    return stated, read_categories(read_section(model, OWN_SECTION)) or read_labels(info), tuple(notes)


def read_section(model: Model, name: str) -> dict[str, str]:
    """The values of one section of the file's rt_info, as text; nested ones are left out."""
    section = dict(model.rt_info).get(name)
    value = getattr(section, "value", section)
    if not isinstance(value, dict):
        return {}
    read = {str(key): getattr(one, "value", one) for key, one in value.items()}
    return {key: str(one) for key, one in read.items() if isinstance(one, (str, int, float, bool))}


def read_categories(own: dict[str, str]) -> tuple[str, ...] | None:
    """Categories as our own `compile` wrote them, blanks and all; None for what it would not write."""
    try:
        return msgspec.json.decode(own.get("categories", "[]"), type=tuple[str, ...])[:MANY_CLASSES] or None
    except msgspec.DecodeError:
        return None


def read_labels(info: dict[str, str]) -> tuple[str, ...] | None:
    """Categories, which the file parts by blanks."""
    labels = tuple(info.get("labels", "").split()[:MANY_CLASSES])
    return labels or None


def read_colour(info: dict[str, str], own: dict[str, str]) -> Literal["RGB", "BGR"] | None:
    """Channel order of a network of three channels; None where the file does not say."""
    if (colour := own.get("colour")) in ("RGB", "BGR"):
        return "RGB" if colour == "RGB" else "BGR"
    if "reverse_input_channels" not in info:
        return None
    is_written_otherwise = bool(own) and "colour" not in own  # our Artifacts once said True of BGR
    return "RGB" if is_true(info["reverse_input_channels"]) != is_written_otherwise else "BGR"


def is_true(text: str) -> bool:
    """Whether a switch is on."""
    return text.strip().lower() in ("true", "yes", "1")


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers of a text like "123.7 116.3 103.5" or "data[123.7,116.3,103.5]". Raises: InvalidInput."""
    inner = re.sub(r"^[^\[\(]*(?=[\[\(])", "", text.strip())
    parts = [part for part in re.split(r"[\s,\[\]()]+", inner) if part]
    try:
        return tuple(float(part) for part in parts)
    except ValueError as error:
        raise InvalidInput(f"expected numbers in the file's mean_values or scale_values, got {text[:80]!r}") from error


def _read_model_info(info: dict[str, str], stated: StatedInput, picture: Picture, notes: list[str]) -> StatedInput:
    resize = info.get("resize_type", "")
    if resize and resize not in RESIZE_RULES:
        notes.append(f"the file asks for resize_type {resize!r}, which we do not have: name a resize rule")
    return msgspec.structs.replace(
        stated,
        mean=_per_channel(info.get("mean_values", ""), picture),
        std=_per_channel(info.get("scale_values", ""), picture),
        resize=RESIZE_RULES.get(resize),
        pad_value=_read_pad(info.get("pad_value", "")),
    )


def _read_own_info(own: dict[str, str], stated: StatedInput, notes: list[str]) -> StatedInput:
    """What our own `compile` wrote; it is more exact than Model API's words for the same."""
    resize, fractions = own.get("resize", ""), parse_numbers(own.get("crop_fraction", ""))
    if resize == "pad":
        notes.append("the file was made for pictures of any size (pad), which no imported network takes: name a resize rule")
    return msgspec.structs.replace(
        stated,
        resize=next((rule for rule in RESIZE_RULES.values() if rule == resize), None) if resize else stated.resize,
        shrink=next((rule for rule in SHRINK_RULES if rule == own.get("shrink")), None),
        crop_fraction=fractions[0] if len(fractions) == 1 and 0 < fractions[0] <= 1 else None,
    )


def _has_built_in(switches: dict[str, str], notes: list[str]) -> bool:
    """Whether Model Optimizer put the normalisation into the graph; notes what it put there."""
    normalised = False
    for name in ("mean_values", "scale_values", "scale"):
        if any(parse_numbers(switches.get(name, "")) if _is_numeric(switches.get(name, "")) else ()):
            notes.append(f"Model Optimizer built {name} {switches[name]} into the network: it takes pixels 0..255")
            normalised = True
    if is_true(switches.get("reverse_input_channels", "")):
        notes.append("Model Optimizer turned the order of the channels round inside the network (reverse_input_channels)")
    return normalised


def _is_numeric(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _per_channel(text: str, picture: Picture) -> tuple[float, ...] | None:
    """Numbers for each channel; one serves all. Raises: InvalidInput for another count."""
    values = parse_numbers(text)
    if not values:
        return None
    if len(values) not in (1, picture.channels):
        raise InvalidInput(f"expected 1 or {picture.channels} numbers per channel in model_info, got {text[:80]!r}")
    return values * picture.channels if len(values) == 1 else values


def _read_pad(text: str) -> int | None:
    values = parse_numbers(text)
    return int(values[0]) if len(values) == 1 and 0 <= values[0] <= 255 else None


def _state_raw_pixels(stated: StatedInput, picture: Picture) -> StatedInput:
    return msgspec.structs.replace(stated, mean=(0.0,) * picture.channels, std=(1.0,) * picture.channels)
