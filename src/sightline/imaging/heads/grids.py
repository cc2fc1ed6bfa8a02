"""Decode heads for detectors that speak cell by cell: `yolo` (Darknet's families) and `grid_objects` (FastestDet).

A cell's objectness bounds the confidence of all its classes. So objectness is looked at first, and only the few cells that pass
are read further: a picture has tens of thousands of cells with up to a hundred numbers each.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.boxes import Indices
from sightline.imaging.heads.detection import (
    DEFAULT_CANDIDATES,
    Floats,
    centres_to_corners,
    find_input_size,
    select_candidates,
    settle_boxes,
    sigmoid,
    softmax,
    to_logit,
)
from sightline.imaging.resizing import Placement

CLASS_RULES = {"softmax": softmax, "sigmoid": sigmoid}
MAX_LOG_SIZE = 20.0  # exp of it is 5e8 anchors: beyond any picture, and its area still fits a float32
OBJECTNESS_POWER, CLASS_POWER = 0.6, 0.4  # FastestDet's own post-processing


def decode_yolo(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode YOLO v2, v3, v4 and scaled v4 (Redmon & Farhadi 2017 §2 and 2018 §2.1; Bochkovskiy et al. 2020 §3.4).

    Each output is the raw map `(N, A (5 + C), h, w)` of a scale: x, y, w, h, objectness and C classes for each of A anchors. A
    cell (column, row) means the box with centre ((sigmoid(x) s - (s - 1) / 2 + column) / w, the same for y) and size
    exp(w) times the anchor's. Confidence = objectness times probability of the class.

    Parameters: "anchors": for each scale a list of (width, height) in pixels of the input; "scale_x_y": s, one number or one
    for each scale (default 1); "class_rule": "sigmoid" (default; v3, v4) or "softmax" (v2); "new_coords" (default False): the
    network has applied its sigmoids itself, and sizes are (2 w)^2 anchors; "candidates" (default 1000).
    """
    anchors = _read_anchors(spec)
    _check_maps(arrays, [len(one) for one in anchors], len(categories))
    scales = _read_scales(spec, len(anchors))
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for image, placement in enumerate(placements):
        found = [
            _decode_scale(
                spec, array[image], anchors=sizes, scale_xy=scale_xy, placement=placement, threshold=threshold, most=most
            )
            for array, sizes, scale_xy in zip(arrays, anchors, scales, strict=True)
        ]
        boxes, confidences, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
        best = select_candidates(confidences, threshold, most)
        predictions.append(
            settle_boxes(spec, boxes[best], confidences[best], labels[best], placement=placement, categories=categories)
        )
    return predictions


