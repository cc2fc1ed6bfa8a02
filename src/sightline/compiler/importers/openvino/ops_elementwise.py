"""OpenVINO operations that work number by number, as ONNX operators.

Definitions: OpenVINO's operation specifications (opset 1 to 16) and ONNX operators up to opset 17; what ONNX has no operator
for (Swish, Mish, Gelu, HSigmoid ...) is written out.
"""

import math
from collections.abc import Callable
from typing import Any

from onnx import TensorProto

from sightline.compiler.importers.openvino.constants import Node, get_type
from sightline.compiler.importers.openvino.context import Context, get_output_shape, get_shape
from sightline.core.errors import Unsupported

FLOATS = {"f16", "bf16", "f32", "f64"}
UNARY = {
    "Abs": "Abs",
    "Ceiling": "Ceil",
    "Cos": "Cos",
    "Elu": "Elu",
    "Erf": "Erf",
    "Exp": "Exp",
    "Floor": "Floor",
    "HSwish": "HardSwish",
    "Log": "Log",
    "LogicalNot": "Not",
    "Negative": "Neg",
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Sign": "Sign",
    "Sin": "Sin",
    "SoftPlus": "Softplus",
    "SoftSign": "Softsign",
    "Sqrt": "Sqrt",
    "Tanh": "Tanh",
}
BINARY = {
    "Add": "Add",
    "Divide": "Div",
    "Equal": "Equal",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
    "LogicalXor": "Xor",
    "Maximum": "Max",
    "Minimum": "Min",
    "Multiply": "Mul",
    "Power": "Pow",
    "Subtract": "Sub",
}


def convert_unary(c: Context, node: Node) -> str:
    """One input, one ONNX operator."""
    attributes = {"alpha": float(node.get_attributes()["alpha"])} if node.get_type_name() == "Elu" else {}
    return _add_in_place(c, node, UNARY[node.get_type_name()], 1, **attributes)


def convert_binary(c: Context, node: Node) -> str:
    """Two inputs with numpy's broadcasting, one ONNX operator."""
    _check_broadcast(node)
    if node.get_type_name() == "Multiply" and (kept := _find_unscaled(c, node)) is not None:
        return c.get(node, kept)
    return _add_in_place(c, node, BINARY[node.get_type_name()], 2)


def convert_not_equal(c: Context, node: Node) -> str:
    """Not(Equal)."""
    _check_broadcast(node)
    return c.add(node, "Not", [c.step(node, "equal", "Equal", [c.get(node, 0), c.get(node, 1)])])


def convert_squared_difference(c: Context, node: Node) -> str:
    """(x - y)²."""
    _check_broadcast(node)
    difference = c.step(node, "difference", "Sub", [c.get(node, 0), c.get(node, 1)])
    return c.add(node, "Mul", [difference, difference])


def convert_mod(c: Context, node: Node) -> str:
    """Mod takes the sign of the dividend (C's fmod), FloorMod that of the divisor."""
    _check_broadcast(node)
    x, y = c.get(node, 0), c.get(node, 1)
    if node.get_type_name() == "Mod":
        return c.add(node, "Mod", [x, y], fmod=1)
    whole = c.step(node, "floor", "Floor", [c.step(node, "quotient", "Div", [x, y])])
    return c.add(node, "Sub", [x, c.step(node, "whole", "Mul", [whole, y])])


def convert_clamp(c: Context, node: Node) -> str:
    """Clip: ReLU6 and the like."""
    limits = node.get_attributes()
    return _add_in_place(c, node, "Clip", 1, *(c.scalar(node, end, limits[end]) for end in ("min", "max")))


def convert_prelu(c: Context, node: Node) -> str:
    """A slope of one axis belongs to the channels, axis 1; ONNX wants it broadcast from the right."""
    slope, rank = c.constant(node, 1), len(get_shape(node))
    if slope is None or slope.ndim != 1 or rank < 3:
        return c.add(node, "PRelu", [c.get(node, 0), c.get(node, 1)])
    return c.add(node, "PRelu", [c.get(node, 0), c.weight(node, "slope", slope.reshape(-1, *[1] * (rank - 2)))])


def convert_selu(c: Context, node: Node) -> str:
    """Selu, whose parameters are inputs here (Klambauer et al. 2017, eq. 2)."""
    alpha, gamma = (float(c.need(node, index, "parameters").ravel()[0]) for index in (1, 2))
    return c.add(node, "Selu", [c.get(node, 0)], alpha=alpha, gamma=gamma)


def convert_swish(c: Context, node: Node) -> str:
    """x * sigmoid(beta * x)."""
    x, beta = c.get(node, 0), c.constant(node, 1)
    if node.get_input_size() > 1 and (beta is None or float(beta.ravel()[0]) != 1.0):
        scaled = c.step(node, "scaled", "Mul", [x, c.get(node, 1)])
    else:
        scaled = x
    return c.add(node, "Mul", [x, c.step(node, "sigmoid", "Sigmoid", [scaled])])


