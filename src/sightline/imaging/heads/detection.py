"""Decode heads that give boxes: `anchor_free` (our own detector) and `region_boxes` (Faster R-CNN).

Both look at class scores first, keep the few candidates above the threshold, and only then compute boxes: a picture has tens of
thousands of (place, class) pairs, of which a handful matter.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.boxes import Indices, box_area, suppress_boxes, vote_boxes
from sightline.imaging.resizing import Placement

Floats = np.ndarray[Any, np.dtype[np.float32]]
DEFAULT_CANDIDATES = 1000
REGION_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # Ren et al. 2015, as torchvision's RoIHeads sets them
MAX_LOG_SIZE = math.log(1000.0 / 16)  # largest growth of a proposal: torchvision's BoxCoder.bbox_xform_clip
MIN_SIDE_PX = 0.01  # thinner boxes are dropped: torchvision's remove_small_boxes(1e-2)


def decode_anchor_free(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode a detector that says at every cell how far the box's sides are (FCOS, Tian et al. 2019, eq. 1).

    For each stride s of the parameter "strides" the outputs are class logits `(N, C, H/s, W/s)` and raw sides
    `(N, 4, H/s, W/s)`. softplus(raw) * s * side_scale are the distances left, top, right, bottom from the cell's centre
    ((x + 0.5) s, (y + 0.5) s), input pixels; sigmoid(logit) is the confidence. Parameters: "strides", "side_scale"
    (default 1), "candidates" (default 1000), "votes": "voters", "share", "spread" and "faintest" of `boxes.vote_boxes`, or null
    (default) for none.
    """
    strides, side_scale, most = read_anchor_free(spec)
    _check_levels(arrays, strides, len(categories))
    votes: dict[str, Any] | None = spec.parameters.get("votes")
    # Who votes must not depend on the threshold that is asked for.
    least = threshold if votes is None else min(threshold, float(votes["faintest"]))
    predictions = []
    for image, placement in enumerate(placements):
        levels = [(scores[image], sides[image]) for scores, sides in zip(arrays[0::2], arrays[1::2], strict=True)]
        found = find_candidates(levels, strides, side_scale, least, most)
        candidates = (found.boxes, found.confidences, found.labels)
        if votes is None:
            predictions.append(settle_boxes(spec, *candidates, placement=placement, categories=categories))
        else:
            predictions.append(
                _settle_by_votes(spec, votes, *candidates, placement=placement, categories=categories, threshold=threshold)
            )
    return predictions


class Candidates(NamedTuple):
    """K cells of one picture that may show an object.

    Attributes:
        boxes: `(K, 4)` xyxy input pixels.
        confidences: `(K,)` 0..1.
        labels: `(K,)` class indices.
        levels, cells: `(K,)` which level, and which of its cells, counted along the rows.
    """

    boxes: Floats
    confidences: Floats
    labels: Indices
    levels: Indices
    cells: Indices


def read_anchor_free(spec: DecodeSpec) -> tuple[list[int], float, int]:
    """The parameters "strides", "side_scale" and "candidates"."""
    strides = [int(stride) for stride in spec.parameters["strides"]]
    return (
        strides,
        float(spec.parameters.get("side_scale", 1.0)),
        int(spec.parameters.get("candidates", DEFAULT_CANDIDATES)),
    )


def find_candidates(
    levels: Sequence[tuple[Floats, Floats]], strides: Sequence[int], side_scale: float, threshold: float, most: int
) -> Candidates:
    """The at most `most` best (cell, class) pairs of one picture at or above a threshold, 0..1.

    Args: levels: for each stride class logits `(C, h, w)` and raw sides `(4, h, w)`.
    """
    logits, labels, boxes, places = [], [], [], []
    for (scores, sides), stride in zip(levels, strides, strict=True):
        chosen = select_candidates(scores.ravel(), to_logit(threshold), most)
        chosen_labels, cells = np.divmod(chosen, scores[0].size)
        logits.append(scores.ravel()[chosen])
        labels.append(chosen_labels)
        boxes.append(_decode_cells(sides.reshape(4, -1)[:, cells], cells, scores.shape[2], stride, side_scale))
        places.append(cells)
    all_logits = np.concatenate(logits)
    owners = np.repeat(np.arange(len(places)), [len(cells) for cells in places])
    best = select_candidates(all_logits, -math.inf, most)
    return Candidates(
        np.concatenate(boxes)[best],
        sigmoid(all_logits[best]),
        np.concatenate(labels)[best],
        owners[best],
        np.concatenate(places)[best],
    )


