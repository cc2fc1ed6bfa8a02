"""Match predicted objects to true ones as COCO does, once per picture, so that AP of any resample of the pictures is cheap.

The rules are those of the COCO API's `evaluateImg` and `accumulate` (Lin et al. 2014): within a category, predictions in
falling order of confidence (the first 100 of a picture) each take the free true object they overlap most, if IoU reaches the
threshold; a prediction that only fits a crowd counts neither way. Where objects of one size count, one that only fits an object
of another size counts neither way, nor does one of another size that fits nothing. AP is the mean, over 101 recalls, of the
best precision at that recall or beyond. Matching does not depend on other pictures, so a bootstrap only weighs pictures and
adds up again; the tests hold the unweighted result equal to `faster-coco-eval`'s, and the weighted one to that of repeated
pictures (where predictions of one picture have equal confidences, repeating also shuffles them, and AP may differ in the third
digit).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sightline.metrics.task_metrics import Doubles, Weights, divide_or_nan

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_PREDICTIONS = 100  # per picture and category
LARGEST_BLOCK = 4_000_000  # numbers in one (resample, prediction) block: bounds memory at some 100 MB
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


class ImageMatches(msgspec.Struct, frozen=True):
    """One category in one picture, T IoU thresholds.

    Attributes:
        confidences: `(D,)` float64, falling.
        matched: `(T, D)` bool: the prediction found a true object.
        ignored: `(T, D)` bool: it counts neither way.
        truth: true objects that count.
    """

    confidences: Doubles
    matched: Bools
    ignored: Bools
    truth: int


class CategoryMatches(msgspec.Struct, frozen=True):
    """One category over N pictures: predictions of all pictures together, the most confident first.

    Attributes:
        images: `(D,)` int64, the picture each prediction belongs to.
        confidences: `(D,)` float64, falling.
        matched, ignored: `(T, D)` bool.
        pictures, truth: `(K,)` int64, the pictures that have anything of it, and the true objects in each. Of a thousand
            categories most occur in few.
    """

    images: Indices
    confidences: Doubles
    matched: Bools
    ignored: Bools
    pictures: Indices
    truth: Indices

    def count_truth(self, weights: Weights) -> Indices:
        """`(B,)` true objects under picture weights `(B, N)`."""
        return np.asarray(np.take(weights, self.pictures, axis=1) @ self.truth)

    def rank(self) -> Indices:
        """`(D,)` the place of each prediction among those of its picture, 0 for the surest."""
        by_image = np.argsort(self.images, kind="stable")
        images = self.images[by_image]
        ranks = np.empty(len(images), np.int64)
        ranks[by_image] = np.arange(len(images)) - np.searchsorted(images, images)
        return ranks


def match_image(
    ious: Doubles, confidences: Doubles, crowd: Bools, beyond: Bools | None = None, outside: Bools | None = None
) -> ImageMatches:
    """Match the predictions of one category in one picture.

    Args:
        ious: `(D, G)` float64; against a crowd: the share of the prediction that lies in it.
        confidences: `(D,)`.
        crowd: `(G,)` bool.
        beyond, outside: `(G,)` and `(D,)` bool: true objects and predictions of a size that does not count; None for none.
    """
    excused = crowd if beyond is None else crowd | beyond
    order = np.argsort(-confidences, kind="stable")[:MAX_PREDICTIONS]
    ious, thresholds = ious[order], np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]
    matched = np.zeros((len(IOU_THRESHOLDS), len(order)), bool)
    ignored = np.zeros_like(matched)
    free = np.ones((len(IOU_THRESHOLDS), len(crowd)), bool)
    rows = np.arange(len(IOU_THRESHOLDS))
    near = ious.max(axis=1) >= IOU_THRESHOLDS[0] if len(crowd) else np.zeros(len(order), bool)
    for prediction in np.flatnonzero(near):  # most unsure predictions overlap nothing: they cost nothing here
        fits = (ious[prediction] >= thresholds) & free  # (T, G)
        found, best = _find_closest(fits & ~excused, ious[prediction])
        matched[:, prediction] = found
        free[rows[found], best[found]] = False
        if excused.any():
            fitting, best = _find_closest(fits & excused, ious[prediction])
            ignored[:, prediction] = fitting & ~found
            taken = fitting & ~found & ~crowd[best]  # a crowd takes any number: it stays free
            free[rows[taken], best[taken]] = False
    if outside is not None:
        ignored |= ~matched & outside[order]
    return ImageMatches(confidences[order], matched, ignored, int((~excused).sum()))


def _find_closest(fits: Bools, ious: Doubles) -> tuple[Bools, Indices]:
    """`(T,)` whether any of `fits` `(T, G)` holds, and the place of the largest overlap among them; of equal ones the last."""
    scores = np.where(fits, ious, -1.0)
    closest = scores.shape[1] - 1 - scores[:, ::-1].argmax(axis=1)  # COCO takes the last as well
    return np.asarray(fits.any(axis=1)), np.asarray(closest)


def join_matches(matches: list[ImageMatches], pictures: Sequence[int]) -> CategoryMatches:
    """One category over all pictures. Args: pictures: the number of each match's picture, rising; others have nothing of it."""
    confidences = np.concatenate([np.empty(0), *(match.confidences for match in matches)])
    places = np.array(pictures, np.int64)
    images = np.repeat(places, [len(match.confidences) for match in matches])
    order = np.argsort(-confidences, kind="stable")
    empty = np.zeros((len(IOU_THRESHOLDS), 0), bool)
    return CategoryMatches(
        images=images[order],
        confidences=confidences[order],
        matched=np.concatenate([empty, *(match.matched for match in matches)], axis=1)[:, order],
        ignored=np.concatenate([empty, *(match.ignored for match in matches)], axis=1)[:, order],
        pictures=places,
        truth=np.array([match.truth for match in matches], np.int64),
    )


