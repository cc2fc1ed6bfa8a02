"""Operators of a .tflite file that work value by value, along channels, or along one axis without moving anything.

Their axes are the file's; where operands lie as (N, C, H, W), axes and constants are turned instead of the maps.
"""

from typing import Any

import numpy as np

from sightline.compiler.importers.tflite.files import OperatorRecord
from sightline.compiler.importers.tflite.graph import ACTIVATIONS, TO_SPATIAL_AXIS, GraphBuilder, Layout, Shape
from sightline.core.errors import InvalidInput, Unsupported

BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow"}
UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "ELU": "Elu", "HARD_SWISH": "HardSwish", "EXP": "Exp", "ABS": "Abs", "SQRT": "Sqrt",
    "NEG": "Neg", "LOG": "Log", "FLOOR": "Floor", "CEIL": "Ceil", "ROUND": "Round", "SIN": "Sin", "COS": "Cos",
}  # fmt: skip
CLIPS = {  # as fused activations are numbered
    "RELU": 1,
    "RELU_N1_TO_1": 2,
    "RELU6": 3,
}
REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}
WHOLE_NUMBERS = ("INT32", "INT64", "INT16", "INT8", "UINT8", "UINT16", "UINT32", "UINT64")
L2_EPSILON = 1e-6  # the kernel's floor of the norm


