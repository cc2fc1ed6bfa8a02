"""Activations, as layers and by name inside another layer's settings.

Formulas are those of `keras.activations`; where two versions of Keras differ, the version that wrote the file decides:
hard_sigmoid is clip(0.2 x + 0.5, 0, 1) up to Keras 2 and relu6(x + 3) / 6 from Keras 3 on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

from sightline.compiler.importers.keras.graph import PICTURE_RANK, GraphBuild, LayerCall, Tensor
from sightline.compiler.importers.keras.settings import LayerSettings
from sightline.core.errors import Unsupported

# Writes an activation as a call of its own, with its own path and settings, and names the last node's output.
Activation = Callable[[GraphBuild, LayerCall], str]


def write_activation(build: GraphBuild, call: LayerCall, tensor: Tensor, value: Any) -> str:
    """Apply the activation a layer names in its settings; the result carries the layer's output name.

    Raises: Unsupported for an activation that is not one of Keras.
    """
    name, settings = read_activation(call.path, value)
    return FUNCTIONS[name](build, replace(call, path=call.part(name), settings=settings, inputs=(tensor,)))


def is_linear(path: str, value: Any) -> bool:
    """Whether an activation setting means none."""
    return read_activation(path, value)[0] == "linear"


def read_activation(path: str, value: Any) -> tuple[str, LayerSettings]:
    """Name and settings of an activation: None, "relu", or the object a newer Keras writes for a function or a layer."""
    if value is None:
        return "linear", LayerSettings(path, {})
    settings: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        kind, config = value.get("class_name"), value.get("config")
        if kind == "function" or isinstance(config, str):  # {"class_name": "function", "config": "relu6"}
            value = config
        else:
            value, settings = kind, config if isinstance(config, Mapping) else {}
    if isinstance(value, str) and value in FUNCTIONS:
        return value, LayerSettings(path, settings)
    raise Unsupported(f"layer {path}: activation {str(value)[:60]!r} is not one of Keras's; known are {', '.join(FUNCTIONS)}")


def write_activation_layer(build: GraphBuild, call: LayerCall) -> Tensor:
    """`Activation`, or an activation that is a layer of its own."""
    tensor = call.tensor()
    if call.kind == "Activation":
        if is_linear(call.path, call.settings.get("activation")):
            return tensor
        name, settings = read_activation(call.path, call.settings.get("activation"))
    else:
        name, settings = call.kind, call.settings
    output = FUNCTIONS[name](build, replace(call, settings=settings))
    return Tensor(output, tensor.shape, tensor.flat_of)


def write_prelu(build: GraphBuild, call: LayerCall) -> Tensor:
    """PReLU: a learnt slope for each element, or for each place of the axes that are not shared."""
    tensor = call.tensor()
    shape = list(build.keras_shape(tensor.shape))
    for axis in call.settings.wholes("shared_axes"):
        if axis > len(shape):
            raise Unsupported(f"layer {call.path}: shared axis {axis} is none of a tensor of rank {len(shape) + 1}")
        shape[axis - 1] = 1
    slopes, order = call.weight(0, shape), tensor.order()
    if len(shape) == PICTURE_RANK and build.channels_last:
        slopes = slopes.transpose(2, 0, 1)  # (H, W, C) -> (C, H, W)
    if order is not None and slopes.size > 1:
        slopes = slopes[order]
    output = build.writer.add(
        "PRelu", [tensor.name, build.add_constant(call, "alpha", slopes)], name=call.path, output=call.output
    )
    return Tensor(output, tensor.shape, tensor.flat_of)


def _end(build: GraphBuild, call: LayerCall, kind: str, inputs: Sequence[str] = (), **attributes: Any) -> str:
    """The node that makes the call's output, of the tensor it reads unless of others."""
    return build.writer.add(kind, inputs or [call.tensor().name], name=call.path, output=call.output, **attributes)


def _step(build: GraphBuild, call: LayerCall, part: str, kind: str, inputs: Sequence[str]) -> str:
    """A node on the way to it."""
    return build.writer.add(kind, inputs, name=call.part(part))


def _one_node(kind: str, **attributes: Any) -> Activation:
    """An activation that ONNX has under one name."""
    return lambda build, call: _end(build, call, kind, **attributes)


def _write_relu(build: GraphBuild, call: LayerCall) -> str:
    """max_value where x >= max_value, x where x > threshold, else negative_slope (x - threshold)."""
    writer, settings, x = build.writer, call.settings, call.tensor().name
    slope, threshold = settings.number("negative_slope", 0.0), settings.number("threshold", 0.0)
    top = settings.number("max_value", 0.0) if settings.get("max_value") is not None else None
    if threshold == 0 and slope == 0 and top is not None:
        return _end(build, call, "Clip", [x, build.add_constant(call, "least", 0.0), build.add_constant(call, "most", top)])
    last = call.output if top is None else None
    if threshold != 0:
        edge = build.add_constant(call, "threshold", threshold)
        above = _step(build, call, "above", "Greater", [x, edge])
        below = _step(build, call, "below", "Sub", [x, edge])
        below = _step(build, call, "sloped", "Mul", [below, build.add_constant(call, "slope", slope)])
        x = writer.add("Where", [above, x, below], name=call.path, output=last)
    elif slope != 0:
        x = writer.add("LeakyRelu", [x], name=call.path, output=last, alpha=slope)
    else:
        x = writer.add("Relu", [x], name=call.path, output=last)
    if top is None:
        return x
    return writer.add("Min", [x, build.add_constant(call, "most", top)], name=call.part("max_value"), output=call.output)


