"""Convolutions, matrix products and normalisations of OpenVINO as ONNX layers.

OpenVINO has no bias: it is an Add behind the layer, and a batch norm often a Multiply and an Add. `openvino.folding` found
them; here they go into weights and bias. Weights of grouped convolutions lose their group axis. Where picture-dependent
tensors are quantised and the weights are int8, they stay int8 behind a DequantizeLinear.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sightline.compiler.importers.openvino.constants import Node
from sightline.compiler.importers.openvino.context import Context, get_output_shape, get_shape, normalise_axes
from sightline.compiler.importers.openvino.quantised import QuantisedWeights, find_quantised
from sightline.compiler.importers.sizes import find_same_pads
from sightline.core.errors import InvalidInput, Unsupported


def convert_convolution(c: Context, node: Node) -> str:
    """Convolution `(O, I, kh, kw)` and GroupConvolution `(G, O/G, I/G, kh, kw)` -> Conv with weights `(O, I/G, kh, kw)`."""
    attributes, data_node = node.get_attributes(), c.pads.get(node.get_name(), node)
    grouped = node.get_type_name() == "GroupConvolution"
    shape = get_shape(node, 1)
    groups = shape[0] if grouped else 1
    target = (shape[0] * shape[1], *shape[2:]) if grouped else shape
    x = c.get(data_node, 0)
    weights, bias = write_weights(c, node, x, target, axis=0)
    begin, end = _find_padding(c, node, data_node, target[2:])
    return c.add(
        node,
        "Conv",
        [x, weights, *bias],
        kernel_shape=list(target[2:]),
        strides=attributes["strides"],
        dilations=attributes["dilations"],
        pads=[*begin, *end],
        group=groups,
    )


def convert_deconvolution(c: Context, node: Node) -> str:
    """ConvolutionBackpropData `(I, O, ...)` and its grouped form `(G, I/G, O/G, ...)` -> ConvTranspose `(I, O/G, ...)`.

    The padding in front is OpenVINO's, also where it follows a rule; that behind is found from the output's size:
    out = stride * (in - 1) + dilation * (k - 1) + 1 + output_padding - begin - end.
    """
    attributes = node.get_attributes()
    grouped = node.get_type_name() == "GroupConvolutionBackpropData"
    shape = get_shape(node, 1)
    groups = shape[0] if grouped else 1
    target = (shape[0] * shape[1], *shape[2:]) if grouped else shape
    x = c.get(node, 0)
    weights, bias = write_weights(c, node, x, target, axis=1, groups=groups)
    strides, dilations, begin = attributes["strides"], attributes["dilations"], list(attributes["pads_begin"])
    sizes = zip(get_shape(node)[2:], get_output_shape(node)[2:], target[2:], strides, dilations, strict=True)
    spare = [stride * (size - 1) + dilation * (k - 1) + 1 - out for size, out, k, stride, dilation in sizes]
    end = [total - first for total, first in zip(spare, begin, strict=True)]
    return c.add(
        node,
        "ConvTranspose",
        [x, weights, *bias],
        kernel_shape=list(target[2:]),
        strides=strides,
        dilations=dilations,
        pads=[*begin, *(max(one, 0) for one in end)],
        output_padding=[max(-one, 0) for one in end],
        group=groups,
    )


def write_weights(c: Context, node: Node, x: str, shape: tuple[int, ...], axis: int, groups: int = 1) -> tuple[str, list[str]]:
    """The weights' tensor of this shape and the bias's, if there is one, with what the layer takes in folded into them.

    Args:
        x: the layer's data tensor.
        shape: of the weights; `axis` is that of the output channels of one group, of which there are `groups`.
    """
    fold = c.folds.get(node.get_name())
    bias = None if fold is None or fold.bias is None else fold.bias
    quantised = find_quantised(c.constants, node.input_value(1)) if x in c.steps else None
    if quantised is not None and (fold is None or fold.scale is None):
        steps = quantised.reshape(shape).find_steps(axis if groups == 1 else None)
        if steps is not None:
            return _write_quantised(c, node, x=x, weights=quantised.reshape(shape), steps=steps, axis=axis, bias=bias)
    values = c.constant(node, 1)
    if values is None:
        return _reshape_computed(c, node, shape), [] if bias is None else [c.weight(node, "bias", bias.astype(np.float32))]
    if not np.isfinite(values).all():
        raise InvalidInput(f"the weights of {node.get_friendly_name()} are not all finite numbers; the file is damaged")
    values = values.reshape(shape).astype(np.float64)
    if fold is not None and fold.scale is not None:
        values = scale_channels(values, fold.scale, axis, groups)
    name = c.weight(node, "weights", values.astype(np.float32))
    return name, [] if bias is None else [c.weight(node, "bias", bias.astype(np.float32))]


def scale_channels(values: np.ndarray, scale: np.ndarray, axis: int, groups: int) -> np.ndarray:
    """Weights times a factor for each output channel; with axis 1 the channels of group g belong to the g-th part of axis 0."""
    if axis == 0 or groups == 1:
        return np.asarray(values * scale.reshape([-1 if index == axis else 1 for index in range(values.ndim)]))
    parts = values.reshape(groups, -1, *values.shape[1:])  # (I, O/G, ...) -> (G, I/G, O/G, ...)
    return np.asarray(parts * scale.reshape(groups, 1, -1, *[1] * (values.ndim - 2))).reshape(values.shape)


def convert_matmul(c: Context, node: Node) -> str:
    """A product with a constant matrix becomes Gemm with its bias; any other one MatMul."""
    attributes, rank = node.get_attributes(), len(get_shape(node))
    if rank == 2 and len(get_shape(node, 1)) == 2 and c.constant(node, 1) is not None and not attributes["transpose_a"]:
        transposed = bool(attributes["transpose_b"])
        x = c.get(node, 0)
        weights, bias = write_weights(c, node, x, get_shape(node, 1), axis=0 if transposed else 1)
        return c.add(node, "Gemm", [x, weights, *bias], transB=int(transposed))
    operands = [
        _transpose_last(c, node, index) if attributes[flag] else c.get(node, index)
        for index, flag in enumerate(("transpose_a", "transpose_b"))
    ]
    return c.add(node, "MatMul", operands)


def convert_batch_norm(c: Context, node: Node) -> str:
    """The data is the third input in opset 1, the first since opset 5."""
    order = (2, 0, 1, 3, 4) if node.get_type_info().version_id == "opset1" else (0, 1, 2, 3, 4)
    return c.add(
        node, "BatchNormalization", [c.get(node, index) for index in order], epsilon=float(node.get_attributes()["epsilon"])
    )


def convert_lrn(c: Context, node: Node) -> str:
    """Both divide by (bias + alpha / size * sum of squares) ^ beta (Krizhevsky et al. 2012, section 3.3)."""
    attributes, rank = node.get_attributes(), len(get_shape(node))
    axes = normalise_axes(c.integers(node, 1, "axes"), rank)
    alpha, beta, bias, size = (attributes[name] for name in ("alpha", "beta", "bias", "size"))
    if axes == [1]:
        return c.add(node, "LRN", [c.get(node, 0)], alpha=alpha, beta=beta, bias=bias, size=size)
    if axes != list(range(2, rank)) or size % 2 == 0:
        raise Unsupported(
            f"LRN {node.get_friendly_name()} runs over axes {axes} and {size} places; expected channels or a window"
        )
    x = c.get(node, 0)
    squares = c.step(node, "squares", "Mul", [x, x])
    pads = [size // 2] * (2 * len(axes))
    kernel = [size] * len(axes)
    mean = c.step(node, "mean", "AveragePool", [squares], kernel_shape=kernel, pads=pads, count_include_pad=1)
    scaled = c.step(node, "scaled", "Mul", [mean, c.scalar(node, "alpha", alpha)])
    raised = c.step(node, "raised", "Add", [scaled, c.scalar(node, "bias", bias)])
    return c.add(node, "Div", [x, c.step(node, "power", "Pow", [raised, c.scalar(node, "beta", beta)])])


def convert_mvn(c: Context, node: Node) -> str:
    """Minus the mean and, if wanted, over the deviation, along some axes; epsilon stands inside or outside the root."""
    attributes, rank, x = node.get_attributes(), len(get_shape(node)), c.get(node, 0)
    if node.get_input_size() > 1:
        axes = normalise_axes(c.integers(node, 1, "axes"), rank)
    else:
        axes = list(range(1 if attributes["across_channels"] else 2, rank))
    centred = c.step(node, "centred", "Sub", [x, c.step(node, "mean", "ReduceMean", [x], axes=axes, keepdims=1)])
    if not attributes["normalize_variance"]:
        return c.add(node, "Identity", [centred])
    squares = c.step(node, "squares", "Mul", [centred, centred])
    deviation = c.step(node, "variance", "ReduceMean", [squares], axes=axes, keepdims=1)
    epsilon = c.scalar(node, "epsilon", attributes["eps"])
    if str(attributes.get("eps_mode", "inside_sqrt")).lower() == "inside_sqrt":
        deviation = c.step(node, "deviation", "Sqrt", [c.step(node, "raised", "Add", [deviation, epsilon])])
    else:
        deviation = c.step(node, "deviation", "Add", [c.step(node, "root", "Sqrt", [deviation]), epsilon])
    return c.add(node, "Div", [centred, deviation])


def convert_normalize_l2(c: Context, node: Node) -> str:
    """x over the root of its sum of squares, to which epsilon is added or which it bounds from below."""
    attributes, x = node.get_attributes(), c.get(node, 0)
    axes = normalise_axes(c.integers(node, 1, "axes"), len(get_shape(node)))
    if not axes:
        raise Unsupported(f"NormalizeL2 {node.get_friendly_name()} has no axes; expected at least one")
    total = c.step(node, "sum", "ReduceSumSquare", [x], axes=axes, keepdims=1)
    bound = "Add" if str(attributes["eps_mode"]).lower() == "add" else "Max"
    bounded = c.step(node, "bounded", bound, [total, c.scalar(node, "epsilon", attributes["eps"])])
    return c.add(node, "Div", [x, c.step(node, "norm", "Sqrt", [bounded])])


def _write_quantised(
    c: Context, node: Node, *, x: str, weights: QuantisedWeights, steps: np.ndarray, axis: int, bias: np.ndarray | None
) -> tuple[str, list[str]]:
    """int8 weights, and the bias in int32 with the product of both steps, as integer kernels want it."""
    attributes = {"axis": axis} if steps.ndim else {}
    zero_points = np.zeros(steps.shape, weights.values.dtype)
    names = [
        c.weight(node, "weights_quantised", weights.values),
        c.weight(node, "weights_scale", steps.astype(np.float32)),
        c.weight(node, "weights_zero_point", zero_points),
    ]
    name = c.step(node, "weights", "DequantizeLinear", names, **attributes)
    if bias is None:
        return name, []
    scale = (c.steps[x] * steps).astype(np.float32)
    whole = np.rint(bias / scale.astype(np.float64))
    if np.abs(whole).max(initial=0) >= 2**31 or np.broadcast_shapes(scale.shape, bias.shape) != bias.shape:
        return name, [c.weight(node, "bias", bias.astype(np.float32))]
    names = [
        c.weight(node, "bias_quantised", whole.astype(np.int32)),
        c.weight(node, "bias_scale", scale),
        c.weight(node, "bias_zero_point", np.zeros(scale.shape, np.int32)),
    ]
    return name, [c.step(node, "bias", "DequantizeLinear", names, **({"axis": 0} if scale.ndim else {}))]


def _find_padding(c: Context, node: Node, data_node: Node, kernel: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Explicit padding in front and behind, with that of a Pad taken in."""
    attributes = node.get_attributes()
    begin, end = list(attributes["pads_begin"]), list(attributes["pads_end"])
    mode = str(attributes["auto_pad"])
    if mode == "valid":
        begin, end = [0] * len(kernel), [0] * len(kernel)
    elif mode in ("same_upper", "same_lower"):
        begin, end = find_same_padding(
            get_shape(node)[2:], kernel, attributes["strides"], attributes["dilations"], upper=mode == "same_upper"
        )
    if data_node is node:
        return begin, end
    more_begin, more_end = (c.integers(data_node, index, "padding")[2:] for index in (1, 2))
    return [a + b for a, b in zip(begin, more_begin, strict=True)], [a + b for a, b in zip(end, more_end, strict=True)]


