"""What every evaluator gives: TaskMetrics; and how every evaluator is used: the Evaluator protocol."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput

Weights = np.ndarray[Any, np.dtype[np.int64]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

# What the metric that decides is, for whoever reads a report.
PRIMARY_MEANINGS = {
    "top1": "top1: the share of pictures whose surest category is the true one.",
    "f1": "f1: precision and recall of what is shown, their harmonic mean, a mean over categories.",
    "map": "map: the area under precision over recall, a mean over categories and overlaps (IoU) of 0.50 to 0.95, as COCO's.",
    "miou": "miou: the pixels that truth and answer share, of all those of either, a mean over categories.",
}
# What other metrics are, whose names do not tell it.
OTHER_MEANINGS = {
    "boundary_f": "boundary_f: F1 of the outlines of categories, met within 0.375 % of the picture's diagonal.",
}


class TaskMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How right the predictions for a set of pictures are.

    Attributes:
        primary_name: the metric that decides, a key of `values`: "top1", "f1", "map" or "miou".
        values: all metrics over the whole set, 0..1. One that has no meaning here (no small objects, say) is left out.
        per_category: metrics of each category by name; "truth" counts its true labels, objects or pixels. What has no meaning
            for a category without truth is left out, never guessed.
        confusion: counts, rows truth, columns predicted, in the order of the categories; a last row and column, when there
            is one more, stands for "nothing there" (background). None when the task has none.
        images: how many pictures were added, those without a label that a task needs among them.
    """

    primary_name: str
    values: dict[str, float]
    per_category: dict[str, dict[str, float]]
    confusion: list[list[int]] | None = None
    images: int = 0

    @property
    def primary(self) -> float:
        """Value of the metric that decides, 0..1, higher is better; 0 when there was nothing to be right about."""
        return self.values[self.primary_name]


class Resampled(msgspec.Struct, frozen=True):
    """The primary metric of B resamples of the pictures.

    Attributes:
        primary: `(B,)` float64, NaN where a resample holds nothing to judge.
        per_category: `(B, C)` float64, NaN where it holds none of that category.
    """

    primary: Doubles
    per_category: Doubles


class ResampledMetrics(msgspec.Struct, frozen=True):
    """All metrics of B resamples; NaN where one has no meaning in a resample.

    Attributes:
        values: `(B,)` float64 by name, as in `TaskMetrics.values`.
        per_category: `(B, C)` float64 by the name of the metric.
        right: `(N,)` bool by name: a metric that is the share of the labelled pictures that are right; none of its resamples
            is needed to compare it.
        labels: `(N,)` int64, where `right` has any: place of the true category of each picture, -1 for none.
    """

    values: dict[str, Doubles]
    per_category: dict[str, Doubles]
    right: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {}
    labels: Weights | None = None


class Evaluator(Protocol):
    """Takes the truth and the predictions picture by picture, then computes."""

    primary_name: str
    category_names: tuple[str, ...]

    def add(self, truth: Sequence[Annotation], predicted: Sequence[Annotation], width: int, height: int) -> None:
        """Judge one picture. Args: width, height: of the upright picture, pixels. Raises: NotFound for unknown categories."""

    def compute(self) -> TaskMetrics:
        """All metrics over what was added so far."""

    def resample(self, weights: Weights) -> Resampled:
        """The primary metric when picture n counts `weights[b, n]` times. Args: weights: `(B, N)`, in the order of `add`."""

    def resample_all(self, weights: Weights) -> ResampledMetrics:
        """As `resample`, of every metric of `compute` but the best threshold."""

    @property
    def images(self) -> int:
        """How many pictures were added: N."""

    @property
    def judged(self) -> int:
        """How many of them the truth judges: not those without a label, where a label is needed."""

    def count_pictures(self) -> Weights:
        """`(C,)` in the truth of how many pictures each category occurs."""


def read_certainty(annotation: Annotation) -> float:
    """What a prediction is ranked by, 0..1. Raises: InvalidInput for NaN, which has no rank."""
    if math.isnan(annotation.certainty):
        raise InvalidInput(
            f"expected a confidence of 0..1 for {annotation.category!r}, got NaN; the network fails on a picture"
        )
    return annotation.certainty


def ratio(part: float, whole: float) -> float:
    """part / whole, and 0 when there is no whole."""
    return part / whole if whole else 0.0


def score_counts(correct: int, truth: int, predicted: int) -> dict[str, float]:
    """Precision, recall and F1 from counts; those without meaning are left out.

    Args:
        correct: predictions that are right.
        truth: how many there are.
        predicted: how many were predicted.
    """
    scores: dict[str, float] = {"truth": truth}
    if predicted:
        scores["precision"] = correct / predicted
    if truth:
        scores["recall"] = correct / truth
        scores["f1"] = 2 * correct / (truth + predicted)
    return scores


def score_resamples(correct: Doubles, truth: Doubles, predicted: Doubles) -> dict[str, Doubles]:
    """Precision, recall and F1 as `score_counts` has them, of counts `(B, C)`; NaN for those without meaning."""
    return {
        "precision": divide_or_nan(correct, predicted, predicted > 0),
        "recall": divide_or_nan(correct, truth, truth > 0),
        "f1": divide_or_nan(2.0 * correct, truth + predicted, truth > 0),
    }


def divide_or_nan(part: Any, whole: Any, known: Any = True) -> Doubles:
    """part / whole where it is `known` and there is a whole; NaN elsewhere."""
    part, whole = np.broadcast_arrays(part, whole)
    result: Doubles = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=np.asarray(known) & (whole > 0))
    return result


def mean_or_nan(values: Doubles) -> Doubles:
    """Mean over the last axis of the values that are not NaN; NaN where all are."""
    known = ~np.isnan(values)
    counts = known.sum(axis=-1)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    means: Doubles = np.full(counts.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
