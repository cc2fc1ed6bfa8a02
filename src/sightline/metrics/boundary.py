"""How well the outlines of categories are met: boundary F of each category, a mean over pictures.

A pixel of an outline is met when the other side has one of the same category within a tolerance; precision is the share of the
answer's that are met, recall that of the truth's, F their harmonic mean (Csurka et al. 2013; the contour accuracy of Perazzi et
al. 2016). A picture in which neither side has an outline of a category says nothing of it: counted as 1, as is often done, it
would make categories look well drawn that are merely rare.
"""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from sightline.metrics.task_metrics import Doubles, Weights, divide_or_nan, ratio

# Share of the picture's diagonal: 9 pixels of 2048 x 1024, the third of the four in Takikawa et al. 2019.
TOLERANCE = 0.00375

Mask = np.ndarray[Any, np.dtype[np.uint8]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


class BoundaryScores:
    """Boundary F of each picture and category.

    Args:
        category_count: label maps hold 0 ... category_count - 1, and other numbers that are no category.
        tolerance: share of a picture's diagonal, rounded up to whole pixels; or pixels, from 1 on.
    """

    def __init__(self, category_count: int, tolerance: float = TOLERANCE) -> None:
        self.category_count, self.tolerance = category_count, tolerance
        self._pictures: list[Doubles] = []

    def add(self, truth: np.ndarray, answer: np.ndarray, unknown: int | None = None) -> None:
        """Judge one picture.

        Args:
            truth, answer: `(H, W)` label maps.
            unknown: the number of pixels of which the truth is not known. No outline counts within the tolerance of them, since
                what would meet it may lie there.
        """
        reach = find_reach(self.tolerance, *truth.shape[::-1])
        true, said = Outlines(truth), Outlines(answer)
        left_out = None if unknown is None else spread_mask((truth == unknown).view(np.uint8), reach)
        scores: Doubles = np.full(self.category_count, np.nan)
        for category in sorted(true.categories | said.categories):
            if category < self.category_count:
                pair = true.select(category), said.select(category)
                scores[category] = score_outlines(*pair, truth.shape, reach, left_out)
        self._pictures.append(scores)

    def resample(self, weights: Weights) -> Doubles:
        """Boundary F of each category `(B, C)` under picture weights `(B, N)`; NaN where no picture says anything."""
        scores = np.array(self._pictures, np.float64).reshape(len(self._pictures), self.category_count)
        known = ~np.isnan(scores)
        counts = weights.astype(np.float64)
        return divide_or_nan(counts @ np.where(known, scores, 0.0), counts @ known)


def find_reach(tolerance: float, width: int, height: int) -> int:
    """A tolerance in whole pixels. Args: tolerance: share of the diagonal, or pixels, from 1 on; width, height: pixels."""
    return math.ceil(tolerance if tolerance >= 1 else tolerance * math.hypot(width, height))


class Outlines:
    """Pixels of a label map `(H, W)` whose right, lower and lower right neighbours are not all like them; none at the rim."""

    def __init__(self, label_map: np.ndarray) -> None:
        width = label_map.shape[1]
        flat, steps = label_map.ravel(), (1, width, width + 1)
        here, others = flat[: -steps[-1]], [flat[step : step - steps[-1] or None] for step in steps]
        differs = np.logical_or.reduce([here != other for other in others])
        differs[width - 1 :: width] = False  # their right neighbour is the next row's first
        self._places = np.flatnonzero(differs)
        self._labels = np.stack([flat[self._places + step] for step in (0, *steps)])

    @property
    def categories(self) -> set[int]:
        """Numbers on either side of an outline."""
        return set(np.unique(self._labels).tolist())

    def select(self, category: int) -> Ints:
        """Where one category's outline is: indices of the flat map, ascending."""
        is_own = (self._labels == category).any(axis=0)
        return np.asarray(self._places[is_own], np.int64)


def score_outlines(true: Ints, said: Ints, shape: tuple[int, int], reach: int, left_out: Mask | None = None) -> float:
    """F of an outline against the true one, 0..1; NaN without a pixel that counts.

    Args:
        true, said: indices of the flat picture, ascending.
        shape: H, W.
        reach: how far a pixel may lie from the one that meets it, centre to centre, pixels.
        left_out: `(H, W)`, not 0 at pixels that do not count, though they may meet others.
    """
    near_true, near_said = (find_near(places, shape, reach) for places in (true, said))
    if left_out is not None:
        true, said = (places[left_out.ravel()[places] == 0] for places in (true, said))
    if not len(true) and not len(said):
        return math.nan
    recall = ratio(int(np.count_nonzero(near_said[true])), len(true))
    precision = ratio(int(np.count_nonzero(near_true[said])), len(said))
    return ratio(2 * precision * recall, precision + recall)


def find_near(places: Ints, shape: tuple[int, int], reach: int) -> Mask:
    """Which pixels `(H * W,)` of a picture are near any of these."""
    near = np.zeros(shape, np.uint8)
    if len(places):
        near.ravel()[places] = 1
        first, last = (int(place) // shape[1] for place in places[[0, -1]])
        rows = slice(max(0, first - reach), last + reach + 1)
        near[rows] = spread_mask(near[rows], reach)
    return near.ravel()


def spread_mask(mask: Mask, reach: int) -> Mask:
    """The mask `(H, W)` with all pixels at most `reach` from its own, centre to centre."""
    return np.asarray(cv2.dilate(mask, make_disk(reach)), np.uint8)


@lru_cache(maxsize=64)
def make_disk(reach: int) -> Mask:
    """Pixels at most `reach` from the middle one."""
    offsets = np.arange(-reach, reach + 1)
    disk: Mask = (np.hypot(offsets[:, None], offsets) <= reach).astype(np.uint8)
    return disk