def find_same_padding(
    sizes: tuple[int, ...], kernel: tuple[int, ...], strides: list[int], dilations: list[int], upper: bool
) -> tuple[list[int], list[int]]:
    """SAME in front and behind: an odd pixel goes behind (upper) or in front."""
    pairs = [find_same_pads(*side) for side in zip(sizes, kernel, strides, dilations, strict=True)]
    small, large = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return (small, large) if upper else (large, small)


def _reshape_computed(c: Context, node: Node, shape: tuple[int, ...]) -> str:
    if get_shape(node, 1) == shape:
        return c.get(node, 1)
    return c.step(node, "weights", "Reshape", [c.get(node, 1), c.weight(node, "weights_shape", np.array(shape, np.int64))])


def _transpose_last(c: Context, node: Node, index: int) -> str:
    rank = len(get_shape(node, index))
    if rank < 2:
        return c.get(node, index)
    values = c.constant(node, index)
    if values is not None:
        return c.weight(node, "matrix", np.swapaxes(values, -1, -2))
    order = [*range(rank - 2), rank - 1, rank - 2]
    return c.step(node, f"transposed_{index}", "Transpose", [c.get(node, index)], perm=order)


CONVERTERS: dict[str, Callable[[Context, Any], str]] = {
    "BatchNormInference": convert_batch_norm,
    "Convolution": convert_convolution,
    "ConvolutionBackpropData": convert_deconvolution,
    "GroupConvolution": convert_convolution,
    "GroupConvolutionBackpropData": convert_deconvolution,
    "LRN": convert_lrn,
    "MVN": convert_mvn,
    "MatMul": convert_matmul,
    "NormalizeL2": convert_normalize_l2,
}
