"""CVAT's shapes as annotations: boxes and ellipses may be rotated, masks are runs along the rows of their box."""

import math
from xml.etree.ElementTree import Element

import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Origin, Ring
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.cvat.elements import read_count, read_number
from sightline.imaging.masks import encode_mask

NOT_KEPT = {
    "points": "points are not kept",
    "polyline": "polylines are not kept",
    "cuboid": "cuboids are not kept",
    "skeleton": "skeletons are not kept",
}
PART_OF = "part_of"  # of a polygon that we wrote: the number of the annotation whose part it is
ELLIPSE_CORNERS = 72  # the polygon has 99.9 % of the ellipse's area
MAX_MASK_PIXELS = 1 << 28
NO_TURN = 0.005  # degrees: CVAT writes two decimals
WITH_LABEL = ("box", "polygon", "mask", "ellipse", "tag")


def parse_shapes(image: Element, size: tuple[int, int] | None, report: ConversionReport, where: str) -> list[Annotation]:
    """The annotations of a picture, in the order in which they are painted. Args: as of `parse_shape`."""
    found: list[Annotation] = []
    orders: list[float] = []
    parts: dict[tuple[str, str], int] = {}
    for shape in image:
        annotation = parse_shape(shape, None, size, report, where)
        if annotation is None:
            continue
        if annotation.polygons is not None and shape.get(PART_OF):
            place = parts.setdefault((shape.get(PART_OF, ""), annotation.category), len(found))
            if place < len(found):
                found[place] = replace(found[place], polygons=(*(found[place].polygons or ()), *annotation.polygons))
                continue
        found.append(annotation)
        before = orders[-1] if orders else -math.inf  # where a tag, which paints nothing, stays
        orders.append(before if shape.tag == "tag" else read_order(shape))
    return [found[place] for place in sorted(range(len(found)), key=orders.__getitem__)]


def parse_shape(
    shape: Element, track: Element | None, size: tuple[int, int] | None, report: ConversionReport, where: str
) -> Annotation | None:
    """The annotation of a shape, None after telling why there is none.

    Args:
        track: the track that it belongs to; its label and source are the shape's.
        size: `(width, height)` of the picture, which masks need.
        where: the picture's name, for the report.
    """
    if shape.tag not in WITH_LABEL:
        report.drop("annotation", NOT_KEPT.get(shape.tag, "shape of a kind that is not known"), f"{where}: {shape.tag[:40]}")
        return None
    facts = shape.attrib if track is None else {**track.attrib, **shape.attrib}
    category = read_label(shape, track)
    if not category:
        report.drop("annotation", "shape without a label", f"{where}: {shape.tag}")
        return None
    example = f"{where}: {category}"
    box: BoxXyxy | None = None
    polygons: tuple[Ring, ...] | None = None
    mask: MaskRle | None = None
    try:
        if shape.tag == "box":
            box, polygons = _parse_box(shape, report, example)
        elif shape.tag == "ellipse":
            polygons = (_parse_ellipse(shape),)
            report.change("annotation", f"ellipse becomes a polygon of {ELLIPSE_CORNERS} corners", example)
        elif shape.tag == "polygon":
            polygons = (_parse_points(shape.get("points", "")),)
        elif shape.tag == "mask":
            mask = _parse_mask(shape, size, report, example)
    except ValueError as error:
        report.drop("annotation", str(error), example)
        return None
    origin: Origin = "model" if facts.get("source") == "auto" else "human"
    score = read_number(facts.get("score")) if origin == "model" else math.nan
    return Annotation(
        category=category,
        box_xyxy=box,
        polygons=polygons,
        mask=mask,
        confidence=score if 0 <= score <= 1 else None,
        origin=origin,
        attributes=_parse_attributes(shape, facts, track),
    )


def read_label(shape: Element, track: Element | None) -> str:
    """The category of a shape, which of a track its track names; empty when none is named."""
    return clean_name(shape.get("label", "") or ("" if track is None else track.get("label", "")))


def read_order(shape: Element) -> int:
    """Where a shape lies: those of a greater `z_order` are painted over others."""
    return read_count(shape.get("z_order"), 0)