def convert_binary(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """Two operands, broadcast from the last axis of the file's order, and a fused activation."""
    first, second = operator.inputs
    shape = broadcast(builder, operator, builder.shape(first), builder.shape(second))
    layout = builder.choose_layout(operator.inputs, len(shape))
    if operator.kind == "DIV" and _is_whole(builder, operator.outputs[0]):
        raise Unsupported(f"{builder.name(operator)} divides whole numbers, which we hold as float32")
    names = [builder.operand(index, layout, len(shape)) for index in operator.inputs]
    builder.emit(operator, BINARY[operator.kind], names, shape, layout, operator.options.get("FusedActivationFunction", 0))


def convert_unary(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """One value in, one out."""
    _emit_same(builder, operator, UNARY[operator.kind])


def convert_clip(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """RELU and its kin: left out where the output's quantised values cannot leave the range."""
    if builder.needed_activation(CLIPS[operator.kind], operator.outputs[0]) is None:
        builder.alias(operator.outputs[0], operator.inputs[0])
        return
    kind, lowest, highest = ACTIVATIONS[CLIPS[operator.kind]]
    limits = [builder.add_scalar(lowest), builder.add_scalar(highest)] if kind == "Clip" else []
    _emit_same(builder, operator, kind, *limits)


def convert_leaky_relu(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """LEAKY_RELU with its slope below zero."""
    _emit_same(builder, operator, "LeakyRelu", alpha=operator.options["Alpha"])


def convert_prelu(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """PRELU: a slope for each channel, or for each place of the map."""
    source, slope = operator.inputs
    shape = broadcast(builder, operator, builder.shape(source), builder.shape(slope))
    layout = builder.choose_layout([source], len(shape))
    values = builder.real(slope)
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    values = values.transpose(0, 3, 1, 2)[0] if layout == "spatial" else values[0] if values.ndim > 1 else values
    weight = builder.writer.add_weight(builder.tensor(slope).name, values)
    builder.emit(operator, "PRelu", [builder.operand(source, layout), weight], shape, layout)


def convert_square(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SQUARE."""
    source = operator.inputs[0]
    layout = builder.choose_layout([source], len(builder.shape(source)))
    name = builder.operand(source, layout)
    builder.emit(operator, "Mul", [name, name], builder.shape(source), layout)


def convert_squared_difference(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SQUARED_DIFFERENCE."""
    shape = broadcast(builder, operator, *(builder.shape(index) for index in operator.inputs))
    layout = builder.choose_layout(operator.inputs, len(shape))
    names = [builder.operand(index, layout, len(shape)) for index in operator.inputs]
    difference = builder.writer.add("Sub", names, name=f"{builder.name(operator)}/difference")
    builder.emit(operator, "Mul", [difference, difference], shape, layout)


def convert_rsqrt(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """RSQRT: 1 / sqrt(x)."""
    source = operator.inputs[0]
    layout = builder.choose_layout([source], len(builder.shape(source)))
    root = builder.writer.add("Sqrt", [builder.operand(source, layout)], name=f"{builder.name(operator)}/root")
    builder.emit(operator, "Reciprocal", [root], builder.shape(source), layout)


def convert_softmax(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """SOFTMAX of beta * x, and LOG_SOFTMAX, along the file's last axis."""
    source = operator.inputs[0]
    layout = builder.choose_layout([source], len(builder.shape(source)))
    name, beta = builder.operand(source, layout), operator.options.get("Beta", 1.0)
    if beta != 1.0:
        name = builder.writer.add("Mul", [name, builder.add_scalar(beta)], name=f"{builder.name(operator)}/beta")
    kind = "LogSoftmax" if operator.kind == "LOG_SOFTMAX" else "Softmax"
    builder.emit(operator, kind, [name], builder.shape(source), layout, axis=1 if layout == "spatial" else -1)


def convert_l2_normalisation(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """L2_NORMALIZATION along the file's last axis: x / max(|x|, 1e-6)."""
    refuse_activation(builder, operator)
    source = operator.inputs[0]
    layout = builder.choose_layout([source], len(builder.shape(source)))
    name, title = builder.operand(source, layout), builder.name(operator)
    axes = [1] if layout == "spatial" else [-1]
    norm = builder.writer.add("ReduceL2", [name], name=f"{title}/norm", axes=axes, keepdims=1)
    floor = builder.writer.add("Max", [norm, builder.add_scalar(L2_EPSILON)], name=f"{title}/floor")
    builder.emit(operator, "Div", [name, floor], builder.shape(source), layout)


def convert_local_response_normalisation(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """LOCAL_RESPONSE_NORMALIZATION: x / (bias + alpha * sum of squares)^beta; ONNX divides alpha by the window."""
    source, options = operator.inputs[0], operator.options
    if options["Radius"] < 0 or len(builder.shape(source)) != 4:
        raise InvalidInput(f"{builder.name(operator)} normalises {builder.shape(source)} wrongly")
    window = 2 * options["Radius"] + 1
    builder.emit(
        operator,
        "LRN",
        [builder.spatial(source)],
        builder.shape(source),
        "spatial",
        size=window,
        alpha=options["Alpha"] * window,
        beta=options["Beta"],
        bias=options["Bias"],
    )


def convert_reduction(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """MEAN, SUM and the extremes over axes; the mean over a whole map is a global pooling."""
    source, keeps = operator.inputs[0], bool(operator.options["KeepDims"])
    shape = builder.shape(source)
    axes = sorted({check_axis(builder, operator, axis, len(shape)) for axis in builder.numbers(operator.inputs[1], "axes")})
    result = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keeps or axis not in axes)
    layout = builder.choose_layout([source], len(shape))
    if layout == "spatial" and operator.kind == "MEAN" and axes == [1, 2]:
        _emit_global_mean(builder, operator, result, keeps)
        return
    moved = [TO_SPATIAL_AXIS[axis] for axis in range(4) if axis not in axes] if len(shape) == 4 else []
    if layout == "spatial" and not keeps and moved != sorted(moved):
        layout = "plain"  # what is left would lie in another order
    name = builder.operand(source, layout)
    ordered = sorted(TO_SPATIAL_AXIS[axis] for axis in axes) if layout == "spatial" else axes
    kind, inputs = REDUCTIONS[operator.kind], [name]
    attributes: dict[str, Any] = {"axes": ordered}
    if kind == "ReduceSum":  # takes its axes as an input since opset 13
        inputs, attributes = [name, builder.add_numbers("axes", ordered)], {}
    builder.emit(operator, kind, inputs, result, layout if keeps else "plain", keepdims=int(keeps), **attributes)


def _emit_global_mean(builder: GraphBuilder, operator: OperatorRecord, result: Shape, keeps: bool) -> None:
    name = builder.spatial(operator.inputs[0])
    if keeps:
        builder.emit(operator, "GlobalAveragePool", [name], result, "spatial")
        return
    output = operator.outputs[0]
    title, quantisation = builder.tensor(output).name, builder.quantisation(output)
    mean = builder.writer.add("GlobalAveragePool", [name], name=title, output=f"{title}/mean")
    if quantisation is not None:  # in front of the reshape, so that the pooling is one of integers
        mean = builder.add_pair(mean, quantisation, builder.tensor(output).kind, title, f"{title}/rounded")
    target = builder.add_numbers("shape", [0, result[1]])
    value = builder.writer.add("Reshape", [mean, target], name=f"{title}/flat", output=title)
    builder.move(output, output, value, result, "plain")


def convert_arg_max(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """ARG_MAX and ARG_MIN: the first of equals; the index is given as float32."""
    source, shape = operator.inputs[0], builder.shape(operator.inputs[0])
    axis = check_axis(builder, operator, builder.numbers(operator.inputs[1], "an axis")[0], len(shape))
    layout = builder.choose_layout([source], len(shape))
    if layout == "spatial" and axis != 3:
        layout = "plain"
    name = builder.name(operator)
    index = builder.writer.add(
        "ArgMax" if operator.kind == "ARG_MAX" else "ArgMin",
        [builder.operand(source, layout)],
        name=f"{name}/index",
        axis=1 if layout == "spatial" else axis,
        keepdims=0,
    )
    builder.emit(operator, "Cast", [index], shape[:axis] + shape[axis + 1 :], "plain", to=1)  # 1: FLOAT


def convert_cast(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """CAST: everything is float32 already; only what was a fraction loses it."""
    source, output = operator.inputs[0], operator.outputs[0]
    if builder.tensor(output).kind == "BOOL":
        raise Unsupported(f"{builder.tensor(output).name} casts to truth values, which we do not hold")
    if _is_whole(builder, source) or not _is_whole(builder, output):
        builder.alias(output, source)
        return
    layout = builder.choose_layout([source], len(builder.shape(source)))
    whole = builder.writer.add(
        "Cast",
        [builder.operand(source, layout)],
        name=f"{builder.tensor(output).name}/whole",
        to=6,  # 6: INT32, towards zero
    )
    builder.emit(operator, "Cast", [whole], builder.shape(source), layout, to=1)


def convert_quantisation(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """QUANTIZE, also from one scale to another, and DEQUANTIZE: the pair behind the output does what there is to do."""
    builder.alias(operator.outputs[0], operator.inputs[0])


def broadcast(builder: GraphBuilder, operator: OperatorRecord, first: Shape, second: Shape) -> Shape:
    """The common shape of two operands. Raises: InvalidInput."""
    try:
        return np.broadcast_shapes(first, second)
    except ValueError as error:
        raise InvalidInput(f"{builder.title(operator)} cannot join {first} and {second}") from error


def check_axis(builder: GraphBuilder, operator: OperatorRecord, axis: int, rank: int) -> int:
    """An axis counted from the front. Raises: InvalidInput outside the rank, Unsupported for the batch axis."""
    title = builder.title(operator)
    if not -rank <= axis < rank:
        raise InvalidInput(f"{title} names axis {axis} of {rank}")
    if axis % rank == 0:
        raise Unsupported(f"{title} works across the batch axis, which must stay free")
    return axis % rank


def refuse_activation(builder: GraphBuilder, operator: OperatorRecord) -> None:
    """Raises: Unsupported for a fused activation where the kernels leave it out."""
    if operator.options.get("FusedActivationFunction", 0):
        raise Unsupported(f"{builder.title(operator)} has a fused activation that its kernel ignores")


def _emit_same(builder: GraphBuilder, operator: OperatorRecord, kind: str, *more: str, **attributes: Any) -> None:
    source = operator.inputs[0]
    layout: Layout = builder.choose_layout([source], len(builder.shape(source)))
    builder.emit(operator, kind, [builder.operand(source, layout), *more], builder.shape(source), layout, **attributes)


def _is_whole(builder: GraphBuilder, index: int) -> bool:
    """Whether a tensor holds whole numbers, and not reals in 8 bits."""
    tensor = builder.tensor(index)
    return tensor.kind in WHOLE_NUMBERS and tensor.quantisation is None
