"""Convolutions and matrix products."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.axes import shape_along
from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse
from sightline.runtime.backends.cuda.operators.windows import (
    Window,
    fits_size,
    pad_spatially,
    read_pads,
    read_window,
    share_pads,
)

CONVOLVE: dict[int, Callable[..., torch.Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def run_conv(node: Node, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Weighted sums of the windows of `x` `(N, C, *spatial)`, weights `(M, C / group, *kernel)`."""
    convolve = _find_by_rank(node, CONVOLVE, x.ndim - 2)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    padding = window.befores
    if not window.is_even:
        x, padding = pad_spatially(x, window.pads), (0,) * (x.ndim - 2)
    return convolve(x, weight, bias, window.strides, padding, window.dilations, node.attributes.get("group", 1))


def run_conv_transpose(node: Node, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The gradient of a convolution: each number of `x` `(N, C, *spatial)` lays down weights `(C, M / group, *kernel)`."""
    rank = x.ndim - 2
    convolve = _find_by_rank(node, CONVOLVE_TRANSPOSED, rank)
    extra = tuple(node.attributes.get("output_padding", (0,) * rank))
    window = _read_transposed_window(node, x.shape[2:], weight.shape[2:], extra)
    options: Any = {"stride": window.strides, "dilation": window.dilations, "groups": node.attributes.get("group", 1)}
    if window.is_even:
        return convolve(x, weight, bias, padding=window.befores, output_padding=extra, **options)
    cuts = tuple((-before, more - behind) for (before, behind), more in zip(window.pads, extra, strict=True))
    y = pad_spatially(convolve(x, weight, None, **options), cuts)
    return y if bias is None else y + shape_along(bias, 1, y.ndim)


def _read_transposed_window(node: Node, sizes: torch.Size, kernel: torch.Size, extra: tuple[int, ...]) -> Window:
    """Windows whose pads are what is cut from the output: stated, or what leaves the output size stated."""
    rank = len(sizes)
    window = Window(
        tuple(kernel),
        tuple(node.attributes.get("strides", (1,) * rank)),
        tuple(node.attributes.get("dilations", (1,) * rank)),
        read_pads(node, rank),
    )
    outputs = node.attributes.get("output_shape")
    if outputs is None and not fits_size(node):
        return window
    if outputs is None:
        outputs = [size * stride for size, stride in zip(sizes, window.strides, strict=True)]
    full = [(size - 1) * stride + extent for size, stride, extent in zip(sizes, window.strides, window.extents, strict=True)]
    totals = [max(whole + more - size, 0) for whole, more, size in zip(full, extra, outputs[-rank:], strict=True)]
    return window._replace(pads=share_pads(totals, more_behind=node.attributes.get("auto_pad") == "SAME_UPPER"))


def _find_by_rank(node: Node, table: dict[int, Callable[..., torch.Tensor]], rank: int) -> Callable[..., torch.Tensor]:
    if rank not in table:
        raise refuse(node, "1 to 3 spatial axes", str(rank))
    return table[rank]


def run_gemm(node: Node, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
    """`alpha` times the product of two matrices, each transposed if so stated, plus `beta` times `c`."""
    a = a.t() if node.attributes.get("transA", 0) else a
    b = b.t() if node.attributes.get("transB", 0) else b
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if c is not None:
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)
    product = torch.mm(a, b)
    return product if alpha == 1 else product * alpha


def run_matmul(node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Product of the matrices in the last two axes, the axes before them broadcast."""
    return torch.matmul(a, b)


def run_einsum(node: Node, *operands: torch.Tensor) -> torch.Tensor:
    """Einstein's sum: products of numbers along axes with a letter each, summed over letters that the result lacks."""
    return torch.einsum(node.attributes["equation"], *operands)


CONVOLUTIONS: dict[str, Operator] = {
    "Conv": Operator(run_conv),
    "ConvTranspose": Operator(run_conv_transpose),
    "Gemm": Operator(run_gemm),
    "MatMul": Operator(run_matmul),
    "Einsum": Operator(run_einsum),
}
