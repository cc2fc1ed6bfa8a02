"""Caffe layers that compute value by value, or normalise: activations, Power, Eltwise, Scale, Bias, LRN, Normalize, ...

Definitions: the header of each layer in Caffe (include/caffe/layers), Normalize in Caffe-SSD.
"""

import math
from collections.abc import Sequence

import numpy as np

from sightline.compiler.importers.caffe.step import Step

Operation = tuple[str, float | None]  # an ONNX node and its second input, None where it has one input
PLAIN = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus"}
NORMALIZE_EPS = 1e-10


def write_plain(step: Step) -> None:
    """A layer that has one ONNX node of the same meaning and no parameters."""
    step.end(PLAIN[step.layer.type], [step.inputs[0].name], step.inputs[0].shape)


def write_relu(step: Step) -> None:
    """ReLU, leaky where `negative_slope` is given."""
    slope = step.layer.param("relu_param").number("negative_slope", 0.0)
    if slope:
        step.end("LeakyRelu", [step.inputs[0].name], step.inputs[0].shape, alpha=slope)
    else:
        step.end("Relu", [step.inputs[0].name], step.inputs[0].shape)


def write_relu6(step: Step) -> None:
    """ReLU6: cut to 0..6."""
    _end_clip(step, 0.0, 6.0)


def write_clip(step: Step) -> None:
    """Clip: cut to min..max; OpenCV loses the sign of a negative bound, so such a layer is refused."""
    param = step.layer.param("clip_param")
    low, high = param.number("min", -1.0), param.number("max", -1.0)
    if not 0 <= low <= high:
        raise step.refuse(f"bounds {low:g} and {high:g} cannot be verified; only 0 <= min <= max can")
    _end_clip(step, low, high)


def write_prelu(step: Step) -> None:
    """PReLU (He et al. 2015): a slope per channel, or one for all."""
    shape = step.inputs[0].shape
    is_shared = step.layer.param("prelu_param").flag("channel_shared")
    slope = step.blob(0, (1,) if is_shared else (shape[0], *[1] * (len(shape) - 1)))
    step.end("PRelu", [step.inputs[0].name, step.weight("slope", slope)], shape)


def write_elu(step: Step) -> None:
    """ELU (Clevert et al. 2015)."""
    step.end("Elu", [step.inputs[0].name], step.inputs[0].shape, alpha=step.layer.param("elu_param").number("alpha", 1.0))


def write_swish(step: Step) -> None:
    """Swish: x sigmoid(beta x)."""
    name = step.inputs[0].name
    beta = step.layer.param("swish_param").number("beta", 1.0)
    scaled = name if beta == 1 else step.add("Mul", [name, step.scalar("beta", beta)], part="scaled")
    step.end("Mul", [name, step.add("Sigmoid", [scaled], part="gate")], step.inputs[0].shape)


def write_power(step: Step) -> None:
    """Power: (shift + scale x) ^ power."""
    param = step.layer.param("power_param")
    power = param.number("power", 1.0)
    operations = _affine(param.number("scale", 1.0), param.number("shift", 0.0))
    _end_chain(step, operations if power == 1 else [*operations, ("Pow", power)])


def write_exp(step: Step) -> None:
    """Exp: base ^ (shift + scale x); base -1 stands for e."""
    param = step.layer.param("exp_param")
    base = param.number("base", -1.0)
    if base != -1 and base <= 0:
        raise step.wrong(f"its base is {base:g}")
    rate = 1.0 if base == -1 else math.log(base)
    inner = _affine(param.number("scale", 1.0) * rate, param.number("shift", 0.0) * rate)
    _end_chain(step, [*inner, ("Exp", None)])


def write_log(step: Step) -> None:
    """Log: the natural logarithm. One of another base or of shift + scale x is refused, because OpenCV gives it as this one."""
    param = step.layer.param("log_param")
    if param.number("base", -1.0) != -1 or param.number("scale", 1.0) != 1 or param.number("shift", 0.0):
        raise step.refuse("it has a base, a scale or a shift, and nothing here can run such a layer to verify it")
    step.end("Log", [step.inputs[0].name], step.inputs[0].shape)


