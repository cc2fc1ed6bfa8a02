"""Rows of YOLO label files: `class x_centre y_centre width height` or `class x0 y0 x1 y1 ...`, shares of the picture's size.

Written with nine decimals, a coordinate comes back within 0.0002 px in a picture of 100,000 px. A row of four points may be a
polygon or an oriented box, nothing in the file says which: both are read as a polygon, and a tilted rectangle is told.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.data.conversion import ConversionReport
from sightline.data.formats.yolo.facts import apply_facts, find_label_viewer, read_facts
from sightline.data.items import Viewer
from sightline.imaging.masks import compute_ring_area, find_polygons_box

BOX_VALUES = 4
SMALLEST_POLYGON_VALUES = 6
ORIENTED_BOX_VALUES = 8
FARTHEST = 0.5  # how far outside of the picture, in shares of it, a coordinate may lie before the row counts as damaged


def read_label_file(
    path: Path | None,
    names: Mapping[int, str],
    *,
    size: tuple[int, int],
    keypoint_values: int,
    report: ConversionReport,
    where: str,
) -> tuple[tuple[Annotation, ...], Viewer | None]:
    """Annotations of one label file, and who looked at the picture; an absent file means a picture with nothing on it.

    Args:
        path: the label file, if there is one.
        names: category name by class number.
        size: upright `(width, height)` of the picture, pixels.
        keypoint_values: how many numbers of key points follow the box in rows of pose labels; 0 for other labels.
        report: told of every row that is dropped or changed.
        where: what the report calls the picture.
    """
    if path is None:
        return (), None
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        return (), None
    except OSError as error:
        report.drop("file", "labels cannot be read", f"{path.name}: {error.strerror}")
        return (), None
    facts = read_facts(path, report)
    annotations = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            annotation = parse_row(
                line, names, size=size, keypoint_values=keypoint_values, report=report, where=f"{where} row {number}"
            )
            if annotation is not None:
                annotations.append(apply_facts(annotation, line, facts))
    return tuple(annotations), find_label_viewer(facts, annotations)


def parse_row(
    line: str, names: Mapping[int, str], *, size: tuple[int, int], keypoint_values: int, report: ConversionReport, where: str
) -> Annotation | None:
    """One row as an annotation in pixels, or None after telling the report why not."""
    try:
        first, *values = (float(word) for word in line.replace(",", " ").split())
    except ValueError:
        report.drop("annotation", "row holds something that is no number", where)
        return None
    if not all(map(math.isfinite, (first, *values))) or first != int(first):
        report.drop("annotation", "row holds a number that is not finite or a class that is not whole", where)
        return None
    category = names.get(int(first))
    if category is None:
        report.drop("annotation", "unknown category: its class number has no name", f"{where}: class {int(first)}")
        return None
    if keypoint_values and len(values) == BOX_VALUES + keypoint_values:
        report.drop("attribute", "key points are not kept, the box around them is", where)
        values = values[:BOX_VALUES]
    if any(not -FARTHEST <= value <= 1 + FARTHEST for value in values[: len(values) // 2 * 2]):
        report.drop("annotation", "coordinates are not shares of the picture's size (0 to 1)", where)
        return None
    if len(values) in (BOX_VALUES, BOX_VALUES + 1):
        return to_box_annotation(category, values, size)
    if len(values) >= SMALLEST_POLYGON_VALUES and len(values) % 2 == 0:
        return to_polygon_annotation(category, values, size, report, where)
    report.drop("annotation", "row is neither a box nor a polygon", f"{where}: {len(values)} numbers after the class")
    return None


def to_box_annotation(category: str, values: list[float], size: tuple[int, int]) -> Annotation:
    """A box in pixels; a fifth number is the confidence of a model's prediction, as detectors save them."""
    x, y, width, height = (value * scale for value, scale in zip(values, (*size, *size), strict=False))
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(values) > BOX_VALUES:
        return Annotation(category=category, box_xyxy=box, confidence=values[BOX_VALUES], origin="model")
    return Annotation(category=category, box_xyxy=box)


def to_polygon_annotation(
    category: str, values: list[float], size: tuple[int, int], report: ConversionReport, where: str
) -> Annotation:
    """A polygon of one ring in pixels, with its bounds as box."""
    ring = tuple(value * size[index % 2] for index, value in enumerate(values))
    if len(ring) == ORIENTED_BOX_VALUES and is_tilted_rectangle(ring):
        report.change("annotation", "oriented box, kept as the polygon of its four corners", where)
    has_area = compute_ring_area(ring) > 0  # a line is no object, nor are its bounds a box that anybody drew
    return Annotation(category=category, polygons=(ring,), box_xyxy=find_polygons_box((ring,)) if has_area else None)


def is_tilted_rectangle(ring: Ring) -> bool:
    """Whether four corners form a rectangle, within half a pixel, whose sides are not along the axes."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = zip(ring[::2], ring[1::2], strict=True)
    same_middle = abs(ax + cx - bx - dx) < 1 and abs(ay + cy - by - dy) < 1
    same_length = abs(math.dist((ax, ay), (cx, cy)) - math.dist((bx, by), (dx, dy))) < 1
    return same_middle and same_length and min(abs(ax - bx), abs(ay - by)) > 1


def format_box_row(index: int, box_xyxy: BoxXyxy, size: tuple[int, int]) -> str:
    """`class x_centre y_centre width height`."""
    x0, y0, x1, y1 = (value / scale for value, scale in zip(box_xyxy, (*size, *size), strict=True))
    return format_row(index, ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))


def format_polygon_row(index: int, ring: Ring, size: tuple[int, int]) -> str:
    """`class x0 y0 x1 y1 ...`."""
    return format_row(index, tuple(value / size[place % 2] for place, value in enumerate(ring)))


def format_row(index: int, values: tuple[float, ...]) -> str:
    """Numbers with nine decimals, needless zeros left out."""
    return " ".join([str(index), *(f"{value:.9f}".rstrip("0").rstrip(".") for value in values)])


def join_rings(rings: tuple[Ring, ...]) -> Ring:
    """Several rings as one: each further ring is walked round from a bridge of no width to it and back.

    Covers the same pixels where the rings do not overlap; the strategy of Ultralytics' own COCO converter, whose bridges join
    the nearest corners too.
    """
    joined = to_points(rings[0])
    for ring in rings[1:]:
        points = to_points(ring)
        start, end = find_nearest(np.array(joined), np.array(points))
        around = points[end:] + points[: end + 1]
        joined = joined[: start + 1] + around + joined[start:]
    return tuple(value for point in joined for value in point)


def find_nearest(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Indices of the nearest two points of `(N, 2)` and `(M, 2)`; holds one row of distances."""
    best = (math.inf, 0, 0)
    for index, point in enumerate(second):
        distances = np.square(first - point).sum(axis=1)
        nearest = int(distances.argmin())
        best = min(best, (float(distances[nearest]), nearest, index))
    return best[1], best[2]


def to_points(ring: Ring) -> list[tuple[float, float]]:
    """`x0, y0, x1, y1, ...` as pairs."""
    return list(zip(ring[::2], ring[1::2], strict=True))
