"""Which objects are taken for which: a confusion matrix for detections, as a user with one confidence threshold meets them."""

from typing import Any

import numpy as np

CONFIDENCE = 0.25  # of a Model that states none: predictions below it are not shown to a user
LEAST_IOU = 0.5

Ints = np.ndarray[Any, np.dtype[np.int64]]


class ObjectConfusion:
    """Counts, rows true, columns predicted; the last row is "nothing there", the last column "missed".

    Predictions at or above the confidence, the surest first, each take the free true object they overlap most, of their own
    category if there is one that overlaps enough, else of any. Crowds are never missed, and excuse what lies in them.

    Args: confidence: 0..1, from which a user is shown a prediction: the one of the Model.
    """

    def __init__(self, category_count: int, confidence: float = CONFIDENCE) -> None:
        self.confidence = confidence
        self.counts: Ints = np.zeros((category_count + 1, category_count + 1), np.int64)

    def add(
        self,
        labels: Ints,
        crowd: np.ndarray[Any, np.dtype[np.bool_]],
        answers: Ints,
        confidences: np.ndarray[Any, np.dtype[np.float64]],
        ious: np.ndarray[Any, np.dtype[np.float64]],
    ) -> None:
        """Count one picture.

        Args:
            labels, crowd: `(G,)` category index and crowd flag of the true objects.
            answers, confidences: `(D,)` of the predictions.
            ious: `(D, G)`; against a crowd: the share of the prediction that lies in it.
        """
        nothing = len(self.counts) - 1
        free = ~crowd
        for prediction in np.argsort(-confidences, kind="stable"):
            if confidences[prediction] < self.confidence:
                break
            fits = free & (ious[prediction] >= LEAST_IOU)
            own = fits & (labels == answers[prediction])
            if fits.any():
                chosen = int(np.where(own if own.any() else fits, ious[prediction], -1.0).argmax())
                free[chosen] = False
                self.counts[labels[chosen], answers[prediction]] += 1
            elif not (crowd & (ious[prediction] >= LEAST_IOU)).any():
                self.counts[nothing, answers[prediction]] += 1
        np.add.at(self.counts, (labels[free], nothing), 1)
