"""Layers with a kernel: convolutions of every kind and Dense, with the BatchNormalization behind them folded in.

Keras keeps kernels as (rows, columns, in, out), ONNX as (out, in, rows, columns). Padding is written out in pixels, since
picture sizes are fixed and TensorFlow's SAME puts the odd pixel behind.
"""

from collections.abc import Sequence

import numpy as np

from sightline.compiler.importers.keras.activations import is_linear, write_activation
from sightline.compiler.importers.keras.graph import (
    NO_PADS,
    GraphBuild,
    LayerCall,
    Pads,
    Tensor,
    find_window_pads,
    to_onnx_pads,
)
from sightline.core.errors import InvalidInput, Unsupported


def write_convolution(build: GraphBuild, call: LayerCall) -> Tensor:
    """Conv2D, with groups and dilation."""
    tensor, channels, height, width = call.picture()
    settings = call.settings
    filters, groups = settings.whole("filters"), settings.whole("groups", 1)
    kernel, stride, dilation = settings.pair("kernel_size"), settings.pair("strides", 1), settings.pair("dilation_rate", 1)
    if channels % groups or filters % groups:
        raise InvalidInput(f"layer {call.path}: {groups} groups do not divide {channels} channels into {filters} filters")
    weights = call.weight(0, (*kernel, channels // groups, filters)).transpose(3, 2, 0, 1)
    pads, size = find_window_pads(call, (height, width), kernel, stride, dilation)
    weights, offsets = _fold(call, weights, _read_bias(call, 1, filters))
    output = _write_conv(
        build, call, tensor.name, weights, bias=offsets, groups=groups, stride=stride, dilation=dilation, pads=pads
    )
    return _finish(build, call, output, (filters, *size))


def write_depthwise(build: GraphBuild, call: LayerCall) -> Tensor:
    """DepthwiseConv2D: `depth_multiplier` filters for each channel alone."""
    tensor, channels, height, width = call.picture()
    settings = call.settings
    kernel, stride, dilation = settings.pair("kernel_size"), settings.pair("strides", 1), settings.pair("dilation_rate", 1)
    filters = channels * settings.whole("depth_multiplier", 1)
    weights = _to_depthwise(call.weight(0, (*kernel, channels, filters // channels)))
    pads, size = find_window_pads(call, (height, width), kernel, stride, dilation)
    weights, offsets = _fold(call, weights, _read_bias(call, 1, filters))
    output = _write_conv(
        build, call, tensor.name, weights, bias=offsets, groups=channels, stride=stride, dilation=dilation, pads=pads
    )
    return _finish(build, call, output, (filters, *size))


def write_separable(build: GraphBuild, call: LayerCall) -> Tensor:
    """SeparableConv2D: a depthwise convolution, then a 1x1 one (Chollet 2017)."""
    tensor, channels, height, width = call.picture()
    settings = call.settings
    kernel, stride, dilation = settings.pair("kernel_size"), settings.pair("strides", 1), settings.pair("dilation_rate", 1)
    filters, between = settings.whole("filters"), channels * settings.whole("depth_multiplier", 1)
    depthwise = _to_depthwise(call.weight(0, (*kernel, channels, between // channels)))
    pads, size = find_window_pads(call, (height, width), kernel, stride, dilation)
    mixed = build.writer.add(
        "Conv",
        [tensor.name, build.add_constant(call, "depthwise_kernel", depthwise)],
        name=call.part("depthwise"),
        kernel_shape=list(kernel),
        group=channels,
        strides=list(stride),
        dilations=list(dilation),
        pads=to_onnx_pads(pads),
    )
    weights = call.weight(1, (1, 1, between, filters)).transpose(3, 2, 0, 1)
    weights, offsets = _fold(call, weights, _read_bias(call, 2, filters))
    output = _write_conv(build, call, mixed, weights, bias=offsets, groups=1, stride=(1, 1), dilation=(1, 1), pads=NO_PADS)
    return _finish(build, call, output, (filters, *size))


def write_transposed(build: GraphBuild, call: LayerCall) -> Tensor:
    """Conv2DTranspose: the gradient of a convolution whose input has this layer's output size.

    So its padding is what that convolution would need: TensorFlow's SAME over the output size, or none.
    """
    tensor, channels, height, width = call.picture()
    settings = call.settings
    settings.expect("groups", 1)
    filters, kernel, stride = settings.whole("filters"), settings.pair("kernel_size"), settings.pair("strides", 1)
    dilation = settings.pair("dilation_rate", 1)
    weights = call.weight(0, (*kernel, filters, channels)).transpose(3, 2, 0, 1)  # -> (in, out, rows, columns)
    sides = [_size_transposed(call, index, (height, width)[index]) for index in (0, 1)]
    weights, offsets = _fold(call, weights, _read_bias(call, 1, filters), axis=1)
    inputs = [tensor.name, build.add_constant(call, "kernel", weights)]
    if offsets is not None:
        inputs.append(build.add_constant(call, "bias", offsets))
    output = build.writer.add(
        "ConvTranspose",
        inputs,
        name=call.path,
        output=_name_before_activation(call),
        kernel_shape=list(kernel),
        strides=list(stride),
        dilations=list(dilation),
        pads=to_onnx_pads((sides[0][1], sides[1][1])),
        output_padding=[sides[0][2], sides[1][2]],
    )
    return _finish(build, call, output, (filters, sides[0][0], sides[1][0]))


def write_dense(build: GraphBuild, call: LayerCall) -> Tensor:
    """Dense over Keras's last axis: a matrix product for vectors, a 1x1 convolution for pictures."""
    tensor, units = call.tensor(), call.settings.whole("units")
    axis = build.find_axis(call, tensor, -1)
    inputs = tensor.shape[axis - 1]
    kernel, order = call.weight(0, (inputs, units)), tensor.order()
    weights, offsets = _fold(call, kernel if order is None else kernel[order], _read_bias(call, 1, units), axis=1)
    if axis != len(tensor.shape):  # a picture's channels
        kernel_1x1 = weights.T[:, :, None, None]
        output = _write_conv(
            build, call, tensor.name, kernel_1x1, bias=offsets, groups=1, stride=(1, 1), dilation=(1, 1), pads=NO_PADS
        )
        return _finish(build, call, output, (units, *tensor.shape[1:]))
    names = [tensor.name, build.add_constant(call, "kernel", weights)]
    bias = [] if offsets is None else [build.add_constant(call, "bias", offsets)]
    before = _name_before_activation(call)
    if len(tensor.shape) == 1:
        output = build.writer.add("Gemm", [*names, *bias], name=call.path, output=before)
    else:
        output = build.writer.add("MatMul", names, name=call.path, output=None if bias else before)
        if bias:
            output = build.writer.add("Add", [output, *bias], name=call.part("add"), output=before)
    return _finish(build, call, output, (*tensor.shape[:-1], units))


def _size_transposed(call: LayerCall, index: int, size: int) -> tuple[int, tuple[int, int], int]:
    """Output size, padding and output padding of one side of a Conv2DTranspose."""
    settings = call.settings
    kernel, stride = settings.pair("kernel_size")[index], settings.pair("strides", 1)[index]
    reach = (kernel - 1) * settings.pair("dilation_rate", 1)[index] + 1
    extra = settings.pair("output_padding", least=0)[index] if settings.get("output_padding") is not None else None
    padding = settings.text("padding", "valid").lower()
    if padding not in ("same", "valid"):
        raise Unsupported(f"layer {call.path}: padding {padding!r} is not supported, only 'same' or 'valid'")
    same = padding == "same"
    if extra is not None:
        out = (size - 1) * stride + reach - (2 * (reach // 2) if same else 0) + extra
    else:
        out = size * stride + (0 if same else max(reach - stride, 0))
    total = max((size - 1) * stride + reach - out, 0) if same else 0
    pads = (total // 2, total - total // 2)
    return out, pads, out - ((size - 1) * stride + reach - total)


def _to_depthwise(kernel: np.ndarray) -> np.ndarray:
    """(rows, columns, C, M) -> (C * M, 1, rows, columns)."""
    rows, columns, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, rows, columns)


def _read_bias(call: LayerCall, index: int, count: int) -> np.ndarray | None:
    return call.weight(index, (count,)) if call.settings.flag("use_bias", True) else None


def _fold(call: LayerCall, weights: np.ndarray, bias: np.ndarray | None, axis: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights and bias with the BatchNormalization behind the layer folded in; `axis` counts the output channels."""
    if call.norm is None:
        return weights, bias
    factors, offsets = call.norm
    if factors.size != weights.shape[axis]:
        raise InvalidInput(f"layer {call.path} gives {weights.shape[axis]} channels, but the norm behind it has {factors.size}")
    shape = [1] * weights.ndim
    shape[axis] = factors.size
    return weights * factors.reshape(shape), offsets + (0 if bias is None else bias * factors)


def _write_conv(
    build: GraphBuild,
    call: LayerCall,
    x: str,
    weights: np.ndarray,
    *,
    bias: np.ndarray | None,
    groups: int,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
) -> str:
    inputs = [x, build.add_constant(call, "kernel", weights)]
    if bias is not None:
        inputs.append(build.add_constant(call, "bias", bias))
    return build.writer.add(
        "Conv",
        inputs,
        name=call.path,
        output=_name_before_activation(call),
        kernel_shape=list(weights.shape[2:]),
        group=groups,
        strides=list(stride),
        dilations=list(dilation),
        pads=to_onnx_pads(pads),
    )


def _name_before_activation(call: LayerCall) -> str:
    return call.output if is_linear(call.path, call.settings.get("activation")) else call.part("linear")


def _finish(build: GraphBuild, call: LayerCall, output: str, shape: tuple[int, ...]) -> Tensor:
    """The layer's output, behind its activation."""
    tensor = Tensor(output, shape)
    if is_linear(call.path, call.settings.get("activation")):
        return tensor
    return Tensor(write_activation(build, call, tensor, call.settings.get("activation")), shape)


LAYERS = {
    "Conv2D": write_convolution,
    "Conv2DTranspose": write_transposed,
    "Dense": write_dense,
    "DepthwiseConv2D": write_depthwise,
    "SeparableConv2D": write_separable,
}
