"""The decode head of our own instance segmenter, `anchor_free_masks`: boxes, and masks put together from prototypes.

Boxes come first, as the detector's head finds them, and suppression leaves at most `max_detections`. Only of these masks are
made, and of each only the part inside its box: products of prototypes at the network's resolution, interpolated straight onto
the source's pixels there. So the cost follows the area of what is found, and no mask is ever drawn as large as the picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy, MaskRle
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.boxes import Indices, suppress_boxes
from sightline.imaging.heads.detection import Floats, find_candidates, read_anchor_free
from sightline.imaging.masks import find_mask_box
from sightline.imaging.resizing import Placement
from sightline.imaging.rle import encode_patch

OUTPUTS_OF_LEVEL = 3


def decode_anchor_free_masks(
    spec: DecodeSpec, arrays: Sequence[Floats], placements: Sequence[Placement], categories: Categories, threshold: float
) -> list[list[Annotation]]:
    """Decode a detector that draws K prototypes and says of each object how much of each makes its mask.

    The masks are YOLACT's (Bolya et al. 2019, eq. 1). For each stride s of the parameter "strides" the outputs are class logits
    `(N, C, H/s, W/s)` and raw sides `(N, 4, H/s, W/s)`, which mean the same as of the head `anchor_free`, and raw coefficients
    `(N, K, H/s, W/s)`. The last output is the prototypes `(N, K, h, w)` over the whole input. A pixel belongs to an object if
    its centre lies in the object's box and sigmoid(sum over k of prototype_k tanh(coefficient_k)) is above 0.5 there. An object
    without such a pixel is dropped; the box that is given is drawn around the pixels of its mask. Parameters: "strides",
    "side_scale" (default 1), "candidates" (default 1000).
    """
    strides, side_scale, most = read_anchor_free(spec)
    _check_outputs(arrays, strides, len(categories))
    predictions = []
    for image, placement in enumerate(placements):
        *own, prototypes = (array[image] for array in arrays)
        levels = list(zip(own[0::OUTPUTS_OF_LEVEL], own[1::OUTPUTS_OF_LEVEL], strict=True))
        found = find_candidates(levels, strides, side_scale, threshold, most)
        kept = suppress_boxes(found.boxes, found.confidences, found.labels, spec.iou_threshold, spec.max_detections)
        coefficients = np.tanh(_read_coefficients(own[2::OUTPUTS_OF_LEVEL], found.levels[kept], found.cells[kept]))
        boxes = placement.clip_to_source(placement.boxes_to_source(found.boxes[kept]))
        annotations = []
        for box, weights, confidence, label in zip(
            boxes, coefficients, found.confidences[kept].tolist(), found.labels[kept].tolist(), strict=True
        ):
            drawn = _draw_mask(box, weights, prototypes, placement)
            if drawn is not None:
                annotations.append(
                    Annotation(
                        category=categories[label],
                        box_xyxy=drawn[0],
                        mask=drawn[1],
                        confidence=min(1.0, confidence),
                        origin="model",
                    )
                )
        predictions.append(annotations)
    return predictions


def _read_coefficients(maps: Sequence[Floats], levels: Indices, cells: Indices) -> Floats:
    """Raw coefficients `(O, K)` of O cells, from the maps `(K, h, w)` of the levels."""
    flat = [own.reshape(len(own), -1) for own in maps]
    rows = [flat[level][:, cell] for level, cell in zip(levels.tolist(), cells.tolist(), strict=True)]
    return np.array(rows, np.float32).reshape(len(rows), len(maps[0]))


def _draw_mask(
    box_xyxy: Floats, coefficients: Floats, prototypes: Floats, placement: Placement
) -> tuple[BoxXyxy, MaskRle] | None:
    """An object's bounds and mask in the source; None where no pixel belongs to it.

    Args:
        box_xyxy: `(4,)` source pixels, inside the picture.
        coefficients: `(K,)`.
        prototypes: `(K, h, w)`.
    """
    left, top, right, bottom = np.ceil(box_xyxy - 0.5).astype(int).tolist()  # from and to pixels whose centres lie inside
    if right <= left or bottom <= top:
        return None
    grid_height, grid_width = prototypes.shape[1:]
    rows = _find_cells(top, bottom, placement.scale_y, placement.offset_y, placement.input_height, grid_height)
    columns = _find_cells(left, right, placement.scale_x, placement.offset_x, placement.input_width, grid_width)
    part = prototypes[:, rows.before[0] : rows.after[-1] + 1, columns.before[0] : columns.after[-1] + 1]
    logits = np.tensordot(coefficients, part, 1)  # (K), (K, h, w) -> (h, w): only of the cells around the box
    logits = _mix(logits[rows.before - rows.before[0]], logits[rows.after - rows.before[0]], rows.shares[:, None])
    logits = _mix(logits[:, columns.before - columns.before[0]], logits[:, columns.after - columns.before[0]], columns.shares)
    patch = logits > 0  # its sigmoid is above 0.5
    bounds = find_mask_box(patch)
    if bounds is None:
        return None
    x_min, y_min, x_max, y_max = bounds
    mask = encode_patch(patch, left, top, placement.source_height, placement.source_width)
    return (x_min + left, y_min + top, x_max + left, y_max + top), mask


class _Cells(NamedTuple):
    """Where pixels of an axis lie on a grid: between the cells `before` and `after`, at `shares` of the way, 0..1."""

    before: Indices
    after: Indices
    shares: Floats


def _find_cells(first: int, last: int, scale: float, offset: float, input_size: int, grid_size: int) -> _Cells:
    """Cells around the source pixels from `first` up to `last`. Args: scale, offset: of the axis, as `Placement` has them."""
    centres = (np.arange(first, last) + 0.5) * scale + offset  # input pixels
    positions = np.clip(centres * grid_size / input_size - 0.5, 0, grid_size - 1)
    before = positions.astype(np.int64)
    return _Cells(before, np.minimum(before + 1, grid_size - 1), (positions - before).astype(np.float32))


def _mix(before: Floats, after: Floats, shares: Floats) -> Floats:
    return before + (after - before) * shares


def _check_outputs(arrays: Sequence[Floats], strides: Sequence[int], category_count: int) -> None:
    """Raises: InvalidInput unless there are scores, sides and coefficients of each stride, and prototypes."""
    shapes = [array.shape[1:] for array in arrays]
    count = shapes[-1][0] if shapes and len(shapes[-1]) == 3 else 0
    expected = [channels for _ in strides for channels in (category_count, 4, count)]
    fits = len(shapes) == len(expected) + 1 and count > 0 and all(len(shape) == 3 and 0 not in shape for shape in shapes)
    sizes = [shape[1:] for shape in shapes[:-1]]
    if (
        not fits
        or [shape[0] for shape in shapes[:-1]] != expected
        or any(size != sizes[place - place % OUTPUTS_OF_LEVEL] for place, size in enumerate(sizes))
    ):
        raise InvalidInput(
            f"expected class logits (N, {category_count}, h, w), sides (N, 4, h, w) and coefficients (N, K, h, w) for each "
            f"stride of {list(strides)}, and prototypes (N, K, h, w), got {[array.shape for array in arrays]}; correct the "
            "decode spec or the categories"
        )
