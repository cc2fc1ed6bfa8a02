"""Caffe layers that slide a window, and the fully connected one: Convolution, Deconvolution, Pooling, InnerProduct.

Caffe's pooling rounds the number of windows up, then takes the last one away if it would start beyond the padded input, and an
average divides by the part of the window that lies inside the padded input (pooling_layer.cpp). ONNX has no such rule: here the
number of windows is computed and written as explicit padding at the ends.
"""

import math
from dataclasses import dataclass

import numpy as np

from sightline.compiler.importers.caffe.folding import CONVOLUTIONS
from sightline.compiler.importers.caffe.step import Step
from sightline.compiler.importers.caffe.text import Fields

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Height and width of a window, its step, its padding at either side, and the distance of its taps."""

    kernel: Pair
    stride: Pair
    pad: Pair
    dilation: Pair

    def spans(self) -> Pair:
        """Pixels from the first tap to the last, both included."""
        return self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1


def write_convolution(step: Step) -> None:
    """Convolution, DepthwiseConvolution and ConvolutionDepthwise (a group per channel)."""
    channels, height, width = step.picture()
    param = step.layer.param("convolution_param")
    window = _read_window(step, param)
    outputs = param.integer("num_output")
    groups = param.integer("group", 1) if step.layer.type == CONVOLUTIONS[0] else channels
    _check_groups(step, param, channels, outputs, groups)
    inputs = [
        step.inputs[0].name,
        step.weight("weight", step.blob(0, (outputs, channels // groups, *window.kernel))),
    ]
    if len(step.layer.blobs) > 1:
        inputs.append(step.weight("bias", step.blob(1, (outputs,))))
    size = [
        (length + 2 * pad - span) // stride + 1
        for length, pad, span, stride in zip((height, width), window.pad, window.spans(), window.stride, strict=True)
    ]
    step.end("Conv", inputs, (outputs, *size), group=groups, **_window_attributes(window))


def write_deconvolution(step: Step) -> None:
    """Deconvolution: the transposed convolution; OpenCV ignores its dilation, so one with a dilation is refused."""
    channels, height, width = step.picture()
    param = step.layer.param("convolution_param")
    window = _read_window(step, param)
    outputs, groups = param.integer("num_output"), param.integer("group", 1)
    _check_groups(step, param, channels, outputs, groups)
    if window.dilation != (1, 1):
        raise step.refuse("it is dilated, and nothing here can run such a layer to verify it")
    inputs = [
        step.inputs[0].name,
        step.weight("weight", step.blob(0, (channels, outputs // groups, *window.kernel))),
    ]
    if len(step.layer.blobs) > 1:
        inputs.append(step.weight("bias", step.blob(1, (outputs,))))
    size = [
        stride * (length - 1) + span - 2 * pad
        for length, pad, span, stride in zip((height, width), window.pad, window.spans(), window.stride, strict=True)
    ]
    step.end("ConvTranspose", inputs, (outputs, *size), group=groups, **_window_attributes(window))


def write_inner_product(step: Step) -> None:
    """InnerProduct: all axes from `axis` on are one vector."""
    param = step.layer.param("inner_product_param")
    axis, outputs = step.axis(param.integer("axis", 1)), param.integer("num_output")
    shape = step.inputs[0].shape
    length = math.prod(shape[axis - 1 :])
    is_transposed = param.flag("transpose")
    weight = step.blob(0, (length, outputs) if is_transposed else (outputs, length))
    bias = [step.weight("bias", step.blob(1, (outputs,)))] if len(step.layer.blobs) > 1 else []
    vector = step.inputs[0].name
    if axis == 1:
        if len(shape) > 1:
            vector = step.add("Flatten", [vector], part="flatten", axis=1)
        step.end("Gemm", [vector, step.weight("weight", weight), *bias], (outputs,), transB=int(not is_transposed))
        return
    kept = shape[: axis - 1]
    if axis < len(shape):
        vector = step.add("Reshape", [vector, step.weight("shape", np.array([0, *kept, length]))], part="flatten")
    inputs = [vector, step.weight("weight", weight if is_transposed else np.ascontiguousarray(weight.T))]
    if bias:
        step.end("Add", [step.add("MatMul", inputs, part="product"), *bias], (*kept, outputs))
    else:
        step.end("MatMul", inputs, (*kept, outputs))


def write_pooling(step: Step) -> None:
    """Pooling by maximum or average."""
    channels, height, width = step.picture()
    param = step.layer.param("pooling_param")
    method = {"0": "MAX", "1": "AVE"}.get(param.text("pool", "MAX"), param.text("pool", "MAX"))
    if method not in ("MAX", "AVE") or step.output_count > 1:
        raise step.refuse(
            f"pooling {method} with {step.output_count} outputs; only MAX and AVE with one output have a counterpart"
        )
    if param.flag("global_pooling"):
        kind = "GlobalMaxPool" if method == "MAX" else "GlobalAveragePool"
        step.end(kind, [step.inputs[0].name], (channels, 1, 1))
        return
    window = _read_window(step, param)
    counts = _count_windows(step, param, (height, width), window)
    # Padding behind the end that makes ONNX, which rounds down, count as many windows.
    ends = [
        max(0, (count - 1) * stride + kernel - length - pad)
        for count, stride, kernel, length, pad in zip(
            counts, window.stride, window.kernel, (height, width), window.pad, strict=True
        )
    ]
    attributes = {"kernel_shape": window.kernel, "strides": window.stride, "pads": [*window.pad, *ends]}
    shape = (channels, *counts)
    if method == "MAX":
        step.end("MaxPool", [step.inputs[0].name], shape, **attributes)
    elif window.pad == (0, 0):  # the padded input is the input: what lies beyond it never counts
        step.end("AveragePool", [step.inputs[0].name], shape, count_include_pad=0, **attributes)
    elif ends[0] <= window.pad[0] and ends[1] <= window.pad[1]:  # every window lies inside the padded input
        step.end("AveragePool", [step.inputs[0].name], shape, count_include_pad=1, **attributes)
    else:
        mean = step.add("AveragePool", [step.inputs[0].name], part="mean", count_include_pad=1, **attributes)
        step.end("Mul", [mean, step.weight("correction", _correct_divisors((height, width), window, counts))], shape)


def _count_windows(step: Step, param: Fields, lengths: Pair, window: Window) -> Pair:
    """The number of windows along each axis: rounded up, the last one starting inside the padded input."""
    rounds_up = param.flag("ceil_mode", True) and param.text("round_mode", "CEIL") in ("CEIL", "0")
    counts = []
    for length, kernel, stride, pad in zip(lengths, window.kernel, window.stride, window.pad, strict=True):
        if pad >= kernel:
            raise step.wrong(f"a padding of {pad} is not below the window of {kernel}")
        room = length + 2 * pad - kernel
        count = (-(-room // stride) if rounds_up else room // stride) + 1
        if any(window.pad) and (count - 1) * stride >= length + pad:
            count -= 1
        if count < 1 or (count - 1) * stride >= length + pad:
            raise step.wrong(f"windows of {kernel} every {stride} pixels over {length} pixels: one would be empty")
        counts.append(count)
    return counts[0], counts[1]


def _correct_divisors(lengths: Pair, window: Window, counts: Pair) -> np.ndarray:
    """Whole window over the part of it inside the padded input, `(1, 1, H, W)`: ONNX divides by the one, Caffe by the other."""
    parts = []
    for length, kernel, stride, pad, count in zip(lengths, window.kernel, window.stride, window.pad, counts, strict=True):
        starts = np.arange(count) * stride - pad
        parts.append(kernel / (np.minimum(starts + kernel, length + pad) - starts))
    return np.outer(*parts)[None, None].astype(np.float32)


def _read_window(step: Step, param: Fields) -> Window:
    """Kernel, stride, pad and dilation in any of Caffe's spellings: once, once an axis, or by `_h` and `_w`."""
    kernel = _read_pair(step, param, "kernel_size", "kernel", None)
    return Window(
        kernel=kernel,
        stride=_read_pair(step, param, "stride", "stride", 1),
        pad=_read_pair(step, param, "pad", "pad", 0),
        dilation=_read_pair(step, param, "dilation", "dilation", 1),
    )


def _read_pair(step: Step, param: Fields, name: str, stem: str, default: int | None) -> Pair:
    values = param.integers(name)
    if f"{stem}_h" in param or f"{stem}_w" in param:
        values = [param.integer(f"{stem}_h", default or 0), param.integer(f"{stem}_w", default or 0)]
    if not values and default is not None:
        values = [default]
    if len(values) not in (1, 2):
        raise step.refuse(f"{name} has {len(values)} values where one or two are expected")
    if min(values) < (0 if name == "pad" else 1):
        raise step.wrong(f"{name} is {min(values)}")
    return values[0], values[-1]


def _window_attributes(window: Window) -> dict[str, object]:
    return {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "pads": [*window.pad, *window.pad],
        "dilations": window.dilation,
    }


def _check_groups(step: Step, param: Fields, channels: int, outputs: int, groups: int) -> None:
    if param.integer("axis", 1) not in (1, -3):
        raise step.refuse(f"its channels lie on axis {param.integer('axis', 1)}, not 1")
    if outputs < 1 or groups < 1 or channels % groups or outputs % groups:
        raise step.wrong(f"{channels} channels and {outputs} outputs cannot be split into {groups} groups")
