"""Arithmetic, comparisons and logic on each number, operands broadcast to each other."""

from collections.abc import Callable
from functools import reduce

import torch

from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse

# Numbers of ONNX's TensorProto.DataType.
TYPES: dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.uint32,
    13: torch.uint64,
    16: torch.bfloat16,
}


def run_div(node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`a / b`; of whole numbers the whole part, rounded towards 0."""
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def run_pow(node: Node, base: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """`base` to the power of `exponent`, in the type of `base`."""
    return torch.pow(base, exponent).to(base.dtype)


def run_mod(node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """What `a / b` leaves, with the sign of `b`; of `a` if the node says `fmod`."""
    return torch.fmod(a, b) if node.attributes.get("fmod", 0) else torch.remainder(a, b)


def run_sum(node: Node, *operands: torch.Tensor) -> torch.Tensor:
    """Sum of all operands."""
    return reduce(torch.add, operands)


def run_mean(node: Node, *operands: torch.Tensor) -> torch.Tensor:
    """Mean of all operands."""
    return reduce(torch.add, operands) / len(operands)


def run_min(node: Node, *operands: torch.Tensor) -> torch.Tensor:
    """Least of all operands; NaN where one is."""
    return reduce(torch.minimum, operands)


def run_max(node: Node, *operands: torch.Tensor) -> torch.Tensor:
    """Greatest of all operands; NaN where one is."""
    return reduce(torch.maximum, operands)


def run_where(node: Node, condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`a` where the condition is true, else `b`."""
    return torch.where(condition, a, b)


def run_is_inf(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Where `x` is infinite, of the signs that the node detects."""
    positive, negative = node.attributes.get("detect_positive", 1), node.attributes.get("detect_negative", 1)
    if positive and negative:
        return torch.isinf(x)
    if positive:
        return torch.isposinf(x)
    return torch.isneginf(x) if negative else torch.zeros_like(x, dtype=torch.bool)


def run_cast(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` in another type; fractions are cut off, and all but 0 is true."""
    if node.attributes["to"] not in TYPES:
        raise refuse(node, f"a type of {', '.join(map(str, TYPES))} in ONNX's numbering", str(node.attributes["to"]))
    return x.to(TYPES[node.attributes["to"]])


def run_cast_like(node: Node, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`x` in the type of another tensor."""
    return x.to(other.dtype)


def run_identity(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x`."""
    return x


def run_dropout(
    node: Node, x: torch.Tensor, ratio: torch.Tensor | None = None, training: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """`x`, since nothing is dropped but in training, and a mask: true since opset 12, before that without a meaning, 0."""
    if training is not None and bool(training):
        raise refuse(node, "`training_mode` false", "true")
    if len(node.outputs) == 1:
        return x
    return x, torch.full_like(x, node.opset >= 12, dtype=torch.bool if node.opset >= 10 else x.dtype)


def _each(compute: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """What runs a function of PyTorch that means the same as the operator."""

    def run(node: Node, *operands: torch.Tensor) -> torch.Tensor:
        return compute(*operands)

    return run


ARITHMETIC: dict[str, Operator] = {
    "Add": Operator(_each(torch.add)),
    "Sub": Operator(_each(torch.sub)),
    "Mul": Operator(_each(torch.mul)),
    "Div": Operator(run_div, wide=True),
    "Pow": Operator(run_pow, wide=True),
    "Mod": Operator(run_mod, wide=True),
    "Min": Operator(run_min),
    "Max": Operator(run_max),
    "Sum": Operator(run_sum),
    "Mean": Operator(run_mean, wide=True),
    "Neg": Operator(_each(torch.neg)),
    "Abs": Operator(_each(torch.abs)),
    "Sqrt": Operator(_each(torch.sqrt), wide=True),
    "Exp": Operator(_each(torch.exp), wide=True),
    "Log": Operator(_each(torch.log), wide=True),
    "Reciprocal": Operator(_each(torch.reciprocal), wide=True),
    "Floor": Operator(_each(torch.floor)),
    "Ceil": Operator(_each(torch.ceil)),
    "Round": Operator(_each(torch.round)),  # halves to the even neighbour
    "Sign": Operator(_each(torch.sign)),
    "Erf": Operator(_each(torch.erf), wide=True),
    "Sin": Operator(_each(torch.sin), wide=True),
    "Cos": Operator(_each(torch.cos), wide=True),
    "Where": Operator(run_where),
    "Equal": Operator(_each(torch.eq), wide=True),
    "Greater": Operator(_each(torch.gt), wide=True),
    "Less": Operator(_each(torch.lt), wide=True),
    "GreaterOrEqual": Operator(_each(torch.ge), wide=True),
    "LessOrEqual": Operator(_each(torch.le), wide=True),
    "And": Operator(_each(torch.logical_and)),
    "Or": Operator(_each(torch.logical_or)),
    "Not": Operator(_each(torch.logical_not)),
    "Xor": Operator(_each(torch.logical_xor)),
    "IsNaN": Operator(_each(torch.isnan)),
    "IsInf": Operator(run_is_inf),
    "Cast": Operator(run_cast),
    "CastLike": Operator(run_cast_like),
    "Identity": Operator(run_identity),
    "Dropout": Operator(run_dropout, parameters=(1, 2)),
}
