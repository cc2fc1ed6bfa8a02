"""Decode heads of detectors that give all of a place in one output: `joined_boxes` and `final_boxes`.

YOLOv5, v8 and their successors are exported so. `joined_boxes` still holds every place and every class, `final_boxes` what the
graph itself has chosen.
"""

from collections.abc import Sequence

import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.boxes import Indices
from sightline.imaging.heads.detection import (
    DEFAULT_CANDIDATES,
    Floats,
    list_annotations,
    select_candidates,
    settle_boxes,
)
from sightline.imaging.heads.imported import to_input_corners
from sightline.imaging.resizing import Placement

BOX_NUMBERS = 4
FINAL_NUMBERS = 6


def decode_joined_boxes(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """A box and the probability of each class at every place; non-maximum suppression is left to do.

    Output: `(N, 4 + C, P)` (YOLOv8 and later), or `(N, P, 5 + C)` with an objectness behind the box, which every class is
    multiplied with (YOLOv5). Parameters: "axis" of the numbers of a place: 1 (default) or 2; "objectness" (default False);
    "order" of a box: "cxcywh" (default), "xyxy" or "yxyx"; "normalised" (default False: pixels of the input; True: shares of
    it); "candidates" (default 1000).
    """
    has_objectness = bool(spec.parameters.get("objectness", False))
    joined = _check_joined(spec, arrays, len(categories), has_objectness)
    most = int(spec.parameters.get("candidates", DEFAULT_CANDIDATES))
    predictions = []
    for values, placement in zip(joined, placements, strict=True):
        places, labels, confidences = _choose_places(values, has_objectness, threshold, most)
        boxes = to_input_corners(spec, values[:BOX_NUMBERS, places].T, placement, order="cxcywh", is_normalised=False)
        predictions.append(settle_boxes(spec, boxes, confidences, labels, placement=placement, categories=categories))
    return predictions


def decode_final_boxes(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Objects that the graph has chosen itself: nothing is left to suppress.

    Output `(N, K, 6)`: a box, its confidence and the index of its class (YOLOv10 and later, or an export with suppression
    inside); rows of confidence 0 fill it up. Parameters: "order": "xyxy" (default), "yxyx" or "cxcywh"; "normalised" (default
    False: pixels of the input; True: shares of it).
    """
    if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[2] != FINAL_NUMBERS:
        raise InvalidInput(
            f"expected one output (N, K, {FINAL_NUMBERS}) of boxes, confidences and classes, got "
            f"{[array.shape for array in arrays]}; correct the decode spec"
        )
    predictions = []
    for rows, placement in zip(arrays[0], placements, strict=True):
        shown = rows[(rows[:, 4] >= threshold) & (rows[:, 4] > 0)]
        shown = shown[np.argsort(-shown[:, 4], kind="stable")][: spec.max_detections]
        labels = _read_labels(shown[:, 5], len(categories))
        boxes = to_input_corners(spec, shown[:, :BOX_NUMBERS], placement, order="xyxy", is_normalised=False)
        source_boxes = placement.clip_to_source(placement.boxes_to_source(boxes))
        predictions.append(list_annotations(source_boxes, shown[:, 4], labels, categories))
    return predictions


def _choose_places(values: Floats, has_objectness: bool, threshold: float, most: int) -> tuple[Indices, Indices, Floats]:
    """Places, classes and confidences of the at most `most` best of `(4 + C, P)` at or above a threshold."""
    if not has_objectness:
        scores = values[BOX_NUMBERS:]
        chosen = select_candidates(scores.ravel(), threshold, most)
        labels, places = np.divmod(chosen, scores.shape[1])
        return places, labels, scores[labels, places]
    likely = np.flatnonzero(values[BOX_NUMBERS] >= threshold)  # no class can be surer than that there is an object
    scores = values[BOX_NUMBERS + 1 :, likely] * values[BOX_NUMBERS, likely]
    chosen = select_candidates(scores.ravel(), threshold, most)
    labels, places = np.divmod(chosen, max(1, len(likely)))
    return likely[places], labels, scores[labels, places]


def _check_joined(spec: DecodeSpec, arrays: Sequence[Floats], category_count: int, has_objectness: bool) -> Floats:
    """The output as `(N, 4 + C, P)` or `(N, 5 + C, P)`. Raises: InvalidInput."""
    axis = spec.parameters.get("axis", 1)
    if axis not in (1, 2):
        raise InvalidInput(f"expected axis to be 1 or 2, got {axis!r}; correct the decode spec")
    count = BOX_NUMBERS + has_objectness + category_count
    if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[axis] != count:
        wanted = f"(N, {count}, P)" if axis == 1 else f"(N, P, {count})"
        raise InvalidInput(
            f"expected one output {wanted} for {category_count} categories, got {[array.shape for array in arrays]}; "
            "correct the decode spec or the categories"
        )
    return arrays[0] if axis == 1 else arrays[0].transpose(0, 2, 1)


def _read_labels(values: Floats, category_count: int) -> Indices:
    """Class indices from the floats of the output. Raises: InvalidInput for one that is no category's."""
    labels = np.rint(values).astype(np.intp)
    if len(labels) and not 0 <= labels.min() <= labels.max() < category_count:
        raise InvalidInput(
            f"expected classes 0..{category_count - 1}, got {labels.min()}..{labels.max()}; give the categories the network "
            "was trained with"
        )
    return labels
