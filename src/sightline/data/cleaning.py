"""Clean-up of annotations and attributes, in one place for all formats: what may enter a version, and what is said of the rest.

Coordinates are pixels of the upright picture with its edges at 0 and width or height, so a box that touches the edge ends
exactly there. Formats whose tools ignore EXIF orientation (COCO, VOC) say so by the picture size they record: when that is
the size of the stored, not the upright picture, the labels are turned with the picture. Where EXIF mirrors a picture, turns it
upside down, or turns a square one, the size is the same either way, and an import warns.
"""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Ring
from sightline.core.categories import Categories
from sightline.core.errors import SightlineError
from sightline.data.conversion import ConversionReport, replace_surrogates
from sightline.imaging.files.reading import turn_upright
from sightline.imaging.masks import clip_ring, compute_ring_area, decode_mask, encode_mask, find_polygons_box, find_rle_box

TOLERANCE_PX = 0.01  # what a text format may round; less over the edge is clipped without a word

OVER_EDGE = "reaches over the edge of the picture, clipped"
NO_AREA = "box without area"
OUTSIDE = "outside the picture"
NOT_A_NUMBER = "coordinate that is not a number"

MAX_ATTRIBUTES = 200  # of one picture
LONGEST_KEY, LONGEST_VALUE = 100, 10_000  # characters


def clean_annotations(
    annotations: Iterable[Annotation], width: int, height: int, categories: Categories, report: ConversionReport, where: str
) -> tuple[Annotation, ...]:
    """Drop what cannot be used, clip what reaches over the edge, fill in missing bounds; every loss goes into the report.

    Args:
        annotations: in pixels of the upright picture.
        width, height: of the upright picture, pixels.
        categories: annotations of any other are dropped.
        report: gets one entry per drop and change.
        where: name of the picture, for the examples.
    """
    kept: list[Annotation] = []
    for annotation in annotations:
        if annotation.category not in categories:
            report.drop("annotation", "unknown category", f"{where}: {annotation.category}")
            continue
        changes: list[str] = []
        try:
            cleaned = _clean_annotation(annotation, width, height, changes)
        except _UselessAnnotation as error:
            report.drop("annotation", str(error), f"{where}: {_describe(annotation)}")
            continue
        for reason in changes:
            report.change("annotation", reason, f"{where}: {_describe(annotation)}")
        kept.append(cleaned)
    return tuple(kept)


def clean_attributes(attributes: Mapping[str, str], report: ConversionReport, where: str) -> dict[str, str]:
    """The attributes of a picture that an edit could have given it; told is what they are not.

    Args: where: name of the picture, for the examples.
    """
    kept: dict[str, str] = {}
    for key, value in ((replace_surrogates(key), replace_surrogates(value)) for key, value in attributes.items()):
        example = f"{where}: {key[:40]!r}"
        if not is_key(key):
            report.drop("attribute", f"its name is no line of 1 to {LONGEST_KEY} characters", example)
        elif len(value) > LONGEST_VALUE:
            report.drop("attribute", f"its value has more than {LONGEST_VALUE} characters", example)
        elif len(kept) == MAX_ATTRIBUTES:
            report.drop("attribute", f"its picture has more than {MAX_ATTRIBUTES}", example)
        else:
            kept[key] = value
    return kept


def is_key(text: str) -> bool:
    """Whether an attribute of a picture may be called so."""
    return 1 <= len(text) <= LONGEST_KEY and text.splitlines() == [text]


def turn_annotations(
    annotations: Iterable[Annotation], orientation: int, stored_width: int, stored_height: int
) -> tuple[Annotation, ...]:
    """Turn annotations drawn on the stored picture to fit the upright one.

    Args:
        orientation: EXIF orientation 1..8 (Exif 2.32, tag 0x0112).
        stored_width, stored_height: size before turning, pixels.
    """

    def turn(x: float, y: float) -> tuple[float, float]:
        if orientation in (2, 3, 7, 8):  # the stored columns run from right to left
            x = stored_width - x
        if orientation in (3, 4, 6, 7):  # the stored rows run from bottom to top
            y = stored_height - y
        return (y, x) if orientation >= 5 else (x, y)

    def turn_ring(ring: Ring) -> Ring:
        return tuple(value for x, y in zip(ring[::2], ring[1::2], strict=False) for value in turn(x, y))

    turned = []
    for annotation in annotations:
        box, polygons, mask = annotation.box_xyxy, annotation.polygons, annotation.mask
        if box is not None:
            (x0, y0), (x1, y1) = turn(box[0], box[1]), turn(box[2], box[3])
            box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        if polygons is not None:
            polygons = tuple(turn_ring(ring) for ring in polygons)
        if mask is not None and (mask.width, mask.height) == (stored_width, stored_height):
            with suppress(SightlineError):  # one that cannot be decoded is dropped, and told, by `clean_annotations`
                mask = encode_mask(turn_upright(decode_mask(mask).astype(np.uint8), orientation).astype(bool))
        turned.append(replace(annotation, box_xyxy=box, polygons=polygons, mask=mask))
    return tuple(turned)


