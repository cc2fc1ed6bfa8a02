"""How sure a measured accuracy is: intervals for proportions, for paired differences, and by the paired bootstrap.

Two predictors are compared on the same pictures, so most of the luck of the draw cancels: a paired interval is far narrower
than the difference of two single ones.
"""

import math
from collections.abc import Callable
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


def wilson_interval(successes: int, trials: int) -> Interval:
    """95 % interval of a proportion (Wilson 1927): right also near 0 and 1 and for few trials; 0..1 when there are none.

    Raises: InvalidInput unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise InvalidInput(f"expected 0 <= successes <= trials, got {successes} of {trials}; count again")
    if trials == 0:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def paired_proportion_change(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> Interval:
    """Change of a proportion, `after - before`, over the same pictures, with its 95 % interval.

    The adjusted Wald interval for matched pairs of Bonett and Price 2012 (J. Educ. Behav. Stat. 37:479): one is added to either
    count of changed answers, so that no change in few pictures is not taken for proof of no change.

    Args:
        before, after: `(N,)` bool, right or wrong, in the same order of pictures.

    Raises:
        InvalidInput: not two arrays of one length.
    """
    before, after = _check_pairs(before, after)
    count = len(before)
    if count == 0:
        return Interval(0.0, -1.0, 1.0)
    gained, lost = int((after > before).sum()), int((after < before).sum())
    p_gained, p_lost = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = Z_95 * math.sqrt((p_gained + p_lost - (p_gained - p_lost) ** 2) / (count + 2))
    centre = p_gained - p_lost
    return Interval((gained - lost) / count, max(-1.0, centre - half), min(1.0, centre + half))


def paired_mean_change(before: Doubles, after: Doubles) -> Interval:
    """Change of the mean of a per-picture score, with its 95 % interval by the normal approximation.

    Args:
        before, after: `(N,)` scores in the same order of pictures; with fewer than two, the interval is unbounded.
    """
    before, after = _check_pairs(before, after)
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    if len(differences) < 2:
        return Interval(float(differences.sum()), -math.inf, math.inf)
    mean, half = float(differences.mean()), Z_95 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Interval(mean, mean - half, mean + half)


def draw_weights(images: int, resamples: int, seed: int) -> Weights:
    """`(B, N)`: how often each of N pictures is in each of B resamples with replacement (Efron 1979)."""
    rng = np.random.default_rng(seed)
    if images == 0:
        return np.zeros((resamples, 0), np.int64)
    return rng.multinomial(images, np.full(images, 1.0 / images), size=resamples).astype(np.int64)


def paired_bootstrap(
    before: Callable[[Weights], Doubles], after: Callable[[Weights], Doubles], images: int, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Change of any statistic of a set of pictures, with its 95 % percentile interval: both see the same resamples.

    Args:
        before, after: from weights `(B, N)`, how often each picture counts, to statistics `(B,)`; NaN is left out.
        images: N.
        resamples: B; 1,000 hold the ends of the interval to a few per cent of its width.
        seed: of the resamples.
    """
    once = np.ones((1, images), np.int64)
    weights = draw_weights(images, resamples, seed)
    return summarise_changes(float((after(once) - before(once))[0]), after(weights) - before(weights))


def summarise_changes(estimate: float, changes: Doubles) -> Interval:
    """Percentile interval of changes `(B,)` of a metric in 0..1; with nothing to judge, 0 between -1 and 1."""
    usable = changes[~np.isnan(changes)]
    if math.isnan(estimate) or not len(usable):
        return Interval(0.0, -1.0, 1.0)
    low, high = np.percentile(usable, [2.5, 97.5])
    return Interval(estimate, float(low), float(high))


def _check_pairs(
    before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    before, after = np.asarray(before), np.asarray(after)
    if before.ndim != 1 or before.shape != after.shape:
        raise InvalidInput(f"expected two arrays of one length, one number a picture, got {before.shape} and {after.shape}")
    return before, after