def decode_region_boxes(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode the second stage of Faster R-CNN (Ren et al. 2015, eq. 2), as torchvision's RoIHeads does.

    Outputs: proposals `(N, R, 4)` xyxy input pixels; class logits `(N, R, C + 1)`, background first; deltas
    `(N, R, 4 (C + 1))`, dx, dy, dw, dh per class, scaled by the parameter "weights" (default 10, 10, 5, 5). Further
    parameter: "candidates".
    """
    proposals, logits, deltas = _check_regions(arrays, len(categories))
    weights = np.array(spec.parameters.get("weights", REGION_WEIGHTS), np.float32)
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for image, placement in enumerate(placements):
        scores = softmax(logits[image])
        foreground = np.ascontiguousarray(scores[:, 1:]).ravel()  # (R, C) -> (R * C)
        chosen = select_candidates(foreground, threshold, most)
        regions, labels = np.divmod(chosen, len(categories))
        chosen_deltas = deltas[image].reshape(-1, len(categories) + 1, 4)[regions, labels + 1] / weights
        boxes = placement.boxes_to_source(_apply_deltas(proposals[image][regions], chosen_deltas))
        predictions.append(_settle_source(spec, placement.clip_to_source(boxes), foreground[chosen], labels, categories))
    return predictions


def _decode_cells(raw_sides: Floats, cells: Indices, grid_width: int, stride: int, side_scale: float) -> Floats:
    """Boxes `(K, 4)` in input pixels from raw sides `(4, K)` of cells `(K,)` counted along the rows."""
    sides = np.logaddexp(np.float32(0), raw_sides) * np.float32(stride * side_scale)  # softplus, without overflow
    rows, columns = np.divmod(cells, grid_width)
    x = (columns + np.float32(0.5)) * np.float32(stride)
    y = (rows + np.float32(0.5)) * np.float32(stride)
    return np.stack([x - sides[0], y - sides[1], x + sides[2], y + sides[3]], axis=1).astype(np.float32)


def _apply_deltas(proposals: Floats, deltas: Floats) -> Floats:
    """Move and scale proposals `(K, 4)` xyxy by deltas `(K, 4)` dx, dy, dw, dh. Returns `(K, 4)` xyxy."""
    sizes = proposals[:, 2:] - proposals[:, :2]
    centres = proposals[:, :2] + 0.5 * sizes
    new_centres = centres + deltas[:, :2] * sizes
    return centres_to_corners(new_centres, np.exp(np.minimum(deltas[:, 2:], np.float32(MAX_LOG_SIZE))) * sizes)


def select_candidates(scores: Floats, threshold: float, most: int) -> Indices:
    """Indices of the at most `most` best scores `(K,)` at or above a threshold, in rising order of index."""
    chosen = np.flatnonzero(scores >= threshold)
    if len(chosen) > most:
        chosen = np.sort(chosen[np.argpartition(-scores[chosen], most)[:most]])
    return chosen


def settle_boxes(
    spec: DecodeSpec, boxes: Floats, confidences: Floats, labels: Indices, *, placement: Placement, categories: Categories
) -> list[Annotation]:
    """Suppress in input pixels, then carry the boxes that stay to the source and cut them at its edges."""
    kept = suppress_boxes(boxes, confidences, labels, spec.iou_threshold, spec.max_detections)
    source_boxes = placement.clip_to_source(placement.boxes_to_source(boxes[kept]))
    return list_annotations(source_boxes, confidences[kept], labels[kept], categories)


def _settle_by_votes(
    spec: DecodeSpec,
    votes: dict[str, Any],
    boxes: Floats,
    confidences: Floats,
    labels: Indices,
    *,
    placement: Placement,
    categories: Categories,
    threshold: float,
) -> list[Annotation]:
    """Suppress in input pixels, let the suppressed vote, and go on as `settle_boxes` with what is still sure enough."""
    sure = np.flatnonzero(confidences >= threshold)  # fainter ones only vote: they could suppress none of these
    kept = sure[suppress_boxes(boxes[sure], confidences[sure], labels[sure], spec.iou_threshold, spec.max_detections)]
    voted, support = vote_boxes(kept, boxes, confidences, labels, iou_threshold=spec.iou_threshold, **votes)
    order = np.argsort(-support, kind="stable")
    order = order[support[order] >= threshold]
    source_boxes = placement.clip_to_source(placement.boxes_to_source(voted[order]))
    return list_annotations(source_boxes, support[order], labels[kept[order]], categories)


def _settle_source(
    spec: DecodeSpec, boxes: Floats, confidences: Floats, labels: Indices, categories: Categories
) -> list[Annotation]:
    """Suppress boxes that are in the source and cut already, as torchvision does: thin ones leave first."""
    wide = np.flatnonzero(((boxes[:, 2:] - boxes[:, :2]) >= MIN_SIDE_PX).all(axis=1))
    kept = wide[suppress_boxes(boxes[wide], confidences[wide], labels[wide], spec.iou_threshold, spec.max_detections)]
    return list_annotations(boxes[kept], confidences[kept], labels[kept], categories)


def list_annotations(boxes: Floats, confidences: Floats, labels: Indices, categories: Categories) -> list[Annotation]:
    """Annotations of boxes that have an area, in the given order."""
    return [
        Annotation(
            category=categories[label],
            box_xyxy=(x_min, y_min, x_max, y_max),
            confidence=min(1.0, confidence),
            origin="model",
        )
        for (x_min, y_min, x_max, y_max), confidence, label, area in zip(
            boxes.tolist(), confidences.tolist(), labels.tolist(), box_area(boxes).tolist(), strict=True
        )
        if area > 0
    ]


def find_input_size(placement: Placement) -> Floats:
    """Width, height, width, height of the network's input, pixels: `(4,)`, to multiply boxes in shares of it with."""
    return np.array([placement.input_width, placement.input_height] * 2, np.float32)


def centres_to_corners(centres: Floats, sizes: Floats) -> Floats:
    """Boxes `(K, 4)` xyxy from centres `(K, 2)` and sizes `(K, 2)`."""
    halves = sizes / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)) of any shape, without overflow."""
    return np.asarray(np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits)))


def softmax(logits: Floats) -> Floats:
    """Probabilities `(K, C)` over the last axis of logits `(K, C)`, without overflow."""
    probabilities: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def to_logit(confidence: float) -> float:
    """The logit whose sigmoid is `confidence`: comparing logits spares an exponential per place and class."""
    if confidence <= 0:
        return -math.inf
    return math.inf if confidence >= 1 else math.log(confidence / (1 - confidence))


def _check_levels(arrays: Sequence[Floats], strides: Sequence[int], category_count: int) -> None:
    expected = [(category_count, 4)[index % 2] for index in range(2 * len(strides))]
    if [array.shape[1] if array.ndim == 4 else None for array in arrays] != expected or any(
        scores.shape[2:] != sides.shape[2:] for scores, sides in zip(arrays[0::2], arrays[1::2], strict=True)
    ):
        raise InvalidInput(
            f"expected class logits (N, {category_count}, h, w) and sides (N, 4, h, w) for each stride of {list(strides)}, "
            f"got {[array.shape for array in arrays]}; correct the decode spec or the categories"
        )


def _check_regions(arrays: Sequence[Floats], category_count: int) -> tuple[Floats, Floats, Floats]:
    classes = category_count + 1
    count = arrays[0].shape[1] if arrays and arrays[0].ndim == 3 else 0
    expected = [(count, 4), (count, classes), (count, 4 * classes)]
    if [array.shape[1:] for array in arrays] != expected:
        raise InvalidInput(
            f"expected proposals (N, R, 4), logits (N, R, {classes}) and deltas (N, R, {4 * classes}), "
            f"got {[array.shape for array in arrays]}; correct the decode spec or the categories"
        )
    return arrays[0], arrays[1], arrays[2]
