"""The confidence at which predictions should be shown to a user: where the mean F1 of the categories is best.

Average precision ranks all predictions, however weak; a person looks at those above one threshold. Greedy matching goes from
the most confident prediction down, so cutting the list off at any confidence leaves the matches above it as they are.
"""

from collections.abc import Sequence

import numpy as np

from sightline.metrics.matching import CategoryMatches
from sightline.metrics.task_metrics import Doubles, Weights, divide_or_nan

CANDIDATES = np.round(np.arange(0.05, 0.96, 0.01), 2)
IOU_50 = 0  # first of `matching.IOU_THRESHOLDS`


def find_best_confidence(categories: Sequence[CategoryMatches]) -> tuple[float, float] | None:
    """Confidence with the best mean F1 at IoU 0.5, and that F1.

    Args:
        categories: matches of each category over all pictures, predictions down to a low confidence.

    Returns:
        `(confidence, f1)`, both 0..1; of equal ones the middle confidence. None where there is no true object.
    """
    scored = [compute_f1(matches) for matches in categories if matches.truth.sum() > 0]
    if not scored:
        return None
    f1 = np.mean(scored, axis=0)  # (thresholds,)
    best = np.flatnonzero(f1 >= f1.max() - 1e-9)
    return float(CANDIDATES[best[len(best) // 2]]), float(f1.max())


def compute_f1(matches: CategoryMatches) -> np.ndarray:
    """F1 of one category that has true objects, at each of `CANDIDATES`, `(thresholds,)`: 2 right / (predicted + true)."""
    counted = ~matches.ignored[IOU_50]
    # Predictions fall in confidence: those at or above a threshold are a prefix.
    lengths = np.searchsorted(-matches.confidences, -CANDIDATES, side="right")
    predicted = np.concatenate([[0], np.cumsum(counted)])[lengths]
    right = np.concatenate([[0], np.cumsum(matches.matched[IOU_50])])[lengths]
    return np.asarray(2.0 * right / (predicted + matches.truth.sum()))


def resample_best_f1(categories: Sequence[CategoryMatches], weights: Weights) -> Doubles:
    """The F1 of `find_best_confidence` when picture n counts `weights[b, n]` times, `(B,)`; NaN where nothing true is drawn."""
    sums, occurring = np.zeros((len(weights), len(CANDIDATES))), np.zeros((len(weights), 1))
    for matches in categories:
        truth = matches.count_truth(weights)[:, None].astype(np.float64)
        predicted, right = (_count_reaching(matches, of, weights) for of in (~matches.ignored[IOU_50], matches.matched[IOU_50]))
        sums += np.nan_to_num(divide_or_nan(2.0 * right, predicted + truth, truth > 0))
        occurring += truth > 0
    return np.asarray(divide_or_nan(sums, occurring).max(axis=1))


def _count_reaching(matches: CategoryMatches, which: np.ndarray, weights: Weights) -> Doubles:
    """`(B, thresholds)`: how many of the predictions that `which` marks reach each of `CANDIDATES`."""
    images, rows = np.unique(matches.images[which], return_inverse=True)
    reached = np.searchsorted(CANDIDATES, matches.confidences[which], side="right")  # so many of the thresholds
    bins = len(CANDIDATES) + 1
    counts = np.bincount(rows * bins + reached, minlength=len(images) * bins).reshape(len(images), bins)
    reaching = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]  # (pictures, thresholds): those that reach more reach these too
    return np.asarray(weights[:, images].astype(np.float64) @ reaching)
