"""How far two predictors agree on the same pictures, no truth needed: for the compiler's gate, and to show what flipped."""

from collections.abc import Sequence

import msgspec
import numpy as np
from faster_coco_eval.core import mask as coco_mask

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import Task
from sightline.imaging.boxes import box_iou
from sightline.imaging.masks import annotations_to_label_map, find_annotation_box
from sightline.metrics.semantic import BACKGROUND

CONFIDENCE_MARGIN = 0.1  # by which a partner may be less sure than what is shown
LEAST_IOU = 0.5  # two boxes, or masks, speak of the same object from here on
FLIPPED_PIXEL_SHARE = 0.05  # a segmentation counts as flipped when more of the pixels that are shown changed


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far two predictors agree.

    Attributes:
        images: how many pictures were compared.
        label_agreement: share of the pictures (classification, multilabel), objects (detection, instance) or pixels (semantic)
            with the same label in both, of those that at least one of both shows. 1 when there is nothing to differ in.
        mean_iou: mean IoU of the boxes (detection) or masks (instance) that match; None for other tasks or when none match.
        flipped: places, in the list of pictures, of those whose answer changed.
        parts: (agreeing, shown) of each picture: itself, its objects or its pixels.
        shown: how many of them at least one of both shows, in all pictures: where it is 0 there was nothing to compare; None
            where answers are not what was compared.
    """

    images: int
    label_agreement: float
    mean_iou: float | None
    flipped: list[int]
    parts: list[tuple[int, int]] = []
    shown: int | None = None


def compare_predictions(
    task: Task,
    categories: Categories,
    before: Sequence[Sequence[Annotation]],
    after: Sequence[Sequence[Annotation]],
    sizes: Sequence[tuple[int, int]],
    confidence_threshold: float = 0.25,
) -> Agreement:
    """Compare two lists of predictions, one list of annotations a picture.

    A picture's answer flips when: its first category changes (classification); its set of categories that are shown changes
    (multilabel); an object shown by one has no partner of its category and IoU >= 0.5 in the other, of boxes (detection) or
    masks (instance); more than 5 % of the pixels that either shows change (semantic). A partner may be less sure by 0.1 than
    what is shown: that an object slips from 0.51 to 0.49 is no other answer, that it is gone is one.

    What neither side shows is not compared: pixels of the background, pictures without a label. Beside a background that fills
    most of the pixels, the loss of every defect would be a small change.

    Args:
        before, after: predictions of N pictures in the same order.
        sizes: N pairs (width, height), pixels; used by semantic only.
        confidence_threshold: the Model's own: labels and objects below it are not shown and not compared (multilabel,
            detection, instance).

    Raises:
        InvalidInput: lists of different lengths.
    """
    if not len(before) == len(after) == len(sizes):
        raise InvalidInput(
            f"expected two predictions and a size for each picture, got {len(before)}, {len(after)}, {len(sizes)}"
        )
    pairs = list(zip(before, after, strict=True))
    if task in ("classification", "multilabel"):
        labels = [tuple(_pick_labels(task, side, confidence_threshold) for side in pair) for pair in pairs]
        counts = [(int(one == other), 1) if one or other else (0, 0) for one, other in labels]
        return _summarise(counts, [], largest_change=0.0)
    if task == "semantic":
        counts = [_count_pixels(*pair, categories, *size) for pair, size in zip(pairs, sizes, strict=True)]
        return _summarise(counts, [], largest_change=FLIPPED_PIXEL_SHARE)
    ious: list[float] = []
    counts = []
    for one, other in pairs:
        agreeing, objects, matched = _count_objects(one, other, confidence_threshold, by_masks=task == "instance")
        ious += matched
        counts.append((agreeing, objects))
    return _summarise(counts, ious, largest_change=0.0)


def _count_objects(
    before: Sequence[Annotation], after: Sequence[Annotation], threshold: float, by_masks: bool
) -> tuple[int, int, list[float]]:
    """Objects of a picture that both sides have, those that at least one side has, and the IoU of the pairs.

    What one side shows and the other has not counts once for each such object; a lost and a false one in the same place, whose
    category changed, are one object.
    """
    shown = [_pick_shown(side, threshold) for side in (before, after)]
    near = [_pick_shown(side, threshold - CONFIDENCE_MARGIN) for side in (before, after)]
    kept, found = pair_objects(shown[0], near[1], by_masks), pair_objects(near[0], shown[1], by_masks)
    lost = _leave_out(shown[0], [row for row, _, _ in kept])
    false = _leave_out(shown[1], [column for _, column, _ in found])
    changed = len(lost) + len(false) - len(pair_objects(lost, false, by_masks, same_category=False))
    agreeing = max(len(kept), len(found))  # they differ where one side shows what the other is a little less sure of
    return agreeing, agreeing + changed, [iou for _, _, iou in kept]


def _leave_out(annotations: Sequence[Annotation], places: Sequence[int]) -> list[Annotation]:
    return [one for place, one in enumerate(annotations) if place not in places]


def pair_objects(
    before: Sequence[Annotation], after: Sequence[Annotation], by_masks: bool = False, same_category: bool = True
) -> list[tuple[int, int, float]]:
    """Pairs of objects, one from either list, that have IoU >= 0.5 and, as a rule, one category; the closest pair first.

    Args: by_masks: where all have one, masks overlap instead of boxes.
    Returns: (place in `before`, place in `after`, IoU) of each pair.
    """
    if not before or not after:
        return []
    if by_masks and all(one.mask is not None for one in (*before, *after)):
        ious = _overlap_masks(before, after)
    else:
        ious = box_iou(
            *(np.array([find_annotation_box(one) or (0, 0, 0, 0) for one in side], np.float32) for side in (before, after))
        )
    if same_category:
        same = np.array([[one.category == other.category for other in after] for one in before])
        ious = np.where(same, ious, 0.0)
    paired: list[tuple[int, int, float]] = []
    while ious.size and ious.max() >= LEAST_IOU:
        row, column = np.unravel_index(int(ious.argmax()), ious.shape)
        paired.append((int(row), int(column), float(ious[row, column])))
        ious[row, :] = 0.0
        ious[:, column] = 0.0
    return paired


def _overlap_masks(before: Sequence[Annotation], after: Sequence[Annotation]) -> np.ndarray:
    """`(N, M)` IoU of each mask with each other mask."""
    codes = [
        [{"size": [one.mask.height, one.mask.width], "counts": one.mask.counts} for one in side if one.mask is not None]
        for side in (before, after)
    ]
    return np.asarray(coco_mask.iou(*codes, [0] * len(after)), np.float64).reshape(len(before), len(after))


def _summarise(counts: Sequence[tuple[int, int]], ious: Sequence[float], largest_change: float) -> Agreement:
    """From the (agreeing, shown) things of each picture."""
    total = sum(whole for _, whole in counts)
    return Agreement(
        images=len(counts),
        label_agreement=sum(part for part, _ in counts) / total if total else 1.0,
        mean_iou=float(np.mean(ious)) if ious else None,
        flipped=[index for index, (part, whole) in enumerate(counts) if whole - part > largest_change * whole],
        parts=list(counts),
        shown=total,
    )


def _pick_labels(task: Task, annotations: Sequence[Annotation], threshold: float) -> set[str]:
    """The surest category (classification), or all that reach the threshold (multilabel)."""
    if task == "classification":
        return {one.category for one in sorted(annotations, key=lambda one: -one.certainty)[:1]}
    return {one.category for one in annotations if one.certainty >= threshold}


def _pick_shown(annotations: Sequence[Annotation], threshold: float) -> list[Annotation]:
    return [one for one in annotations if one.geometry != "image" and one.certainty >= threshold]


def _count_pixels(
    before: Sequence[Annotation], after: Sequence[Annotation], categories: Categories, width: int, height: int
) -> tuple[int, int]:
    """Pixels with the same category in both, and those with any, the background left out, in at least one of both."""
    background = categories.index(BACKGROUND) if BACKGROUND in categories else len(categories)
    maps = [annotations_to_label_map(side, categories, height, width, unlabelled=background) for side in (before, after)]
    shown = (maps[0] != background) | (maps[1] != background)
    return int((shown & (maps[0] == maps[1])).sum()), int(shown.sum())
