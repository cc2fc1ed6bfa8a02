"""A category per pixel: IoU per category, their mean, pixel accuracy, and boundary F."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import UnlabelledPixels
from sightline.imaging.masks import annotations_to_label_map
from sightline.metrics.boundary import BoundaryScores
from sightline.metrics.task_metrics import (
    Doubles,
    Resampled,
    ResampledMetrics,
    TaskMetrics,
    Weights,
    divide_or_nan,
    mean_or_nan,
    ratio,
    score_counts,
    score_resamples,
)

BACKGROUND = "background"
Counts = np.ndarray[Any, np.dtype[np.int64]]


class SemanticEvaluator:
    """Counts pixels by (true, predicted) class, over all pictures together.

    With `unlabelled_pixels="ignore"` a pixel that no true mask covers is not counted. With "background" it belongs to the class
    "background": the category of that name where there is one, else a class of its own beside the categories. A pixel that no
    predicted mask covers is predicted as background. mIoU and boundary F are means over the classes that occur in the truth.
    """

    primary_name = "miou"

    def __init__(self, categories: Categories, unlabelled_pixels: UnlabelledPixels = "background") -> None:
        self.categories = categories
        self.ignores = unlabelled_pixels == "ignore"
        self._background = categories.index(BACKGROUND) if BACKGROUND in categories else len(categories)
        self._classes = len(categories) if BACKGROUND in categories else len(categories) + 1
        self.category_names = (*categories, BACKGROUND)[: self._classes]
        self._confusion: Counts = np.zeros((self._classes, self._classes), np.int64)
        self._parts: list[Counts] = []  # per picture (3, K): pixels right, true, predicted
        self._boundaries = BoundaryScores(self._classes)

    @property
    def images(self) -> int:
        """How many pictures were added."""
        return len(self._parts)

    @property
    def judged(self) -> int:
        """How many of them have a pixel that counts."""
        return sum(bool(part[1].any()) for part in self._parts)

    def add(self, truth: Sequence[Annotation], predicted: Sequence[Annotation], width: int, height: int) -> None:
        """Judge one picture. Raises: NotFound for an unknown category; InvalidInput for a mask of another size."""
        rest = self._classes if self.ignores else self._background
        true_map = annotations_to_label_map(truth, self.categories, height, width, unlabelled=rest)
        answered = annotations_to_label_map(predicted, self.categories, height, width, unlabelled=self._background)
        pairs = true_map.ravel().astype(np.intp) * self._classes + answered.ravel()
        # True pixels of the extra number `rest` land behind the table and are cut off: they are not counted.
        counts = np.bincount(pairs, minlength=self._classes**2)[: self._classes**2].reshape(self._classes, self._classes)
        self._confusion += counts
        self._parts.append(np.stack([np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)]))
        self._boundaries.add(true_map, answered, unknown=rest if self.ignores else None)

    def compute(self) -> TaskMetrics:
        """mIoU, pixel and mean accuracy, boundary F; IoU, precision, recall, F1, boundary F per class; confusion in pixels."""
        right, true, predicted = np.diag(self._confusion), self._confusion.sum(axis=1), self._confusion.sum(axis=0)
        boundaries = self._score_boundaries(np.ones((1, self.images), np.int64), true[None] > 0)[0]
        per_category: dict[str, dict[str, float]] = {}
        for index, name in enumerate(self.category_names):
            scores = score_counts(int(right[index]), int(true[index]), int(predicted[index]))
            union = int(true[index] + predicted[index] - right[index])
            per_category[name] = {"iou": int(right[index]) / union, **scores} if true[index] else scores
            if not np.isnan(boundaries[index]):
                per_category[name]["boundary_f"] = float(boundaries[index])
        if self.ignores and BACKGROUND not in self.categories:
            del per_category[BACKGROUND]  # it is no class here, only "no answer"
        present = [row for row in per_category.values() if row["truth"]]
        values = {
            "miou": ratio(sum(row["iou"] for row in present), len(present)),
            "pixel_accuracy": ratio(int(right.sum()), int(true.sum())),
            "mean_accuracy": ratio(sum(row["recall"] for row in present), len(present)),
        }
        if not np.isnan(boundaries).all():
            values["boundary_f"] = float(np.nanmean(boundaries))
        return TaskMetrics(
            primary_name=self.primary_name,
            values=values,
            per_category=per_category,
            confusion=self._confusion.tolist(),
            images=self.images,
        )

    def resample(self, weights: Weights) -> Resampled:
        """mIoU, and IoU per class, under picture weights `(B, N)`."""
        found = self.resample_all(weights)
        return Resampled(found.values["miou"], found.per_category["iou"])

    def resample_all(self, weights: Weights) -> ResampledMetrics:
        """All metrics of `compute` under picture weights `(B, N)`."""
        parts = np.array(self._parts, np.float64).reshape(self.images, 3 * self._classes)
        # (B, N) x (N, 3 * K) -> (B, 3, K); whole numbers, exact in float64
        sums = (weights.astype(np.float64) @ parts).reshape(len(weights), 3, self._classes)
        right, true, predicted = sums[:, 0], sums[:, 1], sums[:, 2]
        scores = {
            "iou": divide_or_nan(right, true + predicted - right, true > 0),
            **score_resamples(right, true, predicted),
            "boundary_f": self._score_boundaries(weights, true > 0),
        }
        values = {
            "miou": mean_or_nan(scores["iou"]),
            "pixel_accuracy": divide_or_nan(right.sum(axis=1), true.sum(axis=1)),
            "mean_accuracy": mean_or_nan(scores["recall"]),
            "boundary_f": mean_or_nan(scores["boundary_f"]),
        }
        return ResampledMetrics(values, scores)

    def _score_boundaries(self, weights: Weights, occurs: np.ndarray) -> Doubles:
        """Boundary F `(B, K)` under picture weights `(B, N)`; NaN for a class that does not occur in the truth `(B, K)`."""
        return np.where(occurs, self._boundaries.resample(weights), np.nan)

    def count_pictures(self) -> Weights:
        """`(K,)` in the truth of how many pictures each class occurs."""
        true = np.array([part[1] for part in self._parts], np.int64).reshape(self.images, self._classes)
        return np.asarray((true > 0).sum(axis=0))
