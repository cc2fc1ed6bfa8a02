"""Any number of categories per picture: F1 at the confidence from which a user is shown them, average precision over all."""

from collections.abc import Sequence

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.metrics.task_metrics import (
    Doubles,
    Resampled,
    ResampledMetrics,
    TaskMetrics,
    Weights,
    divide_or_nan,
    mean_or_nan,
    ratio,
    read_certainty,
    score_counts,
    score_resamples,
)

DECISION_THRESHOLD = 0.5  # of a Model that states none


class MultilabelEvaluator:
    """Judges a yes or no for every (picture, category); what is not predicted has confidence 0.

    Args: threshold: a prediction at or above it says "yes", below it only average precision sees it: the one of the Model.
    """

    primary_name = "f1"

    def __init__(self, categories: Categories, threshold: float = DECISION_THRESHOLD) -> None:
        self.categories = categories
        self.threshold = threshold
        self.category_names = categories.names
        self._truth: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
        self._confidences: list[Doubles] = []

    @property
    def images(self) -> int:
        """How many pictures were added."""
        return len(self._truth)

    @property
    def judged(self) -> int:
        """All of them: a picture without annotations is one on which there is nothing."""
        return self.images

    def add(self, truth: Sequence[Annotation], predicted: Sequence[Annotation], width: int, height: int) -> None:
        """Judge one picture. Raises: NotFound for an unknown category; InvalidInput for a confidence of NaN."""
        labels = np.zeros(len(self.categories), bool)
        confidences = np.zeros(len(self.categories))
        for annotation in truth:
            labels[self.categories.index(annotation.category)] = True
        for annotation in predicted:
            index = self.categories.index(annotation.category)
            confidences[index] = max(confidences[index], read_certainty(annotation))
        self._truth.append(labels)
        self._confidences.append(confidences)

    def compute(self) -> TaskMetrics:
        """F1 (macro: the mean over categories that occur), micro F1, mAP; precision, recall, F1 and AP per category."""
        truth, confidences = self._stack()
        said = confidences >= self.threshold
        hits, totals, predicted = (truth & said).sum(axis=0), truth.sum(axis=0), said.sum(axis=0)
        per_category: dict[str, dict[str, float]] = {}
        for index, name in enumerate(self.categories):
            per_category[name] = score_counts(int(hits[index]), int(totals[index]), int(predicted[index]))
            if totals[index]:
                per_category[name]["ap"] = average_precision(truth[:, index], confidences[:, index])
        present = [row for row in per_category.values() if row["truth"]]
        values = {
            "f1": ratio(sum(row["f1"] for row in present), len(present)),
            "micro_f1": ratio(2 * int(hits.sum()), int(totals.sum() + predicted.sum())),
            "map": ratio(sum(row["ap"] for row in present), len(present)),
        }
        return TaskMetrics(primary_name=self.primary_name, values=values, per_category=per_category, images=self.images)

    def resample(self, weights: Weights) -> Resampled:
        """Macro F1, and F1 per category, under picture weights `(B, N)`."""
        f1 = score_resamples(*self._count_resamples(weights))["f1"]
        return Resampled(mean_or_nan(f1), f1)

    def resample_all(self, weights: Weights) -> ResampledMetrics:
        """All metrics of `compute` under picture weights `(B, N)`."""
        truth, confidences = self._stack()
        hits, totals, predicted = self._count_resamples(weights)
        scores = score_resamples(hits, totals, predicted)
        columns = [
            resample_average_precision(truth[:, index], confidences[:, index], weights) for index in range(len(self.categories))
        ]
        scores["ap"] = np.array(columns).reshape(len(columns), len(weights)).T
        values = {
            "f1": mean_or_nan(scores["f1"]),
            "micro_f1": divide_or_nan(2.0 * hits.sum(axis=1), (totals + predicted).sum(axis=1)),
            "map": mean_or_nan(scores["ap"]),
        }
        return ResampledMetrics(values, scores)

    def count_pictures(self) -> Weights:
        """`(C,)` in the truth of how many pictures each category occurs."""
        return np.asarray(self._stack()[0].sum(axis=0))

    def _count_resamples(self, weights: Weights) -> tuple[Doubles, Doubles, Doubles]:
        """`(B, C)` each: right, true and predicted; whole numbers, exact in float64."""
        truth, confidences = self._stack()
        said, drawn = confidences >= self.threshold, weights.astype(np.float64)
        return drawn @ (truth & said), drawn @ truth, drawn @ said

    def _stack(self) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.bool_]], Doubles]:
        shape = (self.images, len(self.categories))
        return np.array(self._truth, bool).reshape(shape), np.array(self._confidences).reshape(shape)


def average_precision(truth: np.ndarray[tuple[int], np.dtype[np.bool_]], confidences: Doubles) -> float:
    """Area under precision over recall, by steps (as scikit-learn's `average_precision_score`): ties count as one step.

    Args:
        truth: `(N,)` bool, at least one True.
        confidences: `(N,)`, higher is surer.
    """
    order = np.argsort(-confidences, kind="stable")
    hits = np.cumsum(truth[order])
    last_of_tie = np.append(np.diff(confidences[order]) != 0, True)
    hits, counts = hits[last_of_tie], np.flatnonzero(last_of_tie) + 1
    recall_steps = np.diff(hits, prepend=0) / hits[-1]
    return float((recall_steps * hits / counts).sum())


def resample_average_precision(
    truth: np.ndarray[tuple[int], np.dtype[np.bool_]], confidences: Doubles, weights: Weights
) -> Doubles:
    """`average_precision` when picture n counts `weights[b, n]` times: `(B,)`, NaN where nothing true is drawn."""
    order = np.argsort(-confidences, kind="stable")
    last_of_tie = np.append(np.diff(confidences[order]) != 0, True)[: len(order)]
    drawn = weights[:, order]
    hits = np.cumsum(drawn * truth[order], axis=1)[:, last_of_tie]
    precision = hits / np.maximum(np.cumsum(drawn, axis=1)[:, last_of_tie], 1)
    area = (np.diff(hits, prepend=0, axis=1) * precision).sum(axis=1)
    return divide_or_nan(area, weights @ truth)
