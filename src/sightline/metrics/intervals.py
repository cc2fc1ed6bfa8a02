"""How sure a measured change of accuracy is: intervals for paired proportions, and by the paired bootstrap.

Two predictors are compared on the same pictures, so most of the luck of the draw cancels: a paired interval is far narrower
than the difference of two single ones.
"""

import math
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput

Z_95 = 1.959963984540054  # 97.5th percentile of the normal distribution
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Weights = np.ndarray[Any, np.dtype[np.int64]]


class Interval(msgspec.Struct, frozen=True):
    """An estimate and the 95 % interval around it; all in the unit of the metric."""

    estimate: float
    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """Whether no resample differed from another: the ends would claim to know what nothing tells."""
        return self.low == self.high


def paired_proportion_change(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> Interval:
    """Change of a proportion, `after - before`, over the same pictures, with its 95 % interval.

    The adjusted Wald interval for matched pairs of Bonett and Price 2012 (J. Educ. Behav. Stat. 37:479): one is added to either
    count of changed answers, so that no change in few pictures is not taken for proof of no change.

    Args:
        before, after: `(N,)` bool, right or wrong, in the same order of pictures.

    Raises:
        InvalidInput: not two arrays of one length.
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.ndim != 1 or before.shape != after.shape:
        raise InvalidInput(f"expected two arrays of one length, one number a picture, got {before.shape} and {after.shape}")
    count = len(before)
    if count == 0:
        return Interval(0.0, -1.0, 1.0)
    gained, lost = int((after > before).sum()), int((after < before).sum())
    p_gained, p_lost = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z_95 * math.sqrt((p_gained + p_lost - (p_gained - p_lost) ** 2) / (count + 2))
    centre = p_gained - p_lost
    return Interval((gained - lost) / count, max(-1.0, centre - half), min(1.0, centre + half))


def proportion_interval(right: np.ndarray[Any, Any]) -> Interval:
    """A proportion with its 95 % interval, the score interval of Wilson 1927 (J. Am. Stat. Assoc. 22:209), eq. 1.

    A bootstrap would call it exactly known where all are right.

    Args: right: `(N,)` bool; of none nothing is known.
    """
    count = len(right)
    if count == 0:
        return Interval(0.0, 0.0, 1.0)
    share, square = float(np.mean(right)), Z_95**2 / count
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    ends = [min(1.0, max(0.0, (share + square / 2 + side * half) / (1 + square))) for side in (-1, 1)]
    return Interval(share, min(share, ends[0]), max(share, ends[1]))


def widen_empty(found: Interval, images: int, lowest: float) -> Interval:
    """An interval that the bootstrap found empty, because no resample differed from another; any other stays as it is.

    N pictures without an exception exclude, at 95 %, exceptions in more than 3 / N of all (the rule of three; Hanley and
    Lippman-Hand 1983, J. Am. Med. Assoc. 249:1743).

    Args: lowest: of the unit: 0 of a metric, -1 of a change; the highest is 1.
    """
    if not found.is_empty or not images:
        return found
    reach = min(1.0, 3 / images)
    return Interval(found.estimate, max(lowest, found.low - reach), min(1.0, found.high + reach))


def widen_changed(change: Interval, images: int) -> Interval:
    """A change that is the same in all resamples, such as of a category that is lost in each of its pictures, widened by
    `widen_empty`. What did not change stays from 0 to 0: `is_empty`, not a measured zero.

    Args: images: that show what changed.
    """
    return widen_empty(change, images, -1.0) if change.estimate else change


def draw_weights(images: int, resamples: int, seed: int) -> Weights:
    """`(B, N)`: how often each of N pictures is in each of B resamples with replacement (Efron 1979)."""
    rng = np.random.default_rng(seed)
    if images == 0:
        return np.zeros((resamples, 0), np.int64)
    return rng.multinomial(images, np.full(images, 1.0 / images), size=resamples).astype(np.int64)


def summarise_changes(estimate: float, changes: Doubles) -> Interval:
    """Percentile interval of changes `(B,)` of a metric in 0..1; with nothing to judge, 0 between -1 and 1."""
    usable = changes[~np.isnan(changes)]
    if math.isnan(estimate) or not len(usable):
        return Interval(0.0, -1.0, 1.0)
    low, high = np.percentile(usable, [2.5, 97.5])
    return Interval(estimate, float(low), float(high))