def decode_grid_objects(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode FastestDet (github.com/dog-qiuqiu/FastestDet): one object per cell, sizes as shares of the whole picture.

    Output: `(N, 5 + C, h, w)`: objectness, x, y, w, h, and C classes; objectness and classes are probabilities already, by the
    graph's own sigmoid and softmax. Centre ((tanh(x) + column) / w, (tanh(y) + row) / h) and size (sigmoid(w), sigmoid(h)), in
    shares of the input. Confidence = objectness^0.6 times class^0.4, of a cell's best class only. Parameters:
    "objectness_power" (default 0.6), "class_power" (default 0.4), "candidates" (default 1000).
    """
    _check_maps(arrays, [1], len(categories))
    objectness_power = float(spec.parameters.get("objectness_power", OBJECTNESS_POWER))
    class_power = float(spec.parameters.get("class_power", CLASS_POWER))
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for raw, placement in zip(arrays[0], placements, strict=True):
        height, width = raw.shape[1:]
        values = np.maximum(raw.reshape(len(raw), -1), 0)  # (5 + C, h * w); rounding may leave a probability below 0
        labels = values[5:].argmax(axis=0)
        classes = np.take_along_axis(values[5:], labels[None], axis=0)[0]
        confidences = values[0] ** np.float32(objectness_power) * classes ** np.float32(class_power)
        cells = select_candidates(confidences, threshold, most)
        x, y, box_width, box_height = raw.reshape(len(raw), -1)[1:5, cells]
        rows, columns = np.divmod(cells, width)
        centres = np.stack([(np.tanh(x) + columns) / width, (np.tanh(y) + rows) / height], axis=1)
        sizes = np.stack([sigmoid(box_width), sigmoid(box_height)], axis=1)
        boxes = centres_to_corners(centres, sizes) * find_input_size(placement)
        predictions.append(
            settle_boxes(spec, boxes, confidences[cells], labels[cells], placement=placement, categories=categories)
        )
    return predictions


def _decode_scale(
    spec: DecodeSpec, raw: Floats, *, anchors: Floats, scale_xy: float, placement: Placement, threshold: float, most: int
) -> tuple[Floats, Floats, Indices]:
    """Boxes `(K, 4)` xyxy input pixels, confidences `(K,)` and labels `(K,)` of one picture's map `(A (5 + C), h, w)`."""
    height, width = raw.shape[1:]
    activated = bool(spec.parameters.get("new_coords", False))
    cells = raw.reshape(len(anchors), -1, height * width)  # (A, 5 + C, h * w)
    objectness = cells[:, 4]
    kept_anchors, kept_cells = np.nonzero(objectness >= (threshold if activated else to_logit(threshold)))
    values = cells[kept_anchors, :, kept_cells]  # (K, 5 + C)
    scores = values[:, 4:5] * values[:, 5:] if activated else sigmoid(values[:, 4:5]) * _find_class_rule(spec)(values[:, 5:])
    chosen = select_candidates(scores.ravel(), threshold, most)
    places, labels = np.divmod(chosen, scores.shape[1])
    rows, columns = np.divmod(kept_cells[places], width)
    offsets, sizes = _activate_boxes(values[places, :4], activated)
    centres = offsets * np.float32(scale_xy) - np.float32((scale_xy - 1) / 2) + np.stack([columns, rows], axis=1)
    strides = find_input_size(placement)[:2] / np.array([width, height], np.float32)
    boxes = centres_to_corners(centres * strides, sizes * anchors[kept_anchors[places]])
    return boxes, scores.ravel()[chosen], labels


def _activate_boxes(values: Floats, activated: bool) -> tuple[Floats, Floats]:
    """Offsets within the cell `(K, 2)` and sizes in anchors `(K, 2)` from x, y, w, h `(K, 4)`."""
    if activated:
        return values[:, :2], np.square(2 * values[:, 2:])
    return sigmoid(values[:, :2]), np.exp(np.minimum(values[:, 2:], np.float32(MAX_LOG_SIZE)))


def _find_class_rule(spec: DecodeSpec) -> Any:
    name = spec.parameters.get("class_rule", "sigmoid")
    if name not in CLASS_RULES:
        raise InvalidInput(f"expected a class_rule of {sorted(CLASS_RULES)}, got {name!r}; correct the decode spec")
    return CLASS_RULES[name]


def _read_anchors(spec: DecodeSpec) -> list[Floats]:
    """The parameter "anchors" as one `(A, 2)` array a scale. Raises: InvalidInput."""
    given = spec.parameters.get("anchors")
    try:
        anchors = [np.array(one, np.float32).reshape(len(one), 2) for one in given or ()]
    except (TypeError, ValueError):
        anchors = []
    if not anchors or not all(len(one) and np.isfinite(one).all() and (one > 0).all() for one in anchors):
        raise InvalidInput(
            f"expected anchors as a list of (width, height) for each scale, got {given!r}; correct the decode spec"
        )
    return anchors


def _read_scales(spec: DecodeSpec, count: int) -> list[float]:
    """The parameter "scale_x_y" as one number a scale. Raises: InvalidInput."""
    given = spec.parameters.get("scale_x_y", 1.0)
    scales = [float(given)] * count if isinstance(given, int | float) else [float(one) for one in given]
    if len(scales) != count or not all(math.isfinite(one) for one in scales):
        raise InvalidInput(f"expected scale_x_y to be one number or {count}, got {given!r}; correct the decode spec")
    return scales


def _check_maps(arrays: Sequence[Floats], anchor_counts: Sequence[int], category_count: int) -> None:
    expected = [count * (5 + category_count) for count in anchor_counts]
    if [array.shape[1] if array.ndim == 4 else None for array in arrays] != expected:
        raise InvalidInput(
            f"expected maps (N, {expected}, h, w) for {list(anchor_counts)} anchors and {category_count} categories, "
            f"got {[array.shape for array in arrays]}; correct the decode spec or the categories"
        )
