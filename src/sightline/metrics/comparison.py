"""Whether a second predictor keeps the accuracy of a first: the change of the primary metric, and how sure it is.

Both predictors are judged on the same pictures. Where an answer is right or wrong, matched pairs tell the change. For every
other task the pictures are drawn again with replacement (the paired bootstrap: Efron and Tibshirani 1993, §8), and the change
is read off each draw.
"""

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.metrics.classification import ClassificationEvaluator
from sightline.metrics.detection import DetectionEvaluator
from sightline.metrics.intervals import (
    Interval,
    draw_weights,
    paired_proportion_change,
    summarise_changes,
    widen_changed,
)
from sightline.metrics.task_metrics import Evaluator, Resampled, Weights

RESAMPLES = 1000


class PairedComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The change from `before` to `after`, negative for a loss.

    Attributes:
        metric: name of the primary metric.
        before, after: its values over all pictures.
        change: after - before, with its 95 % interval.
        per_category: the same for each category that occurs in the truth; empty, from 0 to 0, where no resample changes it.
    """

    metric: str
    before: float
    after: float
    change: Interval
    per_category: dict[str, Interval]


def compare_evaluators(before: Evaluator, after: Evaluator, resamples: int = RESAMPLES, seed: int = 0) -> PairedComparison:
    """Compare two evaluators that were given the same pictures in the same order.

    For classification the intervals are those of paired proportions, which are not empty when no answer changed.

    Args:
        before, after: of the same task and categories.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Raises:
        InvalidInput: they judged different numbers of pictures, tasks or categories.
    """
    if (before.images, before.primary_name, before.category_names) != (after.images, after.primary_name, after.category_names):
        raise InvalidInput(
            f"expected two evaluators of the same pictures and categories, got {before.images} and {after.images} pictures "
            f"judged by {before.primary_name} and {after.primary_name}; judge the same list twice"
        )
    if isinstance(before, ClassificationEvaluator) and isinstance(after, ClassificationEvaluator):
        return _compare_proportions(before, after)
    first, second = (one.resample(_weigh(before.images, resamples, seed)) for one in (before, after))
    return _compare(before.primary_name, before, first, second)


def _compare_proportions(before: ClassificationEvaluator, after: ClassificationEvaluator) -> PairedComparison:
    """Of answers that are right or wrong: matched pairs, overall and of the pictures of each category.

    A bootstrap would call a category of three pictures, none of which changed, exactly known.
    """
    first, second, labels = before.correct(), after.correct(), before.labels()
    labelled = labels >= 0
    return PairedComparison(
        metric=before.primary_name,
        before=float(first[labelled].mean()) if labelled.any() else 0.0,
        after=float(second[labelled].mean()) if labelled.any() else 0.0,
        change=paired_proportion_change(first[labelled], second[labelled]),
        per_category={
            name: paired_proportion_change(first[labels == index], second[labels == index])
            for index, name in enumerate(before.category_names)
            if (labels == index).any()
        },
    )


def compare_shown(
    before: DetectionEvaluator, after: DetectionEvaluator, resamples: int = RESAMPLES, seed: int = 0
) -> PairedComparison:
    """Compare the F1 of what a user is shown, by two detectors that were given the same pictures in the same order.

    Args: as of `compare_evaluators`, which refuses what does not fit.
    """
    first, second = (one.shown.resample(_weigh(before.images, resamples, seed)) for one in (before, after))
    return _compare("f1", before, first, second)


def _weigh(images: int, resamples: int, seed: int) -> Weights:
    """`(1 + B, N)`: the pictures as they are, then each resample."""
    return np.concatenate([np.ones((1, images), np.int64), draw_weights(images, resamples, seed)])


def _compare(metric: str, evaluator: Evaluator, first: Resampled, second: Resampled) -> PairedComparison:
    """Args: evaluator: knows the categories; first, second: of the pictures as they are and of all resamples."""
    pictures = evaluator.count_pictures()
    changes, by_category = second.primary - first.primary, second.per_category - first.per_category
    return PairedComparison(
        metric=metric,
        before=float(np.nan_to_num(first.primary[0])),
        after=float(np.nan_to_num(second.primary[0])),
        change=summarise_changes(float(changes[0]), changes[1:]),
        per_category={
            name: widen_changed(summarise_changes(float(by_category[0, index]), by_category[1:, index]), int(pictures[index]))
            for index, name in enumerate(evaluator.category_names)
            if not np.isnan(by_category[0, index])
        },
    )
