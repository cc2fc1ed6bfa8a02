"""How far two runs of one network differ: the measure behind "this engine computes what the reference computes".

A two-stage detector ranks its proposals inside the graph, and rounding alone decides between two of nearly equal score. So
proposals are compared as what they are, a set: each with the nearest one of the other run.
"""

import numpy as np

from sightline.core.manifests import DecodeSpec
from sightline.runtime.backend import Tensors

RANKED_HEADS = {"region_boxes"}  # outputs (N, R, ...), the first of them boxes, the best proposal first
CHOSEN_HEADS = {"final_boxes"}  # one output (N, K, 6) of boxes, confidences and classes that the graph has ranked and cut off
INDEX_HEADS = {"label_map"}  # outputs are class indices: 3 is no nearer to 4 than to 15, so the places that differ are counted
LEAST_SCALE = 1e-12  # of outputs that are all zero
CHOSEN_SHARE = 0.5  # of the threshold: objects that are fainter are as often in the list of one engine as not
CUT_SHARE = 0.01  # of the ranks, at the end: which proposals are just in and which just out is a matter of rounding too


def find_output_error(expected: Tensors, actual: Tensors, decode: DecodeSpec) -> float:
    """Largest difference over all outputs, relative to its largest magnitude; of class indices `find_index_error`.

    Args:
        expected: outputs of the reference, by name, batch first.
        actual: outputs of the other run for the same inputs.
        decode: of the Model; says whether the outputs are ranked, or class indices.

    Returns: 0 or above; infinite when shapes differ or a value is not finite.
    """
    if any(actual[name].shape != value.shape for name, value in expected.items()):
        return float("inf")
    if decode.head in INDEX_HEADS:
        return max((find_index_error(value, actual[name]) for name, value in expected.items()), default=0.0)
    if decode.head in CHOSEN_HEADS:
        name = decode.outputs[0]
        return find_chosen_error(expected[name], actual[name], CHOSEN_SHARE * decode.confidence_threshold)
    if decode.head in RANKED_HEADS:
        expected, actual = pair_proposals(expected, actual, decode.outputs[0])
    return max((_compare(value, actual[name]) for name, value in expected.items()), default=0.0)


def split_outputs(outputs: Tensors, count: int) -> list[Tensors]:
    """Outputs of a batch of `count` pictures as those of each, `(1, ...)`, or `(0, ...)` of what has fewer rows."""
    if count == 1:
        return [outputs]
    return [{name: np.atleast_1d(value)[place : place + 1] for name, value in outputs.items()} for place in range(count)]


def find_rms_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Root mean square of the difference over that of the expected values; infinite for other shapes, or where either side
    has a value that is not finite."""
    if expected.shape != actual.shape or not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return float("inf")
    power = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))) or 1.0
    return float(np.sqrt(np.mean(np.square(expected.astype(np.float64) - actual)))) / power


def find_largest_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Largest difference over the largest finite magnitude of the expected values; what both have as NaN or infinity is equal.

    Infinite for other shapes, and where one side alone is no finite number.
    """
    if expected.shape != actual.shape:
        return float("inf")
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    difference = np.where(same, 0.0, actual) - np.where(same, 0.0, expected).astype(np.float64)
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    error = float(np.abs(difference).max(initial=0.0)) / max(scale, LEAST_SCALE)
    return error if np.isfinite(error) else float("inf")


def find_index_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Share of the places whose class index differs, 0..1; infinite for other shapes."""
    if expected.shape != actual.shape:
        return float("inf")
    return float(np.mean(expected != actual)) if expected.size else 0.0


def find_chosen_error(expected: np.ndarray, actual: np.ndarray, least: float) -> float:
    """Largest difference of an object to the nearest of its class in the other run, of both runs' objects.

    A box's difference counts relative to the largest magnitude of the boxes, a confidence's as it is; an object without any
    counterpart of its class counts 1.

    Args: expected, actual: `(N, K, 6)` boxes, confidences and classes; least: confidence of the objects that count.

    Returns: 0 or above; infinite where a value is not finite.
    """
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return float("inf")
    scale = float(np.abs(expected[..., :4]).max(initial=0.0)) or 1.0
    largest = 0.0
    for pair in zip(expected, actual, strict=True):
        for rows, others in (pair, pair[::-1]):
            shown = rows[rows[:, 4] >= least]
            gaps = np.abs(shown[:, None] - others[None])  # (shown, K, 6)
            worst = np.maximum(gaps[..., :4].max(axis=-1) / scale, gaps[..., 4])
            worst = np.where(gaps[..., 5] < 0.5, worst, 1.0)
            largest = max(largest, float(worst.min(axis=1, initial=1.0).max(initial=0.0)))
    return largest


def pair_proposals(expected: Tensors, actual: Tensors, boxes_name: str) -> tuple[Tensors, Tensors]:
    """Both runs without the last ranks of `expected`, and `actual` in its order: the nearest box is the same proposal.

    All other outputs are computed from the box, so two proposals of equal boxes are equal in everything.

    Args: expected, actual: outputs `(N, R, ...)`; boxes_name: of the output `(N, R, 4)`.
    """
    boxes, others = expected[boxes_name], actual[boxes_name]
    ranks = boxes.shape[1] - max(1, int(boxes.shape[1] * CUT_SHARE))
    distances = np.abs(boxes[:, :ranks, None] - others[:, None]).max(axis=-1)  # (N, ranks, R)
    nearest = distances.argmin(axis=-1)  # (N, ranks)
    pictures = np.arange(len(boxes))[:, None]
    kept = {name: value[:, :ranks] for name, value in expected.items()}
    return kept, {name: value[pictures, nearest] for name, value in actual.items()}


def _compare(expected: np.ndarray, actual: np.ndarray) -> float:
    if not expected.size:
        return 0.0
    scale = float(np.abs(expected).max()) or 1.0
    error = float(np.abs(actual - expected).max()) / scale
    return error if np.isfinite(error) else float("inf")