def _write_relu6(build: GraphBuild, call: LayerCall) -> str:
    return _write_relu(build, replace(call, settings=LayerSettings(call.path, {"max_value": 6.0})))


def _leaky(default: float) -> Activation:
    def write(build: GraphBuild, call: LayerCall) -> str:
        slope = call.settings.number("negative_slope", call.settings.number("alpha", default))
        return _end(build, call, "LeakyRelu", alpha=slope)

    return write


def _write_elu(build: GraphBuild, call: LayerCall) -> str:
    return _end(build, call, "Elu", alpha=call.settings.number("alpha", 1.0))


def _write_thresholded(build: GraphBuild, call: LayerCall) -> str:
    return _end(build, call, "ThresholdedRelu", alpha=call.settings.number("theta", 1.0))


def _over_axis(kind: str) -> Activation:
    """Softmax and its logarithm, over Keras's last axis unless the settings name another."""

    def write(build: GraphBuild, call: LayerCall) -> str:
        axis = call.settings.get("axis", -1)
        if isinstance(axis, list) and len(axis) == 1:
            axis = axis[0]
        if type(axis) is not int:
            raise Unsupported(f"layer {call.settings.layer}: softmax over the axes {axis!r} is not supported, only over one")
        return _end(build, call, kind, axis=build.find_axis(call, call.tensor(), axis))

    return write


def _write_swish(build: GraphBuild, call: LayerCall) -> str:
    x = call.tensor().name
    return _end(build, call, "Mul", [x, _step(build, call, "sigmoid", "Sigmoid", [x])])


def _write_mish(build: GraphBuild, call: LayerCall) -> str:
    x = call.tensor().name
    gate = _step(build, call, "softplus", "Softplus", [x])
    return _end(build, call, "Mul", [x, _step(build, call, "tanh", "Tanh", [gate])])


def _write_hard_sigmoid(build: GraphBuild, call: LayerCall) -> str:
    return _end(build, call, "HardSigmoid", alpha=0.2 if build.version < (3, 0) else 1 / 6, beta=0.5)


def _write_gelu(build: GraphBuild, call: LayerCall) -> str:
    """x / 2 (1 + erf(x / sqrt 2)): Hendrycks and Gimpel 2016, the exact form, which is Keras's default."""
    if call.settings.flag("approximate", False):
        raise Unsupported(f"layer {call.settings.layer}: the approximate form of gelu is not supported")
    x = call.tensor().name
    scaled = _step(build, call, "scaled", "Div", [x, build.add_constant(call, "root_2", sqrt(2))])
    gate = _step(build, call, "erf", "Erf", [scaled])
    gate = _step(build, call, "plus_one", "Add", [gate, build.add_constant(call, "one", 1.0)])
    product = _step(build, call, "gated", "Mul", [x, gate])
    return _end(build, call, "Mul", [product, build.add_constant(call, "half", 0.5)])


FUNCTIONS: dict[str, Activation] = {
    "linear": _one_node("Identity"),
    "relu": _write_relu,
    "relu6": _write_relu6,
    "leaky_relu": _leaky(0.2),
    "elu": _write_elu,
    "selu": _one_node("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),  # Klambauer et al. 2017, eq. 14
    "gelu": _write_gelu,
    "sigmoid": _one_node("Sigmoid"),
    "hard_sigmoid": _write_hard_sigmoid,
    "tanh": _one_node("Tanh"),
    "softmax": _over_axis("Softmax"),
    "log_softmax": _over_axis("LogSoftmax"),
    "softplus": _one_node("Softplus"),
    "softsign": _one_node("Softsign"),
    "swish": _write_swish,
    "silu": _write_swish,
    "mish": _write_mish,
    "hard_swish": _one_node("HardSwish"),
    "hard_silu": _one_node("HardSwish"),
    "exponential": _one_node("Exp"),
}
# Layers, and functions of keras.ops that a model uses as layers.
LAYER_FUNCTIONS: dict[str, Activation] = {
    "ReLU": _write_relu,
    "LeakyReLU": _leaky(0.3),
    "ELU": _write_elu,
    "ThresholdedReLU": _write_thresholded,
    "Softmax": FUNCTIONS["softmax"],
    "Relu": _write_relu,
    "Relu6": _write_relu6,
    "Sigmoid": FUNCTIONS["sigmoid"],
    "Tanh": FUNCTIONS["tanh"],
    "Silu": _write_swish,
    "HardSigmoid": _write_hard_sigmoid,
    "HardSilu": FUNCTIONS["hard_silu"],
    "Exp": FUNCTIONS["exponential"],
}
FUNCTIONS |= LAYER_FUNCTIONS
LAYERS = dict.fromkeys(["Activation", *LAYER_FUNCTIONS], write_activation_layer) | {"PReLU": write_prelu}
