"""The pieces of which Datumaro makes objects: a record each, a box, a ring, a mask, or the label of the whole picture."""

import math
from typing import Any

import msgspec

from sightline.core.annotations import BoxXyxy, MaskRle, Origin, Ring
from sightline.data.conversion import ConversionReport, replace_surrogates
from sightline.data.formats.datumaro.attributes import is_number, is_whole, read_text
from sightline.data.formats.datumaro.labels import LabelTable
from sightline.data.formats.run_lengths import read_rle

SHAPES = ("bbox", "rotated_bbox", "ellipse", "polygon", "mask")
NOT_KEPT = ("caption", "points", "polyline", "skeleton", "cuboid_2d", "cuboid_3d", "hash_key")
ELLIPSE_POINTS = 64
# What reading a shape of other types or lengths than Datumaro's raises.
NOT_A_SHAPE = (TypeError, ValueError, KeyError, OverflowError)


class Shape(msgspec.Struct, frozen=True):
    """Where a piece lies; a label of the whole picture has none of the three."""

    box: BoxXyxy | None = None
    ring: Ring | None = None
    mask: MaskRle | None = None


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says. `category` is None where it names none, `group` 0 where it stands alone."""

    category: str | None
    group: int
    z_order: float
    shape: Shape
    confidence: float | None
    origin: Origin | None
    is_crowd: bool
    attributes: dict[str, str]


def read_piece(
    record: Any, labels: LabelTable, size: tuple[int, int] | None, report: ConversionReport, where: str
) -> Piece | None:
    """A record of "annotations", or None after telling that it is not kept. Args: size: stated `(width, height)`."""
    kind = record.get("type") if isinstance(record, dict) else None
    if kind in NOT_KEPT:
        report.drop("annotation", f"{kind} is not kept", where)
        return None
    if kind not in (*SHAPES, "label"):
        report.drop("annotation", "annotation of a type that is not known", f"{where}: {str(kind)[:40]}")
        return None
    facts = record.get("attributes")
    facts = dict(facts) if isinstance(facts, dict) else {}
    try:
        shape = _read_shape(record, facts, size, report, where)
    except NOT_A_SHAPE:
        report.drop("annotation", "shape that is not as Datumaro defines it", f"{where}: {kind}")
        return None
    group, z_order, object_id = (record.get(key) for key in ("group", "z_order", "object_id"))
    confidence = facts.pop("score") if is_number(facts.get("score")) and 0 <= facts["score"] <= 1 else None
    is_crowd = facts.pop("is_crowd") if isinstance(facts.get("is_crowd"), int) else False  # 0 and 1 too
    if is_whole(object_id):
        facts["object_id"] = object_id
    return Piece(
        category=_name_label(record.get("label_id"), labels),
        group=group if is_whole(group) else 0,
        z_order=z_order if is_number(z_order) else 0,
        shape=shape,
        confidence=None if confidence is None else float(confidence),
        origin=record["origin"] if record.get("origin") in ("human", "model") else None,
        is_crowd=bool(is_crowd),
        attributes={replace_surrogates(str(name)): read_text(value) for name, value in facts.items() if value is not None},
    )


def _name_label(label_id: Any, labels: LabelTable) -> str | None:
    if label_id is None:
        return None
    return (labels.get(label_id) if is_whole(label_id) else None) or f"id {str(label_id)[:40]}"


def _read_shape(
    record: dict[str, Any], facts: dict[str, Any], size: tuple[int, int] | None, report: ConversionReport, where: str
) -> Shape:
    """The shape, CVAT's turn taken out of the attributes `facts`. Raises: NOT_A_SHAPE."""
    kind = record["type"]
    if kind == "label":
        return Shape()
    if kind == "mask":
        return Shape(mask=read_rle(record["rle"], size))
    if kind == "polygon":
        return Shape(ring=_read_numbers(record["points"]))
    if kind == "ellipse":
        report.change("annotation", f"ellipse becomes a polygon of {ELLIPSE_POINTS} points", where)
        return Shape(ring=_draw_ellipse(*_read_numbers(record["points"])))
    if kind == "bbox":
        x, y, width, height = _read_numbers(record["bbox"])
        angle = facts.pop("rotation") if is_number(facts.get("rotation")) else 0
        if not angle:
            return Shape(box=(x, y, x + width, y + height))
        ring = _turn_box(x + width / 2, y + height / 2, width, height, angle)
    else:
        ring = _turn_box(*_read_numbers(record["points"]))
    report.change("annotation", "turned box becomes the polygon of its corners", where)
    return Shape(ring=ring)


def _read_numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise TypeError("coordinates are a list")
    return tuple(math.nan if value is None else float(value) for value in values)


def _turn_box(x: float, y: float, width: float, height: float, angle: float) -> Ring:
    """Corners of a box with the middle (x, y), turned by degrees, clockwise as seen."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    sides = ((-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2))
    return tuple(value for dx, dy in sides for value in (x + dx * cos - dy * sin, y + dx * sin + dy * cos))


def _draw_ellipse(x0: float, y0: float, x1: float, y1: float) -> Ring:
    """The ellipse that fills a box, as a ring."""
    angles = [2 * math.pi * step / ELLIPSE_POINTS for step in range(ELLIPSE_POINTS)]
    return tuple(
        value
        for angle in angles
        for value in ((x0 + x1 + (x1 - x0) * math.cos(angle)) / 2, (y0 + y1 + (y1 - y0) * math.sin(angle)) / 2)
    )
