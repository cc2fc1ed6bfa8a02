"""Constants that a .tflite file computes: shapes taken from maps and put together again, and weights stored as float16.

Converters write the size of a map as SHAPE, STRIDED_SLICE and PACK in front of a RESHAPE. Worked out here with batch 1, they
are ordinary constants, and the operators leave no trace in the graph.
"""

import math
from collections.abc import Callable

import numpy as np

from sightline.compiler.importers.tflite.files import NUMPY_KINDS, OperatorRecord
from sightline.compiler.importers.tflite.graph import GraphBuilder, dequantise
from sightline.compiler.importers.tflite.slices import read_strided_slice
from sightline.core.errors import InvalidInput

MAX_FOLDED = 2**24  # values of a constant that is worked out here
Arrays = list[np.ndarray]


def fold_operator(builder: GraphBuilder, operator: OperatorRecord) -> bool:
    """Work an operator out if all it needs is known; whether that was so. Raises: InvalidInput when constants do not fit."""
    fold = FOLDS.get(operator.kind)
    if fold is None or len(operator.outputs) != 1 or builder.quantisation(operator.outputs[0]) is not None:
        return False
    if operator.kind != "SHAPE" and not all(index in builder.constants for index in operator.inputs):
        return False
    arrays = [np.empty(0)] if operator.kind == "SHAPE" else [_read(builder, index) for index in operator.inputs]
    try:
        values = fold(builder, operator, arrays)
    except (ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise InvalidInput(f"{builder.title(operator)} contradicts itself: {error}") from error
    if values is None or values.size > MAX_FOLDED:
        return False
    output = operator.outputs[0]
    builder.constants[output] = values.astype(NUMPY_KINDS.get(builder.tensor(output).kind, np.float32))
    builder.shapes[output] = values.shape
    return True


def _read(builder: GraphBuilder, index: int) -> np.ndarray:
    """Real values of quantised constants, others as they are stored."""
    quantisation = builder.tensor(index).quantisation
    return builder.constants[index] if quantisation is None else dequantise(builder.constants[index], quantisation)


def _fold_shape(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.array(builder.shape(operator.inputs[0]), np.int64)


def _fold_slice(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    cut = read_strided_slice(builder, operator)
    steps = tuple(slice(axis.start, axis.stop if axis.stop >= 0 else None, axis.step) for axis in cut.axes)
    return arrays[0][steps].reshape(cut.shape)


def _fold_pack(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.stack(arrays, axis=operator.options["Axis"])


def _fold_concatenation(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.atleast_1d(array) for array in arrays], axis=operator.options["Axis"])


def _fold_reshape(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    target = arrays[1].ravel().tolist() if len(arrays) > 1 else list(operator.options["NewShape"])
    return arrays[0].reshape([int(size) for size in target])


def _fold_squeeze(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    axes = operator.options["SqueezeDims"]
    return np.squeeze(arrays[0], axis=axes or None)


def _fold_expansion(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.expand_dims(arrays[0], int(arrays[1].ravel()[0]))


def _fold_gather(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.take(arrays[0], arrays[1].astype(np.int64), axis=operator.options["Axis"])


def _fold_product(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return np.array(math.prod(int(value) for value in arrays[0].ravel()), np.int64)


def _fold_transpose(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return arrays[0].transpose([int(axis) for axis in arrays[1]])


def _fold_copy(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray:
    return arrays[0]


def _join(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray | None]:
    def fold(builder: GraphBuilder, operator: OperatorRecord, arrays: Arrays) -> np.ndarray | None:
        if operator.options.get("FusedActivationFunction", 0):
            return None
        return np.asarray(function(arrays[0], arrays[1]))

    return fold


FOLDS: dict[str, Callable[[GraphBuilder, OperatorRecord, Arrays], np.ndarray | None]] = {
    "SHAPE": _fold_shape,
    "STRIDED_SLICE": _fold_slice,
    "PACK": _fold_pack,
    "CONCATENATION": _fold_concatenation,
    "RESHAPE": _fold_reshape,
    "SQUEEZE": _fold_squeeze,
    "EXPAND_DIMS": _fold_expansion,
    "GATHER": _fold_gather,
    "REDUCE_PROD": _fold_product,
    "TRANSPOSE": _fold_transpose,
    "CAST": _fold_copy,
    "DEQUANTIZE": _fold_copy,
    "ADD": _join(np.add),
    "SUB": _join(np.subtract),
    "MUL": _join(np.multiply),
    "MAXIMUM": _join(np.maximum),
    "MINIMUM": _join(np.minimum),
}
