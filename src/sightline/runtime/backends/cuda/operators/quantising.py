"""From numbers to the integers of a quantised network and back, for a whole tensor or for each place of an axis."""

import torch

from sightline.runtime.backends.cuda.operators.axes import shape_along
from sightline.runtime.backends.cuda.operators.operator import Node, Operator

Tensor = torch.Tensor


def run_quantize_linear(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """`x / scale` rounded, halves to the even neighbour, plus the zero point, kept within the zero point's type."""
    kind = torch.uint8 if zero is None else zero.dtype
    limits, axis = torch.iinfo(kind), _find_axis(node, x)
    y = (x / shape_along(scale, axis, x.ndim)).round()
    if zero is not None:
        y = y + shape_along(zero, axis, x.ndim)
    return y.clamp(limits.min, limits.max).to(kind)


def run_dequantize_linear(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """`x` minus the zero point, times the scale, in the type of the scale."""
    axis, steps = _find_axis(node, x), x.int()
    if zero is not None:
        steps = steps - shape_along(zero, axis, x.ndim)
    return steps.to(scale.dtype) * shape_along(scale, axis, x.ndim)


def _find_axis(node: Node, x: Tensor) -> int:
    return int(node.attributes.get("axis", 1)) % (x.ndim or 1)


QUANTISATION: dict[str, Operator] = {
    "QuantizeLinear": Operator(run_quantize_linear, wide=True),
    "DequantizeLinear": Operator(run_dequantize_linear, wide=True),
}