def _parse_attributes(shape: Element, facts: dict[str, str], track: Element | None) -> dict[str, str]:
    attributes = {}
    if facts.get("occluded") == "1":
        attributes["occluded"] = "1"
    group = facts.get("group_id", "").strip()
    if group not in ("", "0", facts.get(PART_OF)):
        attributes["group_id"] = group
    if track is not None and track.get("id"):
        attributes["track_id"] = track.get("id", "")
    for attribute in shape.iterfind("attribute"):
        attributes[(attribute.get("name") or "").strip()] = (attribute.text or "").strip()
    return attributes


def _parse_box(shape: Element, report: ConversionReport, example: str) -> tuple[BoxXyxy | None, tuple[Ring, ...] | None]:
    x0, y0, x1, y1 = (read_number(shape.get(name)) for name in ("xtl", "ytl", "xbr", "ybr"))
    turn = _read_turn(shape)
    if not turn:
        return (x0, y0, x1, y1), None
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    report.change("annotation", "rotated box becomes a polygon of its four corners", example)
    return None, (_turn(corners, np.array([(x0 + x1) / 2, (y0 + y1) / 2]), turn),)


def _parse_ellipse(shape: Element) -> Ring:
    cx, cy, rx, ry = (read_number(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
    angles = np.arange(ELLIPSE_CORNERS) * (2 * np.pi / ELLIPSE_CORNERS)
    centre = np.array([cx, cy])
    return _turn(centre + np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1), centre, _read_turn(shape))


def _read_turn(shape: Element) -> float:
    """Degrees, clockwise as CVAT shows it; 0 when it is none."""
    turn = read_number(shape.get("rotation", "0"))
    turned = math.remainder(turn, 360) if math.isfinite(turn) else turn
    return 0.0 if abs(turned) < NO_TURN else turned


def _turn(points: np.ndarray, centre: np.ndarray, degrees: float) -> Ring:
    """Points `(N, 2)` turned clockwise about a centre, as a ring; y points down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned = (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    return tuple(turned.ravel().tolist())


def _parse_points(points: str) -> Ring:
    """`x,y;x,y`. Raises: ValueError when it is not."""
    text = points.strip().strip(";")
    if text.count(",") != text.count(";") + 1:
        raise ValueError("points that are not x,y;x,y")
    try:
        return tuple(map(float, text.replace(";", ",").split(",")))
    except ValueError:
        raise ValueError("points that are not x,y;x,y") from None


def _parse_mask(shape: Element, size: tuple[int, int] | None, report: ConversionReport, example: str) -> MaskRle:
    """Runs of 0 and 1, the first of 0, along the rows of the box that `left`, `top`, `width` and `height` tell.

    Raises: ValueError when it cannot be read.
    """
    if size is None:
        raise ValueError("mask in a picture whose size is not stated")
    try:
        left, top, width, height = (int(float(shape.get(name, ""))) for name in ("left", "top", "width", "height"))
        runs = np.array(shape.get("rle", "").split(","), np.float64)
        total = float(runs.sum())
    except (ValueError, OverflowError):
        raise ValueError("mask that is not as CVAT writes it") from None
    is_whole = bool((runs >= 0).all() and (runs == np.floor(runs)).all())
    if not is_whole or width < 1 or height < 1 or total != width * height or total > MAX_MASK_PIXELS:
        raise ValueError("mask whose runs do not fill its box")
    if size[0] * size[1] > MAX_MASK_PIXELS:
        raise ValueError("mask in a picture with more pixels than the limit")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs.astype(np.int64)).reshape(height, width)
    pixels = np.zeros((size[1], size[0]), bool)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, size[0]), min(top + height, size[1])
    if x0 < x1 and y0 < y1:
        pixels[y0:y1, x0:x1] = inside[y0 - top : y1 - top, x0 - left : x1 - left]
    if pixels.any() and np.count_nonzero(pixels) < np.count_nonzero(inside):
        report.change("annotation", "mask reaches over the edge of the picture, clipped", example)
    return encode_mask(pixels)
