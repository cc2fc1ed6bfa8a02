"""How far two runs of one network differ: the measure behind "this engine computes what the reference computes".

A two-stage detector ranks its proposals inside the graph, and rounding alone decides between two of nearly equal score. So
proposals are compared as what they are, a set: each with the nearest one of the other run.
"""

import numpy as np

from sightline.core.manifests import DecodeSpec
from sightline.runtime.backend import Tensors

RANKED_HEADS = {"region_boxes"}  # outputs (N, R, ...), the first of them boxes, the best proposal first
INDEX_HEADS = {"label_map"}  # outputs are class indices: 3 is no nearer to 4 than to 15, so the places that differ are counted
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
    if decode.head in RANKED_HEADS:
        expected, actual = pair_proposals(expected, actual, decode.outputs[0])
    return max((_compare(value, actual[name]) for name, value in expected.items()), default=0.0)


def find_rms_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Root mean square of the difference over that of the expected values; infinite for other shapes or no numbers."""
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    power = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))) or 1.0
    return float(np.sqrt(np.mean(np.square(expected.astype(np.float64) - actual)))) / power


def find_index_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Share of the places whose class index differs, 0..1; infinite for other shapes."""
    if expected.shape != actual.shape:
        return float("inf")
    return float(np.mean(expected != actual)) if expected.size else 0.0


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
