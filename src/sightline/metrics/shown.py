"""The objects that a user is shown, against the truth: F1 at one confidence threshold, the one of the Model.

Average precision ranks all predictions, so confidences that sink or rise together leave it as it was; whoever looks at the
objects from one confidence up sees fewer of them, or more false ones. Within a category the shown objects, the surest first,
each take the free true object they overlap most, from IoU 0.5 on; one that only lies in a crowd counts neither way. The counts
are kept by picture, so that a bootstrap only weighs them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sightline.metrics.confusion import LEAST_IOU
from sightline.metrics.task_metrics import Doubles, Resampled, Weights, mean_or_nan, score_resamples

Ints = np.ndarray[Any, np.dtype[np.int64]]
Counts = np.ndarray[Any, np.dtype[np.int32]]


class ShownCounts(NamedTuple):
    """Objects, over all pictures and categories: so many are shown, so many of these are right, and so many there are."""

    shown: int
    right: int
    truth: int


class ShownObjects:
    """Counts right, shown and true objects of each picture and category. Args: threshold: 0..1, shown from there on."""

    def __init__(self, category_count: int, threshold: float) -> None:
        self.threshold = threshold
        self._category_count = category_count
        self._pictures: list[tuple[Ints, Counts]] = []  # K categories that occur, and (3, K): right, shown, true

    def add(
        self,
        labels: Ints,
        crowd: np.ndarray[Any, np.dtype[np.bool_]],
        answers: Ints,
        confidences: Doubles,
        ious: Doubles,
    ) -> None:
        """Count one picture.

        Args:
            labels, crowd: `(G,)` category index and crowd flag of the true objects.
            answers, confidences: `(D,)` of the predictions.
            ious: `(D, G)`; against a crowd: the share of the prediction that lies in it.
        """
        counts = np.zeros((3, self._category_count), np.int32)
        free = ~crowd
        for prediction in np.argsort(-confidences, kind="stable"):
            if confidences[prediction] < self.threshold:
                break
            category = answers[prediction]
            fits = (ious[prediction] >= LEAST_IOU) & (labels == category)
            is_right = bool((fits & free).any())
            if is_right:
                free[int(np.where(fits & free, ious[prediction], -1.0).argmax())] = False
            counts[0, category] += is_right
            counts[1, category] += is_right or not (fits & crowd).any()
        counts[2] = np.bincount(labels[~crowd], minlength=self._category_count)
        occurring = np.flatnonzero(counts.any(axis=0))  # few of perhaps a thousand
        self._pictures.append((occurring, counts[:, occurring]))

    def sum_up(self) -> ShownCounts:
        """All that was added."""
        right, shown, truth = self.count_categories().sum(axis=1).tolist()
        return ShownCounts(shown, right, truth)

    def count_categories(self) -> Ints:
        """`(3, C)`: right, shown and true objects of each category, over all pictures."""
        found = np.zeros((3, self._category_count), np.int64)
        for occurring, counts in self._pictures:
            found[:, occurring] += counts
        return found

    def find_f1(self) -> float:
        """F1 of all that was added, the mean over the categories that occur, 0..1; 0 where none does."""
        once = np.ones((1, len(self._pictures)), np.int64)
        return float(np.nan_to_num(self.resample(once).primary[0]))

    def resample(self, weights: Weights) -> Resampled:
        """F1, the mean over the categories that occur, and that of each, under picture weights `(B, N)`."""
        f1 = self.resample_scores(weights)["f1"]
        return Resampled(mean_or_nan(f1), f1)

    def resample_scores(self, weights: Weights) -> dict[str, Doubles]:
        """Precision, recall and F1 of each category, `(B, C)`, under picture weights `(B, N)`."""
        sums = np.zeros((3, len(weights), self._category_count))
        for category, pictures, counts in self._list_categories():
            # (3, K) @ (K, B); whole numbers, exact in float64
            sums[:, :, category] = counts @ weights[:, pictures].T.astype(np.float64)
        right, shown, truth = sums
        return score_resamples(right, truth, shown)

    def _list_categories(self) -> Iterator[tuple[int, Ints, Doubles]]:
        """Each category that occurs, the K pictures where it does, and `(3, K)`: a table of all would hold mostly zeros."""
        if not self._pictures:
            return
        pictures = np.repeat(np.arange(len(self._pictures)), [len(occurring) for occurring, _ in self._pictures])
        categories = np.concatenate([occurring for occurring, _ in self._pictures])
        counts = np.concatenate([counts for _, counts in self._pictures], axis=1).astype(np.float64)
        order = np.argsort(categories, kind="stable")
        for category, start, count in zip(*np.unique(categories[order], return_index=True, return_counts=True), strict=True):
            here = order[start : start + count]
            yield int(category), pictures[here], counts[:, here]
