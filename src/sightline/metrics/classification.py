"""One category per picture: top-1, top-5, precision and recall per category, and who is taken for whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
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

TOP = 5


class ClassificationEvaluator:
    """Judges the most confident prediction of each picture; a picture without a true label is left out."""

    primary_name = "top1"

    def __init__(self, categories: Categories) -> None:
        self.categories = categories
        self.category_names = categories.names
        self._truth: list[int] = []  # -1: no label
        self._answers: list[int] = []  # -1: no answer
        self._in_top: list[bool] = []  # False: no label

    @property
    def images(self) -> int:
        """How many pictures were added."""
        return len(self._truth)

    @property
    def judged(self) -> int:
        """How many of them have a true label."""
        return int(self.labelled().sum())

    def add(self, truth: Sequence[Annotation], predicted: Sequence[Annotation], width: int, height: int) -> None:
        """Judge one picture.

        Raises: InvalidInput when it has several true categories, and for a confidence of NaN; NotFound for an unknown category.
        """
        names = {annotation.category for annotation in truth}
        if len(names) > 1:
            raise InvalidInput(
                f"expected one true category a picture, got {sorted(names)}; use the task multilabel for several"
            )
        ranked = rank_categories(predicted, self.categories)
        label = self.categories.index(names.pop()) if names else -1
        self._truth.append(label)
        self._answers.append(ranked[0] if ranked else -1)
        self._in_top.append(label in ranked[:TOP])

    def compute(self) -> TaskMetrics:
        """Top-1, top-5 (given more than five categories), macro F1; precision, recall, F1 per category; confusion."""
        confusion = self._count()
        labelled = int(confusion.sum())
        correct = np.diag(confusion)[: len(self.categories)]
        truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
        per_category = {
            name: score_counts(int(correct[index]), int(truth[index]), int(predicted[index]))
            for index, name in enumerate(self.categories)
        }
        values = {"top1": ratio(int(correct.sum()), labelled)}
        if len(self.categories) > TOP:
            values["top5"] = ratio(sum(self._in_top), labelled)
        scores = [row["f1"] for row in per_category.values() if row["truth"]]
        values["macro_f1"] = ratio(sum(scores), len(scores))
        unanswered = confusion[:, -1].any()
        return TaskMetrics(
            primary_name=self.primary_name,
            values=values,
            per_category=per_category,
            confusion=(confusion if unanswered else confusion[:-1, :-1]).tolist(),
            images=self.images,
        )

    def resample(self, weights: Weights) -> Resampled:
        """Top-1, and recall per category, under picture weights `(B, N)`."""
        found = self.resample_all(weights)
        return Resampled(found.values["top1"], found.per_category["recall"])

    def resample_all(self, weights: Weights) -> ResampledMetrics:
        """All metrics of `compute` under picture weights `(B, N)`, and which answers were right."""
        labels, labelled, right = self.labels(), self.labelled(), {"top1": self.correct()}
        answers = np.where(labelled, np.array(self._answers, np.int64), -1)
        hits, truth, predicted = (
            self._weigh(weights, places) for places in (np.where(right["top1"], labels, -1), labels, answers)
        )
        scores, total = score_resamples(hits, truth, predicted), truth.sum(axis=1)
        values = {"top1": divide_or_nan(hits.sum(axis=1), total), "macro_f1": mean_or_nan(scores["f1"])}
        if len(self.categories) > TOP:
            right["top5"] = np.array(self._in_top, bool)
            values["top5"] = divide_or_nan((weights @ right["top5"]).astype(np.float64), total)
        return ResampledMetrics(values, scores, right, labels)

    def count_pictures(self) -> Weights:
        """`(C,)` in the truth of how many pictures each category occurs."""
        return np.bincount(self.labels()[self.labelled()], minlength=len(self.categories))

    def correct(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """`(N,)` whether each picture's answer was right; False for pictures without a label."""
        truth = np.array(self._truth, int)
        return np.asarray((truth == np.array(self._answers, int)) & (truth >= 0))

    def labels(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """`(N,)` the true category of each picture, its place in `category_names`; -1 for none."""
        return np.array(self._truth, np.int64)

    def labelled(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """`(N,)` which pictures have a true label."""
        return self.labels() >= 0

    def _weigh(self, weights: Weights, places: np.ndarray[Any, np.dtype[np.int64]]) -> Doubles:
        """`(B, C)` weight of the pictures at each category's place. Args: places: `(N,)`, -1 for none."""
        there, count = places >= 0, len(self.categories)
        return np.array([np.bincount(places[there], row[there], count) for row in weights]).reshape(len(weights), count)

    def _count(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """`(C + 1, C + 1)` confusion of the labelled pictures; the last column counts those without an answer."""
        confusion = np.zeros((len(self.categories) + 1, len(self.categories) + 1), np.int64)
        for label, answer in zip(self._truth, self._answers, strict=True):
            if label >= 0:
                confusion[label, answer] += 1
        return confusion


def rank_categories(predicted: Sequence[Annotation], categories: Categories) -> list[int]:
    """Indices of the predicted categories, the most confident first; of equal ones the earlier prediction."""
    ordered = sorted(predicted, key=lambda annotation: -read_certainty(annotation))
    return list(dict.fromkeys(categories.index(annotation.category) for annotation in ordered))
