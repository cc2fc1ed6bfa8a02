"""Decode heads: turn a network's raw outputs into annotations in source pixels.

A Model's graph ends before decoding, so that it stays static and quantises well; its DecodeSpec names one of the heads of
`HEADS` and the numbers it needs. A graph is never asked what its outputs mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import DecodeSpec, Task
from sightline.imaging.heads.annotation_tensors import ANNOTATIONS, read_annotation_tensor
from sightline.imaging.heads.detection import decode_anchor_free, decode_region_boxes, sigmoid, softmax
from sightline.imaging.heads.grids import decode_grid_objects, decode_yolo
from sightline.imaging.heads.imported import decode_label_map, decode_prior_boxes, decode_scored_boxes, name_background
from sightline.imaging.heads.instances import decode_anchor_free_masks
from sightline.imaging.heads.joined import decode_final_boxes, decode_joined_boxes
from sightline.imaging.heads.pictures import PICTURE
from sightline.imaging.masks import label_map_to_annotations
from sightline.imaging.ranking import find_smallest
from sightline.imaging.resizing import Placement

Floats = np.ndarray[Any, np.dtype[np.float32]]
Predictions = list[list[Annotation]]
DEFAULT_TOP = 5
RAW = "raw"  # not a head: what outputs are that nobody explained
TASK_OF_HEAD: dict[str, Task] = {
    "softmax": "classification",
    "probabilities": "classification",
    "sigmoid": "multilabel",
    "semantic": "semantic",
    "label_map": "semantic",
    "yolo": "detection",
    "scored_boxes": "detection",
    "prior_boxes": "detection",
    "joined_boxes": "detection",
    "final_boxes": "detection",
    "grid_objects": "detection",
    "anchor_free": "detection",
    "region_boxes": "detection",
    "anchor_free_masks": "instance",
    PICTURE: "image",
    RAW: "raw",
}


class NotANumber(InvalidInput):
    """Outputs that hold NaN, or an infinity where it leaves no probability: nothing can be read from them."""


def decode_outputs(
    spec: DecodeSpec,
    outputs: Mapping[str, np.ndarray[Any, Any]],
    placements: Sequence[Placement],
    categories: Categories,
    confidence_threshold: float | None = None,
) -> Predictions:
    """Decode a batch.

    Args:
        spec: head, names of its outputs, parameters, thresholds.
        outputs: arrays by output name, batch axis first.
        placements: how each picture lies in the network's input.
        categories: names of the class indices.
        confidence_threshold: drop predictions below it, 0..1; None takes the spec's. An evaluation passes a lower one.

    Returns:
        One list per picture, best first, `origin="model"`, in source pixels.

    Raises:
        NotFound: no such head, or an output is missing.
        Unsupported: outputs that nobody explained, or that are pictures.
        InvalidInput: an output of the wrong shape.
        NotANumber: NaN in an output; with softmax, probabilities or semantic also infinities that leave no probability.
    """
    if spec.head == RAW:
        raise Unsupported(
            f"expected a Model whose outputs are understood, got raw tensors {list(spec.outputs)}; import it with a `head`, "
            "or read the tensors with predict_raw"
        )
    if spec.head == PICTURE:
        raise Unsupported(
            "expected a Model that annotates, got one that answers with pictures; read them with "
            "imaging.heads.pictures.write_pictures, or serve it: POST /predict/NAME answers with the picture"
        )
    if spec.head not in (*HEADS, ANNOTATIONS):
        raise NotFound(f"expected a decode head of {sorted(HEADS)}, got {spec.head!r}; correct the decode spec")
    missing = [name for name in spec.outputs if name not in outputs]
    if missing:
        raise NotFound(f"expected the outputs {list(spec.outputs)}, got {sorted(outputs)}; correct the decode spec")
    threshold = spec.confidence_threshold if confidence_threshold is None else confidence_threshold
    if spec.head == ANNOTATIONS:
        return read_annotation_tensor(outputs[spec.outputs[0]], threshold)
    arrays = [np.asarray(outputs[name], np.float32) for name in spec.outputs]
    for name, array in zip(spec.outputs, arrays, strict=True):
        if array.ndim == 0 or len(array) != len(placements):
            raise InvalidInput(
                f"expected output {name} for {len(placements)} pictures, got shape {array.shape}; check the batch"
            )
        if array.size and np.isnan(array.max()):  # the largest of numbers with a NaN among them is NaN
            raise _refuse(name, "NaN")
    return HEADS[spec.head](spec, arrays, placements, categories, threshold)


def decode_softmax(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> Predictions:
    """One category per picture: logits `(N, C)` to the `top` (parameter, default 5) most probable categories.

    The best is given whatever its confidence, for a picture has one category; further ones when they reach the threshold.
    """
    logits = _check_logits(arrays, 2, categories)
    _check_largest(spec, logits.max(axis=1))
    return _rank_categories(spec, softmax(logits), categories, threshold)


def decode_probabilities(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> Predictions:
    """Like `softmax`, for a graph that ends with its own softmax: the output `(N, C)` is the distribution."""
    probabilities = _check_logits(arrays, 2, categories)
    _check_largest(spec, probabilities.max(axis=1))
    return _rank_categories(spec, probabilities, categories, threshold)


def _rank_categories(spec: DecodeSpec, probabilities: Floats, categories: Categories, threshold: float) -> Predictions:
    """The `top` most probable of `(N, C)`: the best always, further ones when they reach the threshold."""
    top = int(spec.parameters.get("top", DEFAULT_TOP))
    predictions = []
    for row in probabilities:
        best = find_smallest(-row, top)
        chosen = [int(index) for rank, index in enumerate(best) if rank == 0 or row[index] >= threshold]
        predictions.append([_label_image(categories[index], row[index]) for index in chosen])
    return predictions


def decode_sigmoid(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> Predictions:
    """Any number of categories per picture: logits `(N, C)` to all categories whose sigmoid reaches the threshold.

    With the parameter "activated" the outputs are sigmoids already.
    """
    values = _check_logits(arrays, 2, categories)
    probabilities = values if spec.parameters.get("activated", False) else sigmoid(values)
    return [
        [
            _label_image(categories[int(index)], row[index])
            for index in np.argsort(-row, kind="stable")
            if row[index] >= threshold
        ]
        for row in probabilities
    ]


def decode_semantic(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> Predictions:
    """A category per pixel: logits `(N, C, h, w)` to one mask per category present, in the size of the source.

    The logits are interpolated straight onto the source's pixels, letterbox left out, and the largest wins. A mask's confidence
    is the mean, over its pixels, of the winner's probability in the network's own resolution. The category that the parameter
    "background" names gives no mask.
    """
    logits = _check_logits(arrays, 4, categories)
    _check_largest(spec, logits.max(axis=1))
    background = name_background(spec)
    predictions = []
    for image_logits, placement in zip(logits, placements, strict=True):
        label_map, certainty = _resample_semantic(image_logits, placement)
        counts = np.bincount(label_map.ravel(), minlength=len(categories))
        sums = np.bincount(label_map.ravel(), weights=certainty.ravel(), minlength=len(categories))
        confidence = {categories[int(label)]: float(sums[label] / counts[label]) for label in np.flatnonzero(counts)}
        annotations = label_map_to_annotations(label_map, categories, confidence, origin="model", background=background)
        kept = [annotation for annotation in annotations if confidence[annotation.category] >= threshold]
        predictions.append(sorted(kept, key=lambda annotation: -confidence[annotation.category]))
    return predictions


def _resample_semantic(logits: Floats, placement: Placement) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], Floats]:
    """Winning class `(H, W)` uint16 and its probability `(H, W)` at the source's pixels, from logits `(C, h, w)`.

    Source pixel x has its centre at x + 0.5, which lies at u = ((x + 0.5) * scale + offset) * w / input_width - 0.5 on the grid
    of the logits. One class after another keeps a running maximum, so memory does not grow with the number of classes.
    """
    height, width = logits.shape[1:]
    grid_x, grid_y = width / placement.input_width, height / placement.input_height
    to_grid = np.array(
        [
            [placement.scale_x * grid_x, 0, (0.5 * placement.scale_x + placement.offset_x) * grid_x - 0.5],
            [0, placement.scale_y * grid_y, (0.5 * placement.scale_y + placement.offset_y) * grid_y - 0.5],
        ]
    )
    size = (placement.source_width, placement.source_height)

    def resample(plane: Floats) -> Floats:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(plane, to_grid, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)

    first, *others = _find_contenders(logits)
    label_map = np.full(size[::-1], first, np.uint16)
    best = resample(logits[first])
    for label in others:
        plane = resample(logits[label])
        label_map[plane > best] = label
        np.maximum(best, plane, out=best)
    shifted = logits - logits.max(axis=0)
    certainty = 1.0 / np.exp(shifted, out=shifted).sum(axis=0)
    return label_map, resample(certainty)


def _find_contenders(logits: Floats) -> list[int]:
    """Classes that can win at some pixel, from logits `(C, h, w)`; the others need no resampling.

    Between four cells the interpolated logit lies between their least and their largest. A class whose largest is below some
    other class's least, around every pixel, never wins; in a street scene that is most classes.
    """
    four = np.ones((2, 2), np.uint8)
    floor = np.max([cv2.erode(plane, four) for plane in logits], axis=0)
    return [label for label, plane in enumerate(logits) if (cv2.dilate(plane, four) >= floor).any()]


def _check_logits(arrays: Sequence[Floats], dimensions: int, categories: Categories) -> Floats:
    """The one array of a head, class axis second; `(N, C, 1, 1)` and `(N, 1, 1, C)` serve as `(N, C)`. Raises: InvalidInput."""
    logits: np.ndarray[Any, Any] = arrays[0] if len(arrays) == 1 else np.empty(0, np.float32)
    if dimensions == 2 and logits.ndim == 4 and (logits.shape[2:] == (1, 1) or logits.shape[1:3] == (1, 1)):
        logits = logits.reshape(len(logits), max(logits.shape[1:]))
    if logits.ndim != dimensions or logits.shape[1] != len(categories):
        wanted = "(N, C)" if dimensions == 2 else "(N, C, h, w)"
        raise InvalidInput(
            f"expected one output of logits {wanted} with C = {len(categories)} categories, got {[a.shape for a in arrays]}; "
            "correct the decode spec or the categories"
        )
    return logits


def _check_largest(spec: DecodeSpec, largest: Floats) -> None:
    """Raises: NotANumber where the largest over the classes is infinite: a softmax of +inf, or of -inf alone, is NaN."""
    if not np.isfinite(largest).all():
        raise _refuse(spec.outputs[0], "infinity")


def _refuse(name: str, got: str) -> NotANumber:
    return NotANumber(f"expected numbers in the output {name} of the network, got {got}; the network fails on this input")


def _label_image(category: str, confidence: float) -> Annotation:
    return Annotation(category=category, confidence=min(1.0, float(confidence)), origin="model")


Decoder = Callable[[DecodeSpec, Sequence[Floats], Sequence[Placement], Categories, float], Predictions]

HEADS: dict[str, Decoder] = {
    "softmax": decode_softmax,
    "probabilities": decode_probabilities,
    "sigmoid": decode_sigmoid,
    "semantic": decode_semantic,
    "label_map": decode_label_map,
    "anchor_free": decode_anchor_free,
    "region_boxes": decode_region_boxes,
    "anchor_free_masks": decode_anchor_free_masks,
    "yolo": decode_yolo,
    "grid_objects": decode_grid_objects,
    "scored_boxes": decode_scored_boxes,
    "prior_boxes": decode_prior_boxes,
    "joined_boxes": decode_joined_boxes,
    "final_boxes": decode_final_boxes,
}