def compute_average_precision(matches: CategoryMatches, weights: Weights) -> Doubles:
    """Average precision at each IoU threshold when picture n counts `weights[b, n]` times.

    Args:
        matches: of one category.
        weights: `(B, N)` int64; `np.ones((1, N))` for the pictures as they are.

    Returns:
        `(B, T)` float64, NaN where a resample holds no true object of the category.
    """
    step = max(1, LARGEST_BLOCK // max(1, len(matches.images)))
    blocks = [_compute_block(matches, weights[start : start + step]) for start in range(0, len(weights), step)]
    return np.concatenate([np.empty((0, len(IOU_THRESHOLDS))), *blocks])


def compute_average_recall(matches: CategoryMatches, weights: Weights, most: int) -> Doubles:
    """COCO's average recall: the share of the true objects that the `most` surest predictions of each picture find.

    Args: matches: of one category; weights: as of `compute_average_precision`; most: predictions of a picture, up to 100.

    Returns: `(B,)` float64, the mean over the IoU thresholds; NaN where a resample holds no true object of the category.
    """
    found = (matches.matched & (matches.rank() < most)).sum(axis=0)  # (D,): at how many thresholds
    by_picture = np.bincount(matches.images, found)
    pictures = np.flatnonzero(by_picture)
    hits = np.take(weights, pictures, axis=1).astype(np.float64) @ by_picture[pictures]
    return divide_or_nan(hits / len(IOU_THRESHOLDS), matches.count_truth(weights))


def _compute_block(matches: CategoryMatches, weights: Weights) -> Doubles:
    truth = matches.count_truth(weights)  # (B,)
    per_prediction = np.take(weights, matches.images, axis=1).astype(np.int32)  # (B, D)
    counted = np.cumsum(per_prediction, axis=1, dtype=np.int32)
    needed = _count_needed_hits(truth)
    result = np.zeros((len(weights), len(IOU_THRESHOLDS)))
    for threshold, (matched, ignored) in enumerate(zip(matches.matched, matches.ignored, strict=True)):
        hits_at = np.flatnonzero(matched)  # precision and recall rise only here
        if not len(hits_at):
            continue
        hits = np.cumsum(np.take(per_prediction, hits_at, axis=1), axis=1, dtype=np.int32)
        shown = np.take(counted, hits_at, axis=1)
        if ignored.any():
            shown -= _count_before(per_prediction, np.flatnonzero(ignored), hits_at)
        precision = np.divide(hits, shown, out=np.zeros(hits.shape), where=shown > 0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # best precision here or beyond
        result[:, threshold] = _read_envelope(envelope, hits, needed).mean(axis=1)
    result[truth == 0] = np.nan
    return result


def _count_needed_hits(truth: Indices) -> Indices:
    """`(B, 101)`: the fewest hits whose recall, hits / truth in floating point, is at least each of the 101 recalls."""
    whole = np.maximum(truth, 1)[:, None]
    needed = np.ceil(RECALLS * whole).astype(np.int64)
    needed -= (needed - 1) / whole >= RECALLS  # rounding may have gone one too far up,
    needed += needed / whole < RECALLS  # or down
    return needed


def _count_before(per_prediction: np.ndarray[Any, np.dtype[np.int32]], counted_at: Indices, places: Indices) -> Any:
    """`(B, P)`: weight of the predictions at `counted_at` (sorted) that come before each of `places`."""
    sums = np.cumsum(np.take(per_prediction, counted_at, axis=1), axis=1, dtype=np.int32)
    sums = np.pad(sums, ((0, 0), (1, 0)))  # none before the first
    return np.take(sums, np.searchsorted(counted_at, places), axis=1)


def _read_envelope(envelope: Doubles, hits: np.ndarray[Any, np.dtype[np.int32]], needed: Indices) -> Doubles:
    """`(B, 101)` precision at each recall: the envelope at the first place with enough hits; 0 where there is none.

    Rows are searched all at once: row b is lifted by b times more than any count, so that the rows rise one after the other. No
    row has more hits than recall 1 needs.
    """
    resamples, places = hits.shape
    lift = np.arange(resamples, dtype=np.int64)[:, None] * (int(needed.max()) + 1)
    found = np.searchsorted((hits + lift).ravel(), (needed + lift).ravel()).reshape(needed.shape)
    found -= np.arange(resamples)[:, None] * places
    padded: Doubles = np.pad(envelope, ((0, 0), (0, 1)))
    return np.take_along_axis(padded, np.minimum(found, places), axis=1)
