"""Arithmetic on boxes: area, overlap, and class-wise non-maximum suppression, vectorised over a picture's boxes."""

from typing import Any

import numpy as np

from sightline.core.errors import InvalidInput

Floats = np.ndarray[Any, np.dtype[np.float32]]
Indices = np.ndarray[Any, np.dtype[np.int64]]
BLOCK = 128  # boxes settled at once: of 64..512 the fastest for 300 and for 1,000 candidates


def box_area(boxes_xyxy: Floats) -> Floats:
    """Area of each box. Args: boxes_xyxy: `(N, 4)` pixels. Returns: `(N,)` px², 0 for inverted boxes."""
    boxes = check_boxes(boxes_xyxy)
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sizes[:, 0] * sizes[:, 1], np.float32)


def box_iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Intersection over union of each box with each other box.

    Args:
        boxes_xyxy: `(N, 4)` pixels.
        others_xyxy: `(M, 4)` pixels.

    Returns:
        `(N, M)` float32 in 0..1; 0 where both boxes are empty.

    Example:
        `box_iou([[0, 0, 2, 1]], [[1, 0, 3, 1]])` is 1/3: 1 shared of 3 covered.
    """
    boxes, others = check_boxes(boxes_xyxy), check_boxes(others_xyxy)
    # Planes (N, M) for x and y apart: three times as fast as one (N, M, 2) array.
    shared = _shared_length(boxes[:, 0], boxes[:, 2], others[:, 0], others[:, 2])
    shared *= _shared_length(boxes[:, 1], boxes[:, 3], others[:, 1], others[:, 3])
    covered = box_area(boxes)[:, None] + box_area(others) - shared
    iou = np.zeros_like(shared)
    np.divide(shared, covered, out=iou, where=covered > 0)
    return iou


def suppress_boxes(boxes_xyxy: Floats, scores: Floats, labels: Indices, iou_threshold: float, max_detections: int) -> Indices:
    """Greedy class-wise non-maximum suppression: the best box stays, boxes of its class that overlap it more than allowed go.

    Args:
        boxes_xyxy: `(N, 4)` pixels.
        scores: `(N,)`, higher is better; of equal scores the earlier box wins.
        labels: `(N,)` class indices; boxes of different classes do not suppress each other.
        iou_threshold: a box goes when its IoU with a kept one is above this, 0..1.
        max_detections: at most so many are kept.

    Returns:
        `(K,)` int64 indices of the kept boxes, best first.
    """
    boxes = check_boxes(boxes_xyxy)
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != (len(boxes),) or labels.shape != (len(boxes),):
        raise InvalidInput(
            f"expected one score and one label for each of {len(boxes)} boxes, got shapes {scores.shape} and {labels.shape}"
        )
    order = np.argsort(-scores, kind="stable")
    kept = np.zeros(len(boxes), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        kept[members[_suppress_one_class(boxes[members], iou_threshold, max_detections)]] = True
    return order[kept[order]][:max_detections]


def check_boxes(boxes_xyxy: Any, dtype: type[np.floating[Any]] = np.float32) -> np.ndarray[Any, Any]:
    """`boxes_xyxy` as `(N, 4)` of `dtype`; an empty list is `(0, 4)`. Raises: InvalidInput for another shape."""
    boxes = np.asarray(boxes_xyxy, dtype)
    if boxes.size == 0 and boxes.ndim <= 2:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InvalidInput(f"expected boxes (N, 4) as x_min, y_min, x_max, y_max, got shape {boxes.shape}; reshape them")
    return boxes


def _shared_length(starts: Floats, ends: Floats, other_starts: Floats, other_ends: Floats) -> Floats:
    """`(N, M)` length that interval n shares with interval m."""
    shared = np.minimum(ends[:, None], other_ends)
    shared -= np.maximum(starts[:, None], other_starts)
    return np.maximum(shared, 0, out=shared)


def _suppress_one_class(boxes: Floats, iou_threshold: float, max_detections: int) -> Indices:
    """Positions kept among boxes of one class, sorted best first.

    Block by block: what earlier blocks kept strikes out its rivals in the block by one matrix of IoUs, then the block settles
    within itself by another. A block costs a few vector operations, and what comes after `max_detections` costs nothing.
    """
    kept = np.empty(0, np.int64)
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        if len(kept):
            block = block[(box_iou(boxes[kept], boxes[block]) <= iou_threshold).all(axis=0)]
        rivals = box_iou(boxes[block], boxes[block]) > iou_threshold
        standing = np.ones(len(block), bool)
        for position in np.flatnonzero(np.triu(rivals, 1).any(axis=1)):  # only rows that strike somebody out
            if standing[position]:
                standing[position + 1 :] &= ~rivals[position, position + 1 :]
        kept = np.concatenate([kept, block[standing]])[:max_detections]
        if len(kept) == max_detections:
            break
    return kept
