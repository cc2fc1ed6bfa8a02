"""Outline a mask along the edges of its pixels, exactly.

The corners of a rectilinear outline, sorted by row, pair up into its horizontal edges; sorted by column, into its vertical
ones (O'Rourke 1988, "Uniqueness of orthogonal connect-the-dots"). Following one kind and then the other walks each ring.
"""

from typing import Any

import numpy as np

from sightline.core.annotations import Ring
from sightline.core.errors import InvalidInput

Mask = np.ndarray[Any, Any]
Indices = np.ndarray[Any, np.dtype[np.int64]]


def trace_mask(mask: Mask) -> tuple[Ring, ...]:
    """Outline the set pixels along their edges.

    Holes are filled: rings are united when drawn, so they cannot cut one. Ask `has_holes` first and keep the mask as RLE then.

    Args:
        mask: `(H, W)` bool.

    Returns:
        Rings x0, y0, x1, y1, ... with every corner, outer ones only; none for an empty mask.
    """
    return tuple(tuple(map(float, points.ravel())) for points, is_hole in _walk_rings(mask) if not is_hole)


def trace_mask_with_holes(mask: Mask) -> tuple[Ring, ...]:
    """Outline the set pixels along their edges so that drawing the rings gives back every mask, holes and all.

    A hole becomes part of the ring around it, by a way there and back that has no width: filled by the even-odd rule, such a
    ring leaves the hole out. Editors show that way as a line; so this is for computing, `trace_mask` for people.

    Args:
        mask: `(H, W)` bool.
    """
    rings = [(np.concatenate([points, points[:1]]), is_hole) for points, is_hole in _walk_rings(mask)]
    outer = [points for points, is_hole in rings if not is_hole]
    whole = [[points] for points in outer]
    for points in (points for points, is_hole in rings if is_hole):
        x, y = points[0]  # the pixel to its lower left is set, and the smallest ring around that is the hole's
        around = [place for place, ring in enumerate(outer) if _encloses(ring, x - 0.5, y + 0.5)]
        owner = min(around, key=lambda place: _measure_area(outer[place]))
        whole[owner] += [points, outer[owner][:1]]
    return tuple(tuple(map(float, np.concatenate(parts).ravel())) for parts in whole)


def _encloses(ring: Indices, x: float, y: float) -> bool:
    """Whether a closed rectilinear ring `(P, 2)` has a point inside: an odd number of its vertical edges lies to the right."""
    starts, ends = ring[:-1], ring[1:]
    crosses = (np.minimum(starts[:, 1], ends[:, 1]) < y) & (y < np.maximum(starts[:, 1], ends[:, 1])) & (starts[:, 0] > x)
    return bool(np.count_nonzero(crosses) % 2)


def _measure_area(ring: Indices) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])))


def has_holes(mask: Mask) -> bool:
    """Whether unset pixels are enclosed by set ones, so that polygons would lose them."""
    return any(is_hole for _, is_hole in _walk_rings(mask))


def _walk_rings(mask: Mask) -> list[tuple[Indices, bool]]:
    """All rings `(P, 2)` x, y corners, each with whether it bounds a hole."""
    if mask.ndim != 2:
        raise InvalidInput(f"expected a mask (H, W), got shape {mask.shape}; pass one mask at a time")
    padded = np.pad(mask != 0, 1)
    corners = _find_corners(padded)
    # Row order is how _find_corners gives them; column order needs a sort.
    beside = _pair_up(np.arange(len(corners)))
    below = _pair_up(np.lexsort((corners[:, 1], corners[:, 0])))
    rings, visited = [], [False] * len(corners)
    for start in range(len(corners)):
        if visited[start]:
            continue
        members, corner = [], start
        while not visited[corner]:
            partner = beside[corner]
            visited[corner] = visited[partner] = True
            members += [corner, partner]
            corner = below[partner]
        points = corners[members]
        # `start` is the ring's topmost, then leftmost corner; the pixel to its lower right tells inside from hole.
        x, y = points[0]
        rings.append((points, not padded[y + 1, x + 1]))
    return rings


def _find_corners(padded: Mask) -> Indices:
    """`(K, 2)` x, y of the outline's corners by rows; where two set pixels touch only diagonally the corner counts twice."""
    north_west, north_east = padded[:-1, :-1], padded[:-1, 1:]
    south_west, south_east = padded[1:, :-1], padded[1:, 1:]
    odd = north_west ^ north_east ^ south_west ^ south_east
    crossing = (north_west == south_east) & (north_east == south_west) & (north_west != north_east)
    rows, columns = np.nonzero(odd | crossing)
    repeats = np.where(crossing[rows, columns], 2, 1)
    return np.repeat(np.stack([columns, rows], axis=1), repeats, axis=0)


def _pair_up(order: Indices) -> list[int]:
    """Partner of each corner when neighbours 0-1, 2-3, ... of an order belong together."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return [int(index) for index in partner]
