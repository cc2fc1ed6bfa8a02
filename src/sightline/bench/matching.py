"""Which predicted objects are right, which are wrong and which true ones were missed, at IoU 0.5; and precision over recall.

COCO's matching (Lin et al. 2014, cocoeval): per category, predictions in falling order of confidence each take the free true
box they overlap most; a prediction on a crowd region is neither right nor wrong. mAP itself comes from `sightline.metrics`;
this is for pictures and curves that a person looks at.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from sightline.bench.records import PrecisionRecall
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.imaging.boxes import box_iou

IOU_THRESHOLD = 0.5
RECALL_POINTS = 101


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one picture; `right` and `wrong` are predictions, `missed` are annotations."""

    right: list[Annotation]
    wrong: list[Annotation]
    missed: list[Annotation]


def match_objects(truth: Sequence[Annotation], predicted: Sequence[Annotation]) -> Matches:
    """Match the predictions of one picture by category and box.

    Args:
        truth: annotations with boxes; crowds excuse predictions and are never missed.
        predicted: with boxes and confidences, any order.

    Raises: InvalidInput for an annotation without a box.
    """
    right, wrong, missed = [], [], []
    for category in dict.fromkeys(annotation.category for annotation in (*truth, *predicted)):
        candidates = sorted((one for one in predicted if one.category == category), key=lambda one: one.certainty, reverse=True)
        things = [one for one in truth if one.category == category and not one.is_crowd]
        crowds = [one for one in truth if one.category == category and one.is_crowd]
        overlaps = box_iou(_stack_boxes(candidates), _stack_boxes(things))  # (predictions, things)
        free = np.ones(len(things), bool)
        for index, candidate in enumerate(candidates):
            scores = np.where(free, overlaps[index], -1.0)
            best = int(scores.argmax()) if len(things) else -1
            if best >= 0 and scores[best] >= IOU_THRESHOLD:
                free[best] = False
                right.append(candidate)
            elif not _lies_in_crowd(candidate, crowds):
                wrong.append(candidate)
        missed += [thing for thing, is_free in zip(things, free, strict=True) if is_free]
    return Matches(right=right, wrong=wrong, missed=missed)


class CurveBuilder:
    """Collects matches picture by picture; a confidence and a bit for each prediction is all it keeps."""

    def __init__(self, categories: Categories) -> None:
        self._scores: dict[str, list[tuple[float, bool]]] = {name: [] for name in categories}
        self._truths = dict.fromkeys(categories, 0)

    def add(self, matches: Matches, truth: Sequence[Annotation]) -> None:
        """One picture."""
        for annotation in truth:
            self._truths[annotation.category] += not annotation.is_crowd
        for is_right, predictions in ((True, matches.right), (False, matches.wrong)):
            for prediction in predictions:
                self._scores[prediction.category].append((prediction.certainty, is_right))

    def build(self) -> tuple[PrecisionRecall, ...]:
        """A curve for each category that has both truth and predictions."""
        return tuple(
            compute_curve(name, scores, self._truths[name])
            for name, scores in self._scores.items()
            if scores and self._truths[name]
        )


def compute_curve(category: str, scores: Sequence[tuple[float, bool]], truths: int) -> PrecisionRecall:
    """Precision at 101 levels of recall, each the best at this recall or beyond (as COCO's AP), up to the highest reached.

    Args:
        scores: `(confidence, is right)` of every prediction.
        truths: how many there are to be found, at least 1.
    """
    bits = np.array([is_right for _, is_right in sorted(scores, key=lambda score: -score[0])], bool)
    found = np.cumsum(bits)
    recall, precision = found / truths, found / np.arange(1, len(bits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    levels = np.linspace(0, 1, RECALL_POINTS)
    levels = levels[levels <= recall[-1]]
    at = np.searchsorted(recall, levels, side="left")
    return PrecisionRecall(
        category=category,
        recall=tuple(round(float(level), 4) for level in levels),
        precision=tuple(round(float(value), 4) for value in envelope[at]),
    )


def _stack_boxes(annotations: Sequence[Annotation]) -> np.ndarray:
    for annotation in annotations:
        if annotation.box_xyxy is None:
            raise InvalidInput(
                f"expected annotations with boxes to match, got one of {annotation.category!r} without; add its box"
            )
    return np.array([annotation.box_xyxy for annotation in annotations], np.float32).reshape(-1, 4)


def _lies_in_crowd(candidate: Annotation, crowds: Sequence[Annotation]) -> bool:
    """COCO: for crowds the overlap is counted against the prediction's own area."""
    if not crowds:
        return False
    box, regions = _stack_boxes([candidate])[0], _stack_boxes(crowds)
    sides = np.minimum(box[2:], regions[:, 2:]) - np.maximum(box[:2], regions[:, :2])  # (crowds, 2)
    area = max(float((box[2] - box[0]) * (box[3] - box[1])), 1e-9)
    return bool((np.clip(sides, 0, None).prod(axis=1) / area).max() >= IOU_THRESHOLD)
