"""Activations, as layers and by name inside another layer's settings.

Formulas are those of `keras.activations`; where two versions of Keras differ, the version that wrote the file decides:
hard_sigmoid is clip(0.2 x + 0.5, 0, 1) up to Keras 2 and relu6(x + 3) / 6 from Keras 3 on.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

from sightline.compiler.importers.keras.graph import PICTURE_RANK, GraphBuild, LayerCall, Tensor
from sightline.compiler.importers.keras.settings import LayerSettings
from sightline.core.errors import Unsupported

# Writes the nodes of an activation of `tensor` and names the last one's output; `name` stands on its nodes.
Activation = Callable[[GraphBuild, LayerCall, Tensor, LayerSettings, str, str], str]


def write_activation(build: GraphBuild, call: LayerCall, tensor: Tensor, value: Any) -> str:
    """Apply the activation a layer names in its settings; the result carries the layer's output name.

    Raises: Unsupported for an activation that is not one of Keras.
    """
    name, settings = read_activation(call.path, value)
    return FUNCTIONS[name](build, call, tensor, settings, call.part(name), call.output)


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
    output = FUNCTIONS[name](build, call, tensor, settings, call.path, call.output)
    return Tensor(output, tensor.shape, tensor.flat_of)


def write_prelu(build: GraphBuild, call: LayerCall) -> Tensor:
    """PReLU: a learnt slope for each element, or for each place of the axes that are not shared."""
    tensor = call.tensor()
    shape = list(build.keras_shape(tensor.shape))
    for axis in call.settings.wholes("shared_axes", least=1):
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


def _one_node(kind: str, **attributes: float) -> Activation:
    """An activation that ONNX has under one name."""

    def write(build: GraphBuild, _call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str) -> str:
        return build.writer.add(kind, [tensor.name], name=name, output=output, **attributes)

    return write


def _write_linear(build: GraphBuild, _call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str) -> str:
    return build.writer.add("Identity", [tensor.name], name=name, output=output)


def _write_relu(build: GraphBuild, call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str) -> str:
    """max_value where x >= max_value, x where x > threshold, else negative_slope (x - threshold)."""
    writer, x = build.writer, tensor.name
    slope, threshold = settings.number("negative_slope", 0.0), settings.number("threshold", 0.0)
    top = settings.number("max_value", 0.0) if settings.get("max_value") is not None else None
    if threshold == 0 and slope == 0 and top is not None:
        bounds = [build.add_constant(call, "least", 0.0), build.add_constant(call, "most", top)]
        return writer.add("Clip", [x, *bounds], name=name, output=output)
    last = output if top is None else None
    if threshold != 0:
        edge = build.add_constant(call, "threshold", threshold)
        above = writer.add("Greater", [x, edge], name=f"{name}/above")
        below = writer.add("Sub", [x, edge], name=f"{name}/below")
        below = writer.add("Mul", [below, build.add_constant(call, "slope", slope)], name=f"{name}/sloped")
        x = writer.add("Where", [above, x, below], name=name, output=last)
    elif slope != 0:
        x = writer.add("LeakyRelu", [x], name=name, output=last, alpha=slope)
    else:
        x = writer.add("Relu", [x], name=name, output=last)
    if top is None:
        return x
    return writer.add("Min", [x, build.add_constant(call, "most", top)], name=f"{name}/max_value", output=output)


def _write_relu6(build: GraphBuild, call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str) -> str:
    return _write_relu(build, call, tensor, LayerSettings(call.path, {"max_value": 6.0}), name, output)


def _leaky(default: float) -> Activation:
    def write(build: GraphBuild, _call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str) -> str:
        slope = settings.number("negative_slope", settings.number("alpha", default))
        return build.writer.add("LeakyRelu", [tensor.name], name=name, output=output, alpha=slope)

    return write


def _write_elu(build: GraphBuild, _call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str) -> str:
    return build.writer.add("Elu", [tensor.name], name=name, output=output, alpha=settings.number("alpha", 1.0))


def _write_thresholded(
    build: GraphBuild, _call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str
) -> str:
    theta = settings.number("theta", 1.0)
    return build.writer.add("ThresholdedRelu", [tensor.name], name=name, output=output, alpha=theta)


def _over_axis(kind: str) -> Activation:
    """Softmax and its logarithm, over Keras's last axis unless the settings name another."""

    def write(build: GraphBuild, call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str) -> str:
        axis = settings.get("axis", -1)
        if isinstance(axis, list) and len(axis) == 1:
            axis = axis[0]
        if type(axis) is not int:
            raise Unsupported(f"layer {call.path}: softmax over the axes {axis!r} is not supported, only over one")
        return build.writer.add(kind, [tensor.name], name=name, output=output, axis=build.find_axis(call, tensor, axis))

    return write


