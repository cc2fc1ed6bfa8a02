"""From numbers to the integers of a quantised network and back, for a whole tensor or for each place of an axis."""

import torch

from sightline.runtime.backends.cuda.operators.axes import shape_along
from sightline.runtime.backends.cuda.operators.operator import Node, Operator

Tensor = torch.Tensor


def run_quantize_linear(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """`x / scale` rounded, halves to the even neighbour, plus the zero point, kept within the zero point's type."""
    axis = _find_axis(node, x)
    steps = x / shape_along(scale, axis, x.ndim)
    return round_into(steps, None if zero is None else shape_along(zero, axis, x.ndim))


def run_dynamic_quantize_linear(node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`x` as uint8 with the scale and the zero point that fit the numbers it has, and both of these; 0 stays exact."""
    least, most = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = torch.where(most == least, 1, (most - least) / torch.full_like(most, 255))
    zero = round_into(-least / scale, None)
    return round_into(x / scale, zero), scale, zero


def round_into(steps: Tensor, zero: Tensor | None) -> Tensor:
    """Steps rounded, halves to the even neighbour, plus a zero point, and kept within its type; uint8 where there is none."""
    kind = torch.uint8 if zero is None else zero.dtype
    limits, y = torch.iinfo(kind), steps.round()
    return (y if zero is None else y + zero).clamp(limits.min, limits.max).to(kind)


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
    "DynamicQuantizeLinear": Operator(run_dynamic_quantize_linear, wide=True),
}
