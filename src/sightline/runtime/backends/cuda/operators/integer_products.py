"""Convolutions and matrix products of integers of 8 bits.

PyTorch has none on every device. So the integers are multiplied as floats that hold each sum exactly: FP32 up to 258 products,
beyond them FP64.
"""

import torch

from sightline.runtime.backends.cuda.operators.axes import shape_along
from sightline.runtime.backends.cuda.operators.convolutions import run_conv
from sightline.runtime.backends.cuda.operators.operator import Node, Operator
from sightline.runtime.backends.cuda.operators.quantising import round_into

Tensor = torch.Tensor
GREATEST_PRODUCT = 255 * 255
EXACT_IN_FP32 = 2**24


def run_conv_integer(
    node: Node, x: Tensor, weight: Tensor, zero: Tensor | None = None, weight_zero: Tensor | None = None
) -> Tensor:
    """A convolution of `x` and weights minus their zero points, int32."""
    dtype = _find_exact(weight[0].numel())
    moved = weight.to(dtype) if weight_zero is None else weight.to(dtype) - shape_along(weight_zero, 0, weight.ndim)
    return run_conv(node, x.to(dtype) if zero is None else x.to(dtype) - zero, moved).int()


def run_qlinear_conv(
    node: Node,
    x: Tensor,
    scale: Tensor,
    zero: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    weight_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """A convolution of quantised numbers, quantised; a bias is int32, of the scales of `x` and weights multiplied."""
    sums = run_conv_integer(node, x, weight, zero, weight_zero)
    if bias is not None:
        sums = sums + shape_along(bias, 1, x.ndim)
    return round_into(sums * shape_along(scale * weight_scale / y_scale, 1, x.ndim), y_zero)


def run_matmul_integer(node: Node, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
    """A matrix product of `a` and `b` minus their zero points, one for all, for each row of `a` or for each column of `b`."""
    dtype = _find_exact(a.shape[-1])
    rows = a.to(dtype) if a_zero is None else a.to(dtype) - _lay_along_rows(a_zero)
    columns = b.to(dtype) if b_zero is None else b.to(dtype) - b_zero
    return torch.matmul(rows, columns).int()


def run_qlinear_matmul(
    node: Node,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    """A matrix product of quantised numbers, quantised."""
    sums = run_matmul_integer(node, a, b, a_zero, b_zero)
    return round_into(sums * (_lay_along_rows(a_scale) * b_scale / y_scale), y_zero)


def _lay_along_rows(values: Tensor) -> Tensor:
    return values.unsqueeze(-1) if values.ndim == 1 and values.numel() > 1 else values


def _find_exact(count: int) -> torch.dtype:
    """Floats that hold a sum of so many products."""
    return torch.float32 if count * GREATEST_PRODUCT <= EXACT_IN_FP32 else torch.float64


INTEGER_PRODUCTS: dict[str, Operator] = {
    "ConvInteger": Operator(run_conv_integer),
    "QLinearConv": Operator(run_qlinear_conv, wide=True),
    "MatMulInteger": Operator(run_matmul_integer),
    "QLinearMatMul": Operator(run_qlinear_matmul, wide=True),
}
