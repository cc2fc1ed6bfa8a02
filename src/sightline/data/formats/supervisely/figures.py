"""Figures of a Supervisely annotation: boxes, polygons with holes, and bitmaps, which are PNGs packed into text."""

import base64
import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Ring
from sightline.core.errors import SightlineError
from sightline.data.conversion import ConversionReport, clean_name, replace_surrogates
from sightline.imaging.files.headers import DECODER_ERRORS, check_pixel_limit, open_picture, quiet_pillow
from sightline.imaging.files.reading import find_pixel_limit
from sightline.imaging.masks import Mask, draw_polygons, encode_mask

SHAPES = ("rectangle", "polygon", "multipolygon", "bitmap")
NOT_KEPT = ("point", "line", "graph", "cuboid", "cuboid_2d", "cuboid_3d", "alpha_mask", "oriented_bbox", "multichannel_bitmap")
CONFIDENCE = "confidence"
MAX_PNG_BYTES = 64 << 20
# What reading a figure of other types, lengths or content than Supervisely's raises.
NOT_A_FIGURE = (TypeError, ValueError, KeyError, OverflowError, zlib.error, SightlineError, *DECODER_ERRORS)

Tag = tuple[str, Any]


def read_figure(record: Any, size: tuple[int, int] | None, report: ConversionReport, where: str) -> Annotation | None:
    """One of "objects" as an annotation, or None after telling why it is not kept.

    Args:
        size: stated `(width, height)` of the picture, which a bitmap or a hole needs.
        where: the picture.
    """
    record = record if isinstance(record, dict) else {}
    title, kind = record.get("classTitle"), find_kind(record)
    if kind not in SHAPES:
        reason = f"{kind} is not kept" if kind in NOT_KEPT else "figure of a kind that is not known"
        report.drop("annotation", reason, f"{where}: {str(kind)[:40]}")
        return None
    if not isinstance(title, str) or not clean_name(title):
        report.drop("annotation", "object without a class", where)
        return None
    try:
        box, polygons, mask = _read_shape(kind, record, size, report, where)
    except NOT_A_FIGURE:
        report.drop("annotation", "figure that is not as Supervisely defines it", f"{where}: {kind}")
        return None
    if record.get("description"):
        report.drop("attribute", "descriptions are not kept", where)
    tags = dict(read_tags(record))
    confidence = tags.get(CONFIDENCE)
    if isinstance(confidence, int | float) and not isinstance(confidence, bool) and 0 <= confidence <= 1:
        del tags[CONFIDENCE]
    else:
        confidence = None
    return Annotation(
        category=clean_name(title),
        box_xyxy=box,
        polygons=polygons,
        mask=mask,
        confidence=None if confidence is None else float(confidence),
        origin="human" if confidence is None else "model",
        attributes=make_attributes(tags.items()),
    )


def find_kind(record: dict[str, Any]) -> Any:
    """The kind of a figure, which the oldest projects do not state; None where nothing tells."""
    if record.get("geometryType") is not None:
        return record["geometryType"]
    if isinstance(record.get("bitmap"), dict):
        return "bitmap"
    points = record.get("points")
    exterior = points.get("exterior") if isinstance(points, dict) else None
    if not isinstance(exterior, list):
        return None
    return "rectangle" if len(exterior) == 2 else "polygon"


def make_attributes(tags: Iterable[Tag]) -> dict[str, str]:
    """Tags as attributes; one without a value is true."""
    return {name: "true" if value is None else replace_surrogates(str(value)) for name, value in tags}


def read_tags(record: dict[str, Any]) -> list[Tag]:
    """Name and value of each tag of a picture or an object; the value is None where it has none."""
    listed = record.get("tags")
    tags: list[Tag] = []
    for tag in listed if isinstance(listed, list) else ():
        name, value = (tag.get("name"), tag.get("value")) if isinstance(tag, dict) else (tag, None)
        if isinstance(name, str) and name:
            tags.append((replace_surrogates(name), value))
    return tags


def _read_shape(
    kind: str, record: dict[str, Any], size: tuple[int, int] | None, report: ConversionReport, where: str
) -> tuple[BoxXyxy | None, tuple[Ring, ...] | None, MaskRle | None]:
    """Box, polygons and mask. Raises: NOT_A_FIGURE."""
    if kind == "bitmap":
        bitmap = record["bitmap"]
        return None, None, encode_mask(_read_bitmap(bitmap["data"], bitmap["origin"], _check_size(size)))
    if kind == "rectangle":
        corners = record["points"]["exterior"]
        x0, y0, x1, y1 = _read_ring(corners)
        last = 1 if _is_whole(corners) else 0
        return (min(x0, x1), min(y0, y1), max(x0, x1) + last, max(y0, y1) + last), None, None
    parts = record["parts"] if kind == "multipolygon" else [record["points"]]
    exteriors = [part["exterior"] for part in parts]
    interiors = [ring for part in parts for ring in part.get("interior") or ()]
    shift = 0.5 if all(map(_is_whole, (*exteriors, *interiors))) else 0.0
    if not interiors:
        return None, tuple(_read_ring(ring, shift) for ring in exteriors), None
    width, height = _check_size(size)
    report.change("annotation", "polygon with holes becomes a mask", where)
    drawn, holes = (
        draw_polygons([_read_ring(ring, shift) for ring in rings], height, width) for rings in (exteriors, interiors)
    )
    return None, None, encode_mask(drawn & ~holes)


def _is_whole(points: Any) -> bool:
    """Whether points name pixels, not places between them."""
    return all(isinstance(value, int) for point in points for value in point)


def _read_ring(points: Any, shift: float = 0.0) -> Ring:
    """Args: shift: of the middle of a pixel from its edge, where points name pixels."""
    ring = tuple(float(value) + shift for x, y in points for value in (x, y))
    if not all(map(math.isfinite, ring)):
        raise ValueError("a coordinate is a number")
    return ring


def _check_size(size: tuple[int, int] | None) -> tuple[int, int]:
    """The size. Raises: ValueError when none is stated."""
    if size is None:
        raise ValueError("a mask needs the size of its picture")
    check_pixel_limit(*size, find_pixel_limit(), "the picture of a mask")
    return size


def _read_bitmap(data: str, origin: Any, size: tuple[int, int]) -> Mask:
    """The mask `(height, width)` of a base64 text of a zlib stream of a PNG, whose left upper corner lies at `origin`."""
    unpacker = zlib.decompressobj()
    png = unpacker.decompress(base64.b64decode(data), MAX_PNG_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError("a PNG of more bytes than any mask")
    left, top = (int(value) for value in origin)
    width, height = size
    with quiet_pillow():
        picture, header = open_picture(png, "bitmap")
        if header.width > width or header.height > height:
            raise ValueError("a bitmap larger than its picture")
        has_alpha = "A" in picture.mode or "transparency" in picture.info
        pixels = np.asarray(picture.convert("RGBA"))[..., 3] if has_alpha else np.asarray(picture)
    drawn = np.asarray(np.atleast_3d(pixels).any(axis=2))
    mask = np.zeros((height, width), bool)
    inside = mask[max(top, 0) : max(top + drawn.shape[0], 0), max(left, 0) : max(left + drawn.shape[1], 0)]
    inside |= drawn[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
    return mask
