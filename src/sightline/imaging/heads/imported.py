"""Decode heads that our own networks do not need, but imported ones do: `scored_boxes`, `prior_boxes`, `label_map`.

They differ in how much the graph has done itself: boxes ready to use, boxes relative to priors, or a class for every pixel.
"""

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
from sightline.imaging.masks import label_map_to_annotations
from sightline.imaging.resizing import Placement

ORDERS = {"xyxy": (0, 1, 2, 3), "yxyx": (1, 0, 3, 2), "cxcywh": (0, 1, 2, 3)}
ACTIVATIONS = ("none", "softmax", "sigmoid")
DEFAULT_VARIANCES = (0.1, 0.1, 0.2, 0.2)  # Liu et al.'s own code: centres, sizes
MAX_LOG_SIZE = 20.0  # exp of it is 5e8 priors: beyond any picture, and its area still fits a float32


def decode_scored_boxes(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Boxes and class probabilities as the graph returns them; only non-maximum suppression is left to do.

    Outputs: scores `(N, P, C)`, 0..1, and boxes `(N, P, 4)`. Parameters: "normalised" (default True: shares 0..1 of the input;
    False: its pixels); "order" of a box: "xyxy" (default), "yxyx" or "cxcywh"; "background": index of the class that is none,
    left out of the categories, or None (default); "candidates" (default 1000).
    """
    scores, boxes = _check_scored(spec, arrays, len(categories))
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for image, placement in enumerate(placements):
        foreground = _leave_background_out(scores[image], _read_background(spec))
        places, labels, confidences = _choose_places(foreground, threshold, most)
        corners = to_input_corners(spec, boxes[image][places], placement, order="xyxy", is_normalised=True)
        predictions.append(settle_boxes(spec, corners, confidences, labels, placement=placement, categories=categories))
    return predictions


def decode_prior_boxes(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode SSD (Liu et al. 2016, eq. 2): offsets from prior boxes, in units of the priors' size and of the variances.

    Outputs: offsets `(N, P, 4)` or `(N, 4 P)`, and class scores `(N, P, C)` or `(N, C P)`. centre = prior centre +
    offset * variance * prior size; size = prior size * exp(offset * variance).

    Parameters: "priors": P boxes xyxy in shares 0..1 of the input; "variances": 4 (default 0.1, 0.1, 0.2, 0.2);
    "activation": what turns the scores into probabilities: "none" (default), "softmax" or "sigmoid"; "background": index of the
    class that is none, left out of the categories, or None (default); "candidates" (default 1000).
    """
    priors = spec.parameters.get("priors", ())
    offsets, scores = _check_offsets(spec, arrays, len(priors), len(categories))
    variances = np.array(spec.parameters.get("variances", DEFAULT_VARIANCES), np.float32).reshape(4)
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for image, placement in enumerate(placements):
        rows, foreground = _activate(spec, scores[image], threshold)
        places, labels, confidences = _choose_places(foreground, threshold, most)
        places = rows[places]
        chosen = np.array([priors[place] for place in places.tolist()], np.float32).reshape(-1, 4)  # few of thousands
        boxes = _apply_offsets(chosen, offsets[image][places] * variances) * find_input_size(placement)
        predictions.append(settle_boxes(spec, boxes, confidences, labels, placement=placement, categories=categories))
    return predictions


def decode_label_map(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """A class index per pixel, as the graph's own argmax gives it, to one mask per category present, of the source's size.

    Output: `(N, h, w)`, `(N, 1, h, w)` or `(N, h, w, 1)`. Every pixel of the source takes the index of the cell it lies in;
    indices that are no category's are unlabelled. The category that the parameter "background" names gives no mask. The
    confidence is 1.0 throughout, for such a network gives none: an argmax has forgotten it.
    """
    label_maps, background = _check_label_map(arrays), name_background(spec)
    return [
        label_map_to_annotations(_spread_labels(label_map, placement, len(categories)), categories, 1.0, "model", background)
        for label_map, placement in zip(label_maps, placements, strict=True)
    ]


def name_background(spec: DecodeSpec) -> str | None:
    """The category that the parameter "background" names, if there is one: it gives no mask."""
    background = spec.parameters.get("background")
    return None if background is None else str(background)


def to_input_corners(spec: DecodeSpec, boxes: Floats, placement: Placement, order: str, is_normalised: bool) -> Floats:
    """Boxes `(K, 4)` as the graph gives them to xyxy in pixels of the network's input.

    Args: order, is_normalised: what the parameters "order" and "normalised" are where the spec does not say.
    """
    stated = _choose(spec, "order", (order, *(other for other in ORDERS if other != order)))
    corners = boxes[:, ORDERS[stated]]
    if stated == "cxcywh":
        corners = centres_to_corners(corners[:, :2], corners[:, 2:])
    return corners * find_input_size(placement) if spec.parameters.get("normalised", is_normalised) else corners


def _choose_places(scores: Floats, threshold: float, most: int) -> tuple[Indices, Indices, Floats]:
    """Rows, columns and values of the at most `most` best of `(P, C)` at or above a threshold."""
    chosen = select_candidates(scores.ravel(), threshold, most)
    places, labels = np.divmod(chosen, scores.shape[1])
    return places, labels, scores.ravel()[chosen]


def _activate(spec: DecodeSpec, scores: Floats, threshold: float) -> tuple[Indices, Floats]:
    """Rows `(K,)` that may reach the threshold, and their foreground probabilities `(K, C)`, from scores `(P, C)`.

    With a softmax and a background, p >= t needs logit - background logit >= log(t / (1 - t)), for the other classes only make
    the denominator larger. So the exponentials are taken for a handful of rows.
    """
    background = _read_background(spec)
    activation = _choose(spec, "activation", ACTIVATIONS)
    rows = np.arange(len(scores))
    if activation == "softmax" and background is not None:
        lead = _leave_background_out(scores, background).max(axis=1) - scores[:, background]
        rows = np.flatnonzero(lead >= to_logit(threshold) - 1e-3)  # a margin: what only just passes is settled exactly
    chosen = scores[rows]
    if activation == "softmax":
        chosen = softmax(chosen)
    elif activation == "sigmoid":
        chosen = sigmoid(chosen)
    return rows, _leave_background_out(chosen, background)


def _apply_offsets(priors: Floats, offsets: Floats) -> Floats:
    """Move and scale priors `(K, 4)` xyxy by offsets `(K, 4)`, variances applied. Returns `(K, 4)` xyxy."""
    sizes = priors[:, 2:] - priors[:, :2]
    centres = np.float32(0.5) * (priors[:, :2] + priors[:, 2:]) + offsets[:, :2] * sizes
    return centres_to_corners(centres, np.exp(np.minimum(offsets[:, 2:], np.float32(MAX_LOG_SIZE))) * sizes)


def _spread_labels(label_map: Floats, placement: Placement, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Indices `(H, W)` at the source's pixels from those `(h, w)` of the network; what is no index becomes -1 or `count`."""
    height, width = label_map.shape
    y = (np.arange(placement.source_height) + 0.5) * placement.scale_y + placement.offset_y
    x = (np.arange(placement.source_width) + 0.5) * placement.scale_x + placement.offset_x
    rows = np.clip(np.floor(y * height / placement.input_height), 0, height - 1).astype(np.int64)
    columns = np.clip(np.floor(x * width / placement.input_width), 0, width - 1).astype(np.int64)
    labels = np.rint(np.clip(label_map, -1, count)).astype(np.int32)
    return np.asarray(labels[rows][:, columns])


def _leave_background_out(scores: Floats, background: int | None) -> Floats:
    return scores if background is None else np.ascontiguousarray(np.delete(scores, background, axis=1))


def _read_background(spec: DecodeSpec) -> int | None:
    background = spec.parameters.get("background")
    return None if background is None else int(background)


def _choose(spec: DecodeSpec, name: str, choices: Sequence[str]) -> str:
    """A parameter that is one of a few words, by default the first. Raises: InvalidInput."""
    value = str(spec.parameters.get(name, choices[0]))
    if value not in choices:
        raise InvalidInput(f"expected {name} to be one of {list(choices)}, got {value!r}; correct the decode spec")
    return value


def _count_classes(spec: DecodeSpec, category_count: int) -> int:
    """Classes the network scores: the categories, and the background where it has one. Raises: InvalidInput."""
    background = _read_background(spec)
    classes = category_count + (background is not None)
    if background is not None and not 0 <= background < classes:
        raise InvalidInput(f"expected a background of 0..{classes - 1}, got {background}; correct the decode spec")
    return classes


def _check_scored(spec: DecodeSpec, arrays: Sequence[Floats], category_count: int) -> tuple[Floats, Floats]:
    classes = _count_classes(spec, category_count)
    count = arrays[0].shape[1] if arrays and arrays[0].ndim == 3 else 0
    if [array.shape[1:] for array in arrays] != [(count, classes), (count, 4)]:
        raise InvalidInput(
            f"expected scores (N, P, {classes}) and boxes (N, P, 4), got {[array.shape for array in arrays]}; "
            "correct the decode spec or the categories"
        )
    return arrays[0], arrays[1]


def _check_offsets(spec: DecodeSpec, arrays: Sequence[Floats], count: int, category_count: int) -> tuple[Floats, Floats]:
    """Offsets as `(N, P, 4)` and scores as `(N, P, C)`. Raises: InvalidInput."""
    classes = _count_classes(spec, category_count)
    wanted = [(count, 4), (count, classes)]
    shapes = [array.shape[1:] for array in arrays]
    if len(shapes) != 2 or any(shape not in (pair, (pair[0] * pair[1],)) for shape, pair in zip(shapes, wanted, strict=True)):
        raise InvalidInput(
            f"expected offsets (N, P, 4) and scores (N, P, {classes}), flat or not, for P = {count} priors, "
            f"got {[array.shape for array in arrays]}; correct the decode spec or the categories"
        )
    offsets, scores = (array.reshape(len(array), *pair) for array, pair in zip(arrays, wanted, strict=True))
    return offsets, scores


def _check_label_map(arrays: Sequence[Floats]) -> Floats:
    """The one output as `(N, h, w)`. Raises: InvalidInput."""
    labels: np.ndarray[Any, Any] = arrays[0] if len(arrays) == 1 else np.empty(0, np.float32)
    if labels.ndim == 4 and 1 in (labels.shape[1], labels.shape[3]):
        labels = labels[:, 0] if labels.shape[1] == 1 else labels[..., 0]
    if labels.ndim != 3 or 0 in labels.shape[1:]:
        raise InvalidInput(
            f"expected one output of class indices (N, h, w), (N, 1, h, w) or (N, h, w, 1), "
            f"got {[array.shape for array in arrays]}; correct the decode spec"
        )
    return labels
