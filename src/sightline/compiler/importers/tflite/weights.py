"""Weights and biases of a .tflite file's convolutions and matrix products, in the order and the integers that engines run.

Weights of a quantised layer stay int8 behind a DequantizeLinear. Old files store them as uint8 around a zero point, for which
OpenVINO has no integer kernel; weight minus zero point is the same number around zero, and nearly always an int8. The few
output channels that reach beyond +-127 are rounded again to a scale of their own. A bias is stored in steps of the input's
scale times the weights', which is how the integer kernels add it (TensorFlow Lite 8-bit quantization specification).
"""

import numpy as np

from sightline.compiler.importers.tflite.files import OperatorRecord, Quantisation
from sightline.compiler.importers.tflite.graph import GraphBuilder, dequantise
from sightline.core.errors import InvalidInput, Unsupported

MAX_INT8 = 127
DYNAMIC_NOTE = "8-bit weights of layers whose activations are float were widened to float32"
ROUNDED_NOTE = "weights further than 127 steps from their zero point were rounded again, per output channel"


def add_weights(
    builder: GraphBuilder,
    operator: OperatorRecord,
    index: int,
    order: tuple[int, ...],
    axis: int,
    rows: np.ndarray | None = None,
) -> list[str]:
    """Weights and, where there is one, bias of a layer whose input, weights and bias are its first three tensors.

    Args:
        index: of the weights.
        order: of the file's axes in the graph.
        axis: of the graph's weights that counts output channels.
        rows: permutation of the graph's first axis after that.

    Returns: names in the graph. Raises: InvalidInput, Unsupported.
    """
    title = builder.title(operator)
    if index not in builder.constants:
        raise Unsupported(f"{title} has weights that the network computes")
    tensor, source, quantisation = builder.tensor(index), builder.quantisation(operator.inputs[0]), builder.quantisation(index)
    if source is None or quantisation is None:
        if tensor.quantisation is not None:
            builder.notes[DYNAMIC_NOTE] = None
        values = dequantise(builder.constants[index], tensor.quantisation).transpose(order)
        names = [builder.writer.add_weight(tensor.name, values if rows is None else values[rows])]
        return names + _add_real_bias(builder, operator)
    if len(quantisation.scales) > 1 and order[axis] != quantisation.axis:
        raise InvalidInput(f"{title} has scales on axis {quantisation.axis} of its weights")
    values, scales = make_symmetric(builder.constants[index].transpose(order), quantisation, axis)
    if len(scales) != len(quantisation.scales):
        builder.notes[ROUNDED_NOTE] = None
    stored = builder.writer.add_weight(f"{tensor.name}/quantized", values if rows is None else values[rows])
    scale, zero = builder.add_scale(Quantisation(scales, np.zeros(len(scales), np.int64), axis), "INT8")
    weights = builder.writer.add(
        "DequantizeLinear",
        [stored, scale, zero],
        name=f"{tensor.name}/dequantize",
        output=tensor.name,
        axis=axis if len(scales) > 1 else None,
    )
    step = float(source.scales[0])
    return [
        weights,
        *_add_bias(builder, operator, step * quantisation.scales.astype(np.float64), step * scales.astype(np.float64)),
    ]


def make_symmetric(values: np.ndarray, quantisation: Quantisation, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The same weights as int8 with zero point 0.

    Args:
        values: stored weights, int8 or uint8, output channels on `axis`.
        quantisation: theirs; several scales lie on `axis`.

    Returns: int8 of the same shape, and the scales, `(1,)` or `(O,)` float32.
    """
    shape = [1] * values.ndim
    shape[axis] = -1
    apart = values.astype(np.int16) - quantisation.zero_points.astype(np.int16).reshape(
        shape if len(quantisation.scales) > 1 else [1]
    )
    others = tuple(place for place in range(values.ndim) if place != axis)
    reach = np.abs(apart).max(axis=others) / MAX_INT8
    if (
        reach.max(initial=0) <= (1 + 1 / MAX_INT8)
        and apart.min(initial=0) >= -MAX_INT8 - 1
        and apart.max(initial=0) <= MAX_INT8
    ):
        return apart.astype(np.int8), quantisation.scales
    stretch = np.maximum(reach, 1.0)
    rounded = np.rint(apart / stretch.reshape(shape)).astype(np.int8)
    return rounded, (quantisation.scales * stretch).astype(np.float32)


def _add_bias(builder: GraphBuilder, operator: OperatorRecord, stored_steps: np.ndarray, steps: np.ndarray) -> list[str]:
    """The bias as int32 in `steps`, which the file stores in `stored_steps`; both `(1,)` or `(O,)`."""
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if index < 0:
        return []
    tensor = builder.tensor(index)
    if tensor.kind != "INT32" or index not in builder.constants:
        return _add_real_bias(builder, operator)
    values = np.rint(builder.constants[index].ravel() * (stored_steps / steps))
    stored = builder.writer.add_weight(f"{tensor.name}/quantized", values.astype(np.int32))
    scale = steps.astype(np.float32)
    name = builder.writer.add_weight(f"{tensor.name}/scale", scale if len(scale) > 1 else scale.reshape(()))
    return [
        builder.writer.add(
            "DequantizeLinear",
            [stored, name],
            name=f"{tensor.name}/dequantize",
            output=tensor.name,
            axis=0 if len(scale) > 1 else None,
        )
    ]


def _add_real_bias(builder: GraphBuilder, operator: OperatorRecord) -> list[str]:
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    return [] if index < 0 else [builder.writer.add_weight(builder.tensor(index).name, builder.real(index).ravel())]