def _write_swish(build: GraphBuild, _call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str) -> str:
    gate = build.writer.add("Sigmoid", [tensor.name], name=f"{name}/sigmoid")
    return build.writer.add("Mul", [tensor.name, gate], name=name, output=output)


def _write_mish(build: GraphBuild, _call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str) -> str:
    gate = build.writer.add("Softplus", [tensor.name], name=f"{name}/softplus")
    gate = build.writer.add("Tanh", [gate], name=f"{name}/tanh")
    return build.writer.add("Mul", [tensor.name, gate], name=name, output=output)


def _write_hard_sigmoid(
    build: GraphBuild, _call: LayerCall, tensor: Tensor, _settings: LayerSettings, name: str, output: str
) -> str:
    alpha = 0.2 if build.version < (3, 0) else 1 / 6
    return build.writer.add("HardSigmoid", [tensor.name], name=name, output=output, alpha=alpha, beta=0.5)


def _write_gelu(build: GraphBuild, call: LayerCall, tensor: Tensor, settings: LayerSettings, name: str, output: str) -> str:
    """x / 2 (1 + erf(x / sqrt 2)): Hendrycks and Gimpel 2016, the exact form, which is Keras's default."""
    if settings.flag("approximate", False):
        raise Unsupported(f"layer {call.path}: the approximate form of gelu is not supported")
    writer = build.writer
    scaled = writer.add("Div", [tensor.name, build.add_constant(call, "root_2", sqrt(2))], name=f"{name}/scaled")
    gate = writer.add("Erf", [scaled], name=f"{name}/erf")
    gate = writer.add("Add", [gate, build.add_constant(call, "one", 1.0)], name=f"{name}/plus_one")
    product = writer.add("Mul", [tensor.name, gate], name=f"{name}/gated")
    return writer.add("Mul", [product, build.add_constant(call, "half", 0.5)], name=name, output=output)


_relu, _leaky_layer, _softmax, _sigmoid = _write_relu, _leaky(0.3), _over_axis("Softmax"), _one_node("Sigmoid")
FUNCTIONS: dict[str, Activation] = {
    "linear": _write_linear,
    "relu": _relu,
    "relu6": _write_relu6,
    "leaky_relu": _leaky(0.2),
    "elu": _write_elu,
    "selu": _one_node("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),  # Klambauer et al. 2017, eq. 14
    "gelu": _write_gelu,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _write_hard_sigmoid,
    "tanh": _one_node("Tanh"),
    "softmax": _softmax,
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
    "ReLU": _relu,
    "LeakyReLU": _leaky_layer,
    "ELU": _write_elu,
    "ThresholdedReLU": _write_thresholded,
    "Softmax": _softmax,
    "Relu": _relu,
    "Relu6": _write_relu6,
    "Sigmoid": _sigmoid,
    "Tanh": FUNCTIONS["tanh"],
    "Silu": _write_swish,
    "HardSigmoid": _write_hard_sigmoid,
    "HardSilu": FUNCTIONS["hard_silu"],
    "Exp": FUNCTIONS["exponential"],
}
FUNCTIONS |= LAYER_FUNCTIONS
LAYERS = dict.fromkeys(["Activation", *LAYER_FUNCTIONS], write_activation_layer) | {"PReLU": write_prelu}
