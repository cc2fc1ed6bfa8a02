"""From VIA's regions to annotations, and which of their attributes names the class."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.core.errors import InvalidInput
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.ellipses import ERROR_PX, outline_ellipse

OTHER_SHAPES = ("point", "polyline")
CLASS_WORDS = ("class", "label", "category", "type", "name", "object")
ONLY_CATEGORY = "object"


class Region(msgspec.Struct):
    """A shape with what is said of it."""

    shape: dict[str, Any] = msgspec.field(name="shape_attributes")
    facts: dict[str, Any] = msgspec.field(name="region_attributes", default={})


class Record(msgspec.Struct):
    """A picture. Its regions are parsed one by one, so that one cannot spoil all; version 1 numbered them in an object."""

    filename: str
    regions: list[msgspec.Raw] | dict[str, msgspec.Raw] = []
    file_attributes: Any = None

    @property
    def raw_regions(self) -> Sequence[msgspec.Raw]:
        """The regions in their order."""
        return list(self.regions.values()) if isinstance(self.regions, dict) else self.regions


class UnusableRegion(Exception):  # noqa: N818 - told to the report, never to a user
    """Carries the reason why a region is dropped."""


def decode_region(raw: msgspec.Raw) -> Region | None:
    """One region; None when it is not as VIA writes it."""
    try:
        return msgspec.json.decode(raw, type=Region)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_values(value: Any) -> list[str]:
    """What an attribute says: a text, a chosen option, or all that are ticked; empty when it says nothing."""
    if isinstance(value, Mapping):
        return [name for key, is_ticked in value.items() if is_ticked is True and (name := clean_name(str(key)))]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return []
    return [name] if (name := clean_name(str(value))) else []


def choose_attribute(used: Sequence[str], wanted: str | None) -> str | None:
    """The attribute that names the class: the wanted one, the only one, or the only one that is called so.

    Args: used: those that some region has a value of.

    Raises: InvalidInput when several may be meant, or none is the wanted one.
    """
    named = [name for name in used if name.strip().lower() in CLASS_WORDS]
    if wanted is not None:
        if wanted not in used:
            there = ", ".join(used) or "none"
            raise InvalidInput(
                f"expected the option attribute to be one that regions have ({there}), got {wanted!r}; correct it"
            )
        return wanted
    if len(used) > 1 and len(named) != 1:
        raise InvalidInput(
            f"expected one region attribute that names the class, got {', '.join(used)}; choose one by the option attribute"
        )
    return named[0] if named else used[0] if used else None


def parse_region(region: Region, attribute: str | None, report: ConversionReport, where: str) -> Iterator[Annotation]:
    """The annotations of a region: one for each class that it names. Raises: UnusableRegion."""
    categories = [ONLY_CATEGORY] if attribute is None else read_values(region.facts.get(attribute))
    if not categories:
        raise UnusableRegion("region without a class")
    box, polygons = _parse_shape(region.shape)
    if region.shape.get("name") in ("circle", "ellipse"):
        report.change("annotation", f"ellipse drawn as a polygon that is at most {ERROR_PX} px off", where)
    values = {name: ", ".join(read_values(value)) for name, value in region.facts.items() if name != attribute}
    attributes = {name: value for name, value in values.items() if value}
    for category in categories:
        yield Annotation(category=category, box_xyxy=box, polygons=polygons, attributes=attributes)


def _parse_shape(shape: Mapping[str, Any]) -> tuple[BoxXyxy | None, tuple[Ring, ...] | None]:
    match shape.get("name"):
        case "rect":
            x, y, width, height = (_read_number(shape, key) for key in ("x", "y", "width", "height"))
            return (x, y, x + width, y + height), None
        case "polygon":
            return None, (_read_ring(shape),)
        case "circle":
            x, y, radius = (_read_number(shape, key) for key in ("cx", "cy", "r"))
            return None, (outline_ellipse((x, y), (radius, radius)),)
        case "ellipse":
            x, y, across, along = (_read_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
            turn = _read_number(shape, "theta") if "theta" in shape else 0.0
            return None, (outline_ellipse((x, y), (across, along), turn),)
    if shape.get("name") in OTHER_SHAPES:
        raise UnusableRegion(f"region of the shape {shape['name']!r} is not kept")
    raise UnusableRegion("region of an unknown shape is not kept")


def _read_ring(shape: Mapping[str, Any]) -> Ring:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or not all(map(_is_number, [*xs, *ys])):
        raise UnusableRegion("polygon without pairs of numbers")
    return tuple(float(value) for point in zip(xs, ys, strict=True) for value in point)


def _read_number(shape: Mapping[str, Any], key: str) -> float:
    value = shape.get(key)
    if not _is_number(value):
        raise UnusableRegion("region without the numbers of its shape")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and math.isfinite(value)