def write_eltwise(step: Step) -> None:
    """Eltwise: sum with coefficients, product or maximum of tensors of one shape."""
    shape = step.inputs[0].shape
    if any(tensor.shape != shape for tensor in step.inputs):
        raise step.wrong(f"its inputs have the shapes {[tensor.shape for tensor in step.inputs]}")
    param = step.layer.param("eltwise_param")
    operation = param.text("operation", "SUM")
    operation = {"0": "PROD", "1": "SUM", "2": "MAX"}.get(operation, operation)
    if operation not in ("PROD", "SUM", "MAX"):
        raise step.refuse(f"operation {operation} is none of PROD, SUM, MAX")
    names = [tensor.name for tensor in step.inputs]
    if operation == "SUM" and (factors := param.numbers("coeff")):
        _end_weighted_sum(step, names, factors)
    else:
        _end_folded(step, {"PROD": "Mul", "SUM": "Add", "MAX": "Max"}[operation], names)


def write_channel_affine(step: Step) -> None:
    """BatchNorm, Scale and Bias where no convolution takes them: a factor and a summand per channel."""
    shape = step.inputs[0].shape
    factor, summand = step.blob(0, (shape[0],)), step.blob(1, (shape[0],))
    inputs = [step.inputs[0].name, step.weight("factor", factor), step.weight("summand", summand)]
    if len(shape) == 1:
        step.end("Add", [step.add("Mul", inputs[:2], part="product"), inputs[2]], shape)
        return
    inputs += [step.weight("mean", np.zeros_like(factor)), step.weight("variance", np.ones_like(factor))]
    step.end("BatchNormalization", inputs, shape, epsilon=0.0)


def write_scale(step: Step) -> None:
    """Scale by a second input (squeeze-and-excitation), or by weights over other axes than the channels."""
    param = step.layer.param("scale_param")
    if len(step.inputs) == 2:
        factor, shape = _broadcast_input(step, param.integer("axis", 1))
        biases = step.layer.blobs
    else:
        shape = _broadcast_shape(step, param.integer("axis", 1), param.integer("num_axes", 1))
        factor = step.weight("factor", step.blob(0, shape))
        biases = step.layer.blobs[1:]
    if not biases:
        step.end("Mul", [step.inputs[0].name, factor], step.inputs[0].shape)
        return
    summand = step.weight("summand", step.blob(len(step.layer.blobs) - 1, shape))
    step.end("Add", [step.add("Mul", [step.inputs[0].name, factor], part="product"), summand], step.inputs[0].shape)


def write_bias(step: Step) -> None:
    """Bias from a second input, or from weights over other axes than the channels."""
    param = step.layer.param("bias_param")
    if len(step.inputs) == 2:
        summand, _ = _broadcast_input(step, param.integer("axis", 1))
    else:
        shape = _broadcast_shape(step, param.integer("axis", 1), param.integer("num_axes", 1))
        summand = step.weight("summand", step.blob(0, shape))
    step.end("Add", [step.inputs[0].name, summand], step.inputs[0].shape)