class _UselessAnnotation(Exception):  # noqa: N818 - never leaves this module
    """Carries the reason why an annotation is dropped."""


def _clean_annotation(annotation: Annotation, width: int, height: int, changes: list[str]) -> Annotation:
    if annotation.confidence is not None and not math.isfinite(annotation.confidence):
        raise _UselessAnnotation(NOT_A_NUMBER)
    if annotation.confidence is not None and not 0 <= annotation.confidence <= 1:
        raise _UselessAnnotation("confidence that is not 0 to 1")
    if annotation.geometry == "image":
        return annotation
    box = annotation.box_xyxy
    problem: _UselessAnnotation | None = None
    try:
        polygons, mask, bounds = _clean_outline(annotation, width, height, changes)
    except _UselessAnnotation as error:
        if box is None:
            raise
        polygons, mask, bounds, problem = None, None, None, error
    if box is not None:
        try:
            box = _clean_box(box, width, height, changes)
        except _UselessAnnotation as error:
            if bounds is None:
                raise problem or error from None
            changes.append(f"{error}, drawn anew around its outline")
            box = None
    if problem is not None:
        changes.append(f"{problem}, its box is kept")
    if polygons is annotation.polygons and mask is annotation.mask and box is annotation.box_xyxy and box is not None:
        return annotation
    return replace(annotation, polygons=polygons, mask=mask, box_xyxy=bounds if box is None else box)


def _clean_outline(
    annotation: Annotation, width: int, height: int, changes: list[str]
) -> tuple[tuple[Ring, ...] | None, MaskRle | None, BoxXyxy | None]:
    """Polygons, mask and the bounds of the two; what changed of them is told only when they can be used."""
    polygons, bounds = annotation.polygons, None
    told: list[str] = []
    if polygons is not None:
        polygons = _clean_polygons(polygons, width, height, told)
        bounds = find_polygons_box(polygons)
    if annotation.mask is not None:
        bounds = _check_mask(annotation.mask, width, height)
    changes += told
    return polygons, annotation.mask, bounds


def _clean_box(box: BoxXyxy, width: int, height: int, changes: list[str]) -> BoxXyxy:
    x0, y0, x1, y1 = box
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height and x1 - x0 >= TOLERANCE_PX and y1 - y0 >= TOLERANCE_PX:
        return box
    if not all(map(math.isfinite, box)):
        raise _UselessAnnotation(NOT_A_NUMBER)
    if x1 - x0 < TOLERANCE_PX or y1 - y0 < TOLERANCE_PX:
        raise _UselessAnnotation(NO_AREA)
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise _UselessAnnotation(f"box {OUTSIDE}")
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[2] - clipped[0] < TOLERANCE_PX or clipped[3] - clipped[1] < TOLERANCE_PX:
        raise _UselessAnnotation(f"box {OUTSIDE}")
    if max(abs(old - new) for old, new in zip(box, clipped, strict=True)) > TOLERANCE_PX:
        changes.append(f"box {OVER_EDGE}")
    return clipped


def _clean_polygons(polygons: tuple[Ring, ...], width: int, height: int, changes: list[str]) -> tuple[Ring, ...]:
    if not all(math.isfinite(value) for ring in polygons for value in ring):
        raise _UselessAnnotation(NOT_A_NUMBER)
    whole = [ring for ring in polygons if len(ring) >= 6 and len(ring) % 2 == 0 and compute_ring_area(ring) > 0]
    if not whole:
        raise _UselessAnnotation("polygon without area")
    if len(whole) < len(polygons):
        changes.append("a part of the polygon has no area, removed")
    rings: list[Ring] = []
    over = 0.0
    for ring in whole:
        over_x = max(-min(ring[::2]), max(ring[::2]) - width)
        over_y = max(-min(ring[1::2]), max(ring[1::2]) - height)
        if max(over_x, over_y) <= 0:
            rings.append(ring)
            continue
        over = max(over, over_x, over_y)
        inside = clip_ring(ring, width, height)
        if inside:
            rings.append(inside)
    if not rings:
        raise _UselessAnnotation(f"polygon {OUTSIDE}")
    if over > TOLERANCE_PX:
        changes.append(f"polygon {OVER_EDGE}")
    return polygons if over <= 0 and len(rings) == len(polygons) else tuple(rings)


def _check_mask(mask: MaskRle, width: int, height: int) -> BoxXyxy:
    if (mask.width, mask.height) != (width, height):
        raise _UselessAnnotation("mask of another size than its picture")
    try:
        bounds = find_rle_box(mask)
    except SightlineError:
        raise _UselessAnnotation("mask that cannot be decoded") from None
    if bounds is None:
        raise _UselessAnnotation("mask without a pixel")
    return bounds


def _describe(annotation: Annotation) -> str:
    box = annotation.box_xyxy
    return annotation.category if box is None else f"{annotation.category} ({', '.join(f'{value:g}' for value in box)})"
