"""Masks, polygons and label maps, and the exact ways between them.

One convention everywhere: pixel (x, y) covers the square from (x, y) to (x + 1, y + 1), and belongs to a polygon when its
centre (x + 0.5, y + 0.5) lies inside. So `draw_polygons(trace_mask(mask))` gives back every mask without holes, bit by bit, and
the box around a traced polygon is the box around its mask. (`cv2.fillPoly` also paints every pixel that the outline touches:
half a pixel too much on every side.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle, Origin, Ring
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.imaging.rle import Runs, count_mask_pixels, decode_mask, encode_mask, pack_runs, unpack_runs
from sightline.imaging.tracing import has_holes, trace_mask

__all__ = [
    "annotations_to_label_map",
    "clip_ring",
    "compute_ring_area",
    "count_mask_pixels",
    "decode_mask",
    "draw_annotation",
    "draw_polygons",
    "encode_mask",
    "find_annotation_box",
    "find_mask_box",
    "find_polygons_box",
    "find_rle_box",
    "has_holes",
    "label_map_to_annotations",
    "trace_mask",
]

Mask = np.ndarray[Any, np.dtype[np.bool_]]
LabelMap = np.ndarray[Any, Any]


def draw_polygons(polygons: Sequence[Ring], height: int, width: int) -> Mask:
    """Fill rings: even-odd within a ring, union of the rings.

    Args:
        polygons: rings x0, y0, x1, y1, ... float pixels, at least three points each; may leave the picture.
        height, width: of the mask, pixels.

    Returns:
        `(height, width)` bool: pixels whose centre lies inside a ring.

    Raises:
        InvalidInput: a ring of fewer than three points or an odd count of numbers.
    """
    mask = np.zeros((height, width), bool)
    for ring in polygons:
        if len(ring) < 6 or len(ring) % 2:
            raise InvalidInput(f"expected a ring of at least 3 points (6 numbers), got {len(ring)} numbers; drop or mend it")
        _fill_ring(mask, np.asarray(ring, np.float64).reshape(-1, 2))
    return mask


def find_mask_box(mask: LabelMap) -> BoxXyxy | None:
    """Bounds of the set pixels of `(H, W)`, right and bottom edge included; None when no pixel is set."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def find_rle_box(rle: MaskRle) -> BoxXyxy | None:
    """What `find_mask_box` says of a mask, without decoding it. Raises: InvalidInput when the code is broken."""
    ends = np.cumsum(unpack_runs(rle))
    starts, ends = ends[0::2][: len(ends) // 2], ends[1::2]
    has_pixels = ends > starts
    return _find_runs_box(starts[has_pixels], ends[has_pixels], rle.height) if has_pixels.any() else None


def find_polygons_box(polygons: Sequence[Ring]) -> BoxXyxy:
    """Bounds of all rings, pixels. Raises: InvalidInput when there is no point."""
    if not any(polygons):
        raise InvalidInput("expected polygons with at least one point, got none; drop the annotation")
    xs = [x for ring in polygons for x in ring[0::2]]
    ys = [y for ring in polygons for y in ring[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def compute_ring_area(ring: Sequence[float]) -> float:
    """Area of a ring of any points, px² (shoelace formula); 0 for fewer than three."""
    xs, ys = ring[0::2], ring[1::2]
    return abs(sum(xs[n - 1] * y - x * ys[n - 1] for n, (x, y) in enumerate(zip(xs, ys, strict=True)))) / 2


def clip_ring(ring: Sequence[float], width: float, height: float) -> Ring:
    """The part of a ring inside the picture, empty when none has an area (Sutherland and Hodgman 1974, edge by edge)."""
    points = list(zip(ring[::2], ring[1::2], strict=True))
    for axis, sign, limit in ((0, 1.0, 0.0), (0, -1.0, -float(width)), (1, 1.0, 0.0), (1, -1.0, -float(height))):
        clipped: list[tuple[float, float]] = []
        for previous, point in zip([points[-1], *points[:-1]], points, strict=True):
            before, after = sign * previous[axis] - limit, sign * point[axis] - limit
            if (before < 0) != (after < 0):
                share = before / (before - after)
                crossing = [previous[side] + share * (point[side] - previous[side]) for side in (0, 1)]
                crossing[axis] = sign * limit  # exactly on the edge, whatever the rounding
                clipped.append((crossing[0], crossing[1]))
            if after >= 0:
                clipped.append(point)
        points = clipped
        if not points:
            return ()
    inside = tuple(value for point in points for value in point)
    return inside if compute_ring_area(inside) > 0 else ()


def find_annotation_box(annotation: Annotation) -> BoxXyxy | None:
    """Bounds of an annotation: its box, or else those of its polygons or mask; None when it names no place."""
    if annotation.box_xyxy is not None:
        return annotation.box_xyxy
    if annotation.polygons:
        return find_polygons_box(annotation.polygons)
    return None if annotation.mask is None else find_rle_box(annotation.mask)


def draw_annotation(annotation: Annotation, height: int, width: int) -> Mask:
    """The pixels an annotation covers, `(height, width)` bool, from its richest geometry: mask, polygons, box, whole image.

    Raises: InvalidInput when its mask is of another size.
    """
    if annotation.mask is not None:
        _check_size(annotation.mask, height, width)
        return decode_mask(annotation.mask)
    if annotation.polygons is not None:
        return draw_polygons(annotation.polygons, height, width)
    if annotation.box_xyxy is not None:
        x_min, y_min, x_max, y_max = annotation.box_xyxy
        return draw_polygons([(x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max)], height, width)
    return np.ones((height, width), bool)


def annotations_to_label_map(
    annotations: Sequence[Annotation], categories: Categories, height: int, width: int, unlabelled: int
) -> LabelMap:
    """Paint masks and polygons with their category's index; later annotations lie on top.

    Annotations with only a box, or none, name no pixels and paint nothing.

    Args:
        annotations: of one picture.
        categories: index of each name.
        height, width: of the picture, pixels.
        unlabelled: value of pixels no annotation covers, for example 255.

    Returns:
        `(height, width)` uint8 when all values fit, else int32.

    Raises:
        NotFound: a category that is not in the table.
        InvalidInput: a mask of another size.
    """
    small = max(len(categories) - 1, unlabelled) <= 255 and unlabelled >= 0
    labels, runs = [], []
    for annotation in annotations:
        if annotation.mask is None and annotation.polygons is None:
            continue
        mask = annotation.mask
        if mask is None:
            mask = encode_mask(draw_annotation(annotation, height, width))
        _check_size(mask, height, width)
        labels.append(categories.index(annotation.category))
        runs.append(unpack_runs(mask))
    flat: LabelMap = _paint_runs(labels, runs, height * width, unlabelled).astype(np.uint8 if small else np.int32)
    # (W * H) -> (W, H) -> (H, W)
    return cv2.transpose(flat.reshape(width, height)) if flat.size else flat.reshape(height, width)


def label_map_to_annotations(
    label_map: LabelMap,
    categories: Categories,
    confidence: float | Mapping[str, float] | None = None,
    origin: Origin = "human",
    background: str | None = None,
) -> list[Annotation]:
    """One mask annotation for each category present, in the order of the categories.

    Args:
        label_map: `(H, W)` integers; values that are no category's index are unlabelled.
        categories: names of the indices.
        confidence: one for all, or by category name; None for a person's.
        origin: who made it.
        background: the category that gives no annotation.
    """
    if label_map.ndim != 2:
        raise InvalidInput(f"expected a label map (H, W), got shape {label_map.shape}; pass one picture's at a time")
    height, width = label_map.shape
    if label_map.size == 0:
        return []
    # (H, W) -> (W, H) -> (W * H): runs go down the columns. One pass finds the runs of all categories.
    flat = np.ascontiguousarray(label_map.T).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.concatenate([starts[1:], [flat.size]])
    labels = flat[starts]
    annotations = []
    for label in np.unique(labels):
        if not 0 <= label < len(categories) or categories[int(label)] == background:
            continue
        name, mine = categories[int(label)], labels == label
        annotations.append(
            Annotation(
                category=name,
                box_xyxy=_find_runs_box(starts[mine], ends[mine], height),
                mask=pack_runs(_interleave_runs(starts[mine], ends[mine], flat.size), height, width),
                confidence=confidence.get(name) if isinstance(confidence, Mapping) else confidence,
                origin=origin,
            )
        )
    return annotations


def _fill_ring(mask: Mask, points: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Set the pixels of `mask` whose centres a ring `(P, 2)` encloses by the even-odd rule: scan lines through the centres.

    An edge toggles every pixel to the right of where it crosses a scan line; adding the toggles up along the row gives parity.
    """
    height, width = mask.shape
    starts, ends = points, np.roll(points, -1, axis=0)
    downwards = starts[:, 1] <= ends[:, 1]
    upper = np.where(downwards[:, None], starts, ends)
    lower = np.where(downwards[:, None], ends, starts)
    # Rows r with upper.y <= r + 0.5 < lower.y: half-open, so that a shared corner counts once.
    first_rows = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.int64)
    last_rows = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.int64)
    counts = last_rows - first_rows
    if not counts.any():
        return
    edges = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first_rows[edges]
    slopes = np.zeros(len(points))
    np.divide(lower[:, 0] - upper[:, 0], lower[:, 1] - upper[:, 1], out=slopes, where=counts > 0)
    crossings = upper[edges, 0] + (rows + 0.5 - upper[edges, 1]) * slopes[edges]
    columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max()
    toggles = np.zeros((bottom - top, right - left + 1), np.int32)
    np.add.at(toggles, (rows - top, columns - left), 1)
    inside = np.cumsum(toggles, axis=1, dtype=np.int32) & 1
    mask[top:bottom, left:right] |= inside[:, : right - left].astype(bool)


def _check_size(mask: MaskRle, height: int, width: int) -> None:
    if (mask.height, mask.width) != (height, width):
        raise InvalidInput(
            f"expected a mask of {height} x {width} (height x width), got {mask.height} x {mask.width}; resize it"
        )


def _paint_runs(labels: Sequence[int], runs: Sequence[Runs], size: int, unlabelled: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Flat `(size,)` label map of masks given as runs; in one pass when the masks do not overlap, else one after another."""
    flat = np.full(size, unlabelled, np.int32)
    if not runs:
        return flat
    ends = [np.cumsum(run) for run in runs]
    starts_of_ones = np.concatenate([end[0::2][: len(run) // 2] for run, end in zip(runs, ends, strict=True)])
    ends_of_ones = np.concatenate([end[1::2] for end in ends])
    values = np.repeat(np.asarray(labels, np.int32), [len(run) // 2 for run in runs])
    order = np.argsort(starts_of_ones, kind="stable")
    starts_sorted, ends_sorted = starts_of_ones[order], ends_of_ones[order]
    if (starts_sorted[1:] >= ends_sorted[:-1]).all():
        lengths = np.diff(np.stack([starts_sorted, ends_sorted], axis=1).ravel(), prepend=0, append=size)
        filling = np.full(len(lengths), unlabelled, np.int32)  # gap, run, gap, run, ..., gap
        filling[1::2] = values[order]
        return np.repeat(filling, lengths)
    for label, run in zip(labels, runs, strict=True):
        flat[np.repeat(np.arange(len(run)) % 2 == 1, run)] = label
    return flat


def _interleave_runs(starts: Runs, ends: Runs, size: int) -> Runs:
    """Alternating runs of 0 and 1 from the places `(K,)` where runs of 1 start and end."""
    borders = np.stack([starts, ends], axis=1).ravel()
    runs = np.diff(borders, prepend=0, append=size)
    return runs[:-1] if runs[-1] == 0 else runs


def _find_runs_box(starts: Runs, ends: Runs, height: int) -> BoxXyxy:
    """Bounds of runs of set pixels, column-major in a picture `height` high."""
    first_columns, last_columns = starts // height, (ends - 1) // height
    spans = first_columns != last_columns  # a run over a column's end touches the bottom and the top row
    rows_min = np.where(spans, 0, starts % height)
    rows_max = np.where(spans, height - 1, (ends - 1) % height)
    return float(first_columns.min()), float(rows_min.min()), float(last_columns.max() + 1), float(rows_max.max() + 1)