def write_lrn(step: Step) -> None:
    """LRN (Krizhevsky et al. 2012) over neighbouring channels, or over a square of pixels of each channel."""
    step.picture()
    param = step.layer.param("lrn_param")
    size, alpha, beta = param.integer("local_size", 5), param.number("alpha", 1.0), param.number("beta", 0.75)
    if size < 1 or size % 2 == 0:
        raise step.wrong(f"local_size is {size}, which is not odd")
    name, shape = step.inputs[0].name, step.inputs[0].shape
    region = param.text("norm_region", "ACROSS_CHANNELS")
    if region in ("ACROSS_CHANNELS", "0"):
        step.end("LRN", [name], shape, size=size, alpha=alpha, beta=beta, bias=param.number("k", 1.0))
        return
    square = step.add("Mul", [name, name], part="square")
    pads = [size // 2] * 4
    mean = step.add("AveragePool", [square], part="mean", kernel_shape=[size, size], pads=pads, count_include_pad=1)
    weighted = step.add("Mul", [mean, step.scalar("alpha", alpha)], part="weighted")
    shifted = step.add("Add", [weighted, step.scalar("one", 1.0)], part="shifted")  # lrn_layer.cpp takes 1 here, not k
    step.end("Div", [name, step.add("Pow", [shifted, step.scalar("beta", beta)], part="norm")], shape)


def write_normalize(step: Step) -> None:
    """Normalize (Liu et al. 2016, after ParseNet): every pixel's channels, or the whole picture, to length 1, then scaled."""
    channels = step.picture()[0]
    param = step.layer.param("norm_param")
    name, shape = step.inputs[0].name, step.inputs[0].shape
    scale = step.blob(0, (1,) if param.flag("channel_shared", True) else (channels, 1, 1))
    axes = step.weight("axes", np.array([1, 2, 3] if param.flag("across_spatial", True) else [1], np.int64))
    total = step.add("ReduceSum", [step.add("Mul", [name, name], part="square"), axes], part="sum", keepdims=1)
    raised = step.add("Add", [total, step.scalar("eps", param.number("eps", NORMALIZE_EPS))], part="raised")
    unit = step.add("Div", [name, step.add("Sqrt", [raised], part="length")], part="unit")
    step.end("Mul", [unit, step.weight("scale", scale)], shape)


def write_softmax(step: Step) -> None:
    """Softmax along an axis."""
    axis = step.axis(step.layer.param("softmax_param").integer("axis", 1))
    step.end("Softmax", [step.inputs[0].name], step.inputs[0].shape, axis=axis)


def write_argmax(step: Step) -> None:
    """ArgMax along an axis that stays with length 1; the index as a float, as Caffe gives it."""
    param = step.layer.param("argmax_param")
    if param.integer("top_k", 1) != 1 or param.flag("out_max_val") or "axis" not in param:
        raise step.refuse("it asks for more than the index of the greatest value along one axis")
    axis = step.axis(param.integer("axis"))
    shape = list(step.inputs[0].shape)
    shape[axis - 1] = 1
    index = step.add("ArgMax", [step.inputs[0].name], part="index", axis=axis, keepdims=1)
    step.end("Cast", [index], shape, to=1)


def _end_clip(step: Step, low: float, high: float) -> None:
    bounds = [step.scalar("min", low), step.scalar("max", high)]
    step.end("Clip", [step.inputs[0].name, *bounds], step.inputs[0].shape)


def _affine(scale: float, shift: float) -> list[Operation]:
    """The nodes of scale x + shift that are needed."""
    return [*([("Mul", scale)] if scale != 1 else []), *([("Add", shift)] if shift else [])]


def _end_chain(step: Step, operations: Sequence[Operation]) -> None:
    """One node behind the other; an Identity where there is none."""
    name, shape = step.inputs[0].name, step.inputs[0].shape
    operations = operations or [("Identity", None)]
    for number, (kind, value) in enumerate(operations, 1):
        part = f"{kind.lower()}{number}"
        inputs = [name] if value is None else [name, step.scalar(part, value)]
        if number == len(operations):
            step.end(kind, inputs, shape)
        else:
            name = step.add(kind, inputs, part=part)


def _end_weighted_sum(step: Step, names: Sequence[str], factors: Sequence[float]) -> None:
    if len(factors) != len(names):
        raise step.wrong(f"{len(factors)} coefficients for {len(names)} inputs")
    if tuple(factors) == (1.0, -1.0):
        step.end("Sub", names, step.inputs[0].shape)
        return
    terms = []
    for number, (name, factor) in enumerate(zip(names, factors, strict=True), 1):
        part = f"term{number}"
        terms.append(name if factor == 1 else step.add("Mul", [name, step.scalar(part, factor)], part=part))
    _end_folded(step, "Add", terms)


def _end_folded(step: Step, kind: str, names: Sequence[str]) -> None:
    """a ∘ b ∘ c as nodes of two inputs; an Identity for one."""
    if len(names) == 1:
        step.end("Identity", names, step.inputs[0].shape)
        return
    result = names[0]
    for number, name in enumerate(names[1:-1], 1):
        result = step.add(kind, [result, name], part=f"{kind.lower()}{number}")
    step.end(kind, [result, names[-1]], step.inputs[0].shape)


def _broadcast_shape(step: Step, axis: int, count: int) -> tuple[int, ...]:
    """The shape of weights that lie over `count` axes from `axis` on, ready to broadcast. All axes that are left for -1."""
    if count == 0:
        return (1,)
    start, shape = step.axis(axis), step.inputs[0].shape
    end = len(shape) + 1 if count == -1 else start + count
    if not start < end <= len(shape) + 1:
        raise step.wrong(f"it covers {count} axes from {axis} on, of {len(shape) + 1}")
    return (*shape[start - 1 : end - 1], *[1] * (len(shape) + 1 - end))


def _broadcast_input(step: Step, axis: int) -> tuple[str, tuple[int, ...]]:
    """The second input, given trailing axes so that it broadcasts over the first, and its shape."""
    shape, other = step.inputs[0].shape, step.inputs[1]
    if axis not in (0, -len(shape) - 1) or other.shape != shape[: len(other.shape)]:
        raise step.refuse(f"its second input {other.shape} does not lie over the first axes of {shape} (axis 0)")
    wide = (*other.shape, *[1] * (len(shape) - len(other.shape)))
    if wide == other.shape:
        return other.name, wide
    return step.add("Reshape", [other.name, step.weight("wide", np.array([0, *wide], np.int64))], part="wide"), wide