def convert_hard_sigmoid(c: Context, node: Node) -> str:
    """HSigmoid is min(max(x + 3, 0), 6) / 6; HardSigmoid states its slope and offset."""
    alpha, beta = 1 / 6, 0.5
    if node.get_type_name() == "HardSigmoid":
        alpha, beta = (float(c.need(node, index, "parameters").ravel()[0]) for index in (1, 2))
    return c.add(node, "HardSigmoid", [c.get(node, 0)], alpha=alpha, beta=beta)


def convert_mish(c: Context, node: Node) -> str:
    """x * tanh(softplus(x)) (Misra 2019)."""
    x = c.get(node, 0)
    soft = c.step(node, "softplus", "Softplus", [x])
    return c.add(node, "Mul", [x, c.step(node, "tanh", "Tanh", [soft])])


def convert_gelu(c: Context, node: Node) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), or its tanh approximation (Hendrycks and Gimpel 2016, section 2)."""
    x = c.get(node, 0)
    if str(node.get_attributes().get("approximation_mode", "ERF")).upper() == "TANH":
        cube = c.step(node, "cube", "Pow", [x, c.scalar(node, "three", 3)])
        small = c.step(node, "small", "Mul", [cube, c.scalar(node, "factor", 0.044715)])
        inner = c.step(node, "inner", "Add", [x, small])
        scaled = c.step(node, "scaled", "Mul", [inner, c.scalar(node, "scale", math.sqrt(2 / math.pi))])
        bent = c.step(node, "tanh", "Tanh", [scaled])
    else:
        scaled = c.step(node, "scaled", "Div", [x, c.scalar(node, "scale", math.sqrt(2))])
        bent = c.step(node, "erf", "Erf", [scaled])
    raised = c.step(node, "raised", "Add", [bent, c.scalar(node, "one", 1)])
    half = c.step(node, "half", "Mul", [x, c.scalar(node, "half_weight", 0.5)])
    return c.add(node, "Mul", [half, raised])


def convert_round(c: Context, node: Node) -> str:
    """ONNX rounds halves to even."""
    mode = str(node.get_attributes()["mode"]).lower()
    if mode != "half_to_even":
        raise Unsupported(f"Round {node.get_friendly_name()} has mode {mode}, expected half_to_even")
    return c.add(node, "Round", [c.get(node, 0)])


def convert_select(c: Context, node: Node) -> str:
    """Where."""
    _check_broadcast(node)
    return c.add(node, "Where", [c.get(node, 0), c.get(node, 1), c.get(node, 2)])


def convert_type(c: Context, node: Node) -> str:
    """Floats are float32 and integers int64 in our graphs, so most conversions vanish."""
    source, target = get_type(node.input_value(0)), get_type(node.output(0))
    x = c.get(node, 0)
    is_float = x in c.pictures or source in FLOATS
    if (TensorProto.FLOAT if is_float else _find_family(source)) == _find_family(target):
        return x
    return c.add(node, "Cast", [x], to=_find_family(target))


def _add_in_place(c: Context, node: Node, kind: str, count: int, *more: str, **attributes: Any) -> str:
    """An ONNX node on the first `count` inputs, in front of the Transpose they may have come through."""
    found = c.find_sources(node, count)
    if found is None:
        return c.add(node, kind, [*(c.get(node, index) for index in range(count)), *more], **attributes)
    return c.add_transposed(node, found[1], kind, [*found[0], *more], **attributes)


def _find_unscaled(c: Context, node: Node) -> int | None:
    """The input that a product with ones leaves as it is; front ends write Swish with beta = 1 so."""
    for index in (0, 1):
        values = c.constant(node, 1 - index)
        if values is not None and (values == 1).all() and get_output_shape(node) == get_shape(node, index):
            return index
    return None


def _find_family(kind: str) -> int:
    if kind in FLOATS:
        return int(TensorProto.FLOAT)
    return int(TensorProto.BOOL if kind == "boolean" else TensorProto.INT64)


def _check_broadcast(node: Node) -> None:
    """OpenVINO's old "pdpd" rule lines axes up from the left; numpy's, which ONNX has, from the right."""
    attributes = node.get_attributes()
    rule = str(attributes.get("auto_broadcast", attributes.get("auto_broadcast_type", "numpy"))).lower()
    if rule not in ("numpy", "none", "explicit"):
        raise Unsupported(f"{node.get_type_name()} {node.get_friendly_name()} broadcasts by the rule {rule}, expected numpy")


CONVERTERS: dict[str, Callable[[Context, Any], str]] = {
    **dict.fromkeys(UNARY, convert_unary),
    **dict.fromkeys(BINARY, convert_binary),
    "Clamp": convert_clamp,
    "Convert": convert_type,
    "ConvertLike": convert_type,
    "FloorMod": convert_mod,
    "Gelu": convert_gelu,
    "HSigmoid": convert_hard_sigmoid,
    "HardSigmoid": convert_hard_sigmoid,
    "Mish": convert_mish,
    "Mod": convert_mod,
    "NotEqual": convert_not_equal,
    "PRelu": convert_prelu,
    "Round": convert_round,
    "Select": convert_select,
    "Selu": convert_selu,
    "SquaredDifference": convert_squared_difference,
    "Swish": convert_swish,
}
