"""Pools: one number for each window, or for each channel."""

from collections.abc import Callable
from math import prod

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse
from sightline.runtime.backends.cuda.operators.windows import Window, pad_spatially, read_window

MAX_POOLS: dict[int, Callable[..., torch.Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOLS: dict[int, Callable[..., torch.Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def run_max_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Greatest number of each window of `x` `(N, C, *spatial)`; padding never is the greatest."""
    if any(node.outputs[1:]):
        raise refuse(node, "one output", "a second one, of places")
    if not x.is_floating_point():  # PyTorch pools no integers on a GPU; float32 holds those of 8 bits
        return run_max_pool(node, x.float()).to(x.dtype)
    pool = _find_by_rank(node, MAX_POOLS, x.ndim - 2)
    window = _reach_last_window(node, read_window(node, x.shape[2:], ()), x.shape[2:])
    padding = window.befores
    if not window.is_even or any(2 * pad > kernel for pad, kernel in zip(padding, window.kernel, strict=True)):
        x, padding = pad_spatially(x, window.pads, float("-inf")), (0,) * (x.ndim - 2)
    return pool(x, window.kernel, window.strides, padding, window.dilations)


def run_average_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Mean of each window of `x` `(N, C, *spatial)`, of the padding too if `count_include_pad`."""
    rank = x.ndim - 2
    pool = _find_by_rank(node, AVERAGE_POOLS, rank)
    sizes, stated = x.shape[2:], read_window(node, x.shape[2:], ())
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    window = _reach_last_window(node, stated, sizes)
    fits_torch = all(2 * before <= kernel for before, kernel in zip(window.befores, window.kernel, strict=True))
    if window.pads == stated.pads and window.is_even and fits_torch:
        return pool(x, window.kernel, window.strides, window.befores, False, counts_pads)
    y = pool(pad_spatially(x, window.pads), window.kernel, window.strides)
    scale = torch.full((), prod(window.kernel), dtype=torch.float32, device=x.device)
    for axis in range(rank):
        before, behind = stated.pads[axis] if counts_pads else (0, 0)
        starts = torch.arange(y.shape[2 + axis], device=x.device) * window.strides[axis] - window.befores[axis]
        ends = (starts + window.kernel[axis]).clamp(max=sizes[axis] + behind)
        counts = ends - starts.clamp(min=-before)
        scale = scale / counts.reshape([-1] + [1] * (rank - 1 - axis))
    return y * scale.to(x.dtype)


def run_lp_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`p`-norm of each window of `x` `(N, C, *spatial)`."""
    power = node.attributes.get("p", 2)
    window = _reach_last_window(node, read_window(node, x.shape[2:], ()), x.shape[2:])
    y = pad_spatially(x.abs().pow(power), window.pads)
    for axis, (extent, stride, dilation) in enumerate(zip(window.extents, window.strides, window.dilations, strict=True)):
        y = y.unfold(2 + axis, extent, stride)[..., ::dilation].sum(-1)
    return y.pow(1 / power)


def _reach_last_window(node: Node, window: Window, sizes: torch.Size) -> Window:
    """With `ceil_mode`, the last window may reach beyond the padding, unless it would begin there: pads up to its end."""
    if not node.attributes.get("ceil_mode", 0):
        return window
    pads = []
    for size, (before, behind), extent, stride in zip(sizes, window.pads, window.extents, window.strides, strict=True):
        last = -(-(size + before + behind - extent) // stride) * stride
        last -= stride if last >= size + before else 0
        pads.append((before, last + extent - size - before))
    return window._replace(pads=tuple(pads))


def _find_by_rank(node: Node, table: dict[int, Callable[..., torch.Tensor]], rank: int) -> Callable[..., torch.Tensor]:
    if rank not in table:
        raise refuse(node, "1 to 3 spatial axes", str(rank))
    return table[rank]


def run_global_average_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Mean of each channel."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


def run_global_max_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Greatest number of each channel."""
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


def run_global_lp_pool(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`p`-norm of each channel."""
    power = node.attributes.get("p", 2)
    return x.abs().pow(power).sum(dim=tuple(range(2, x.ndim)), keepdim=True).pow(1 / power)


POOLS: dict[str, Operator] = {
    "MaxPool": Operator(run_max_pool),
    "AveragePool": Operator(run_average_pool),
    "LpPool": Operator(run_lp_pool, wide=True),
    "GlobalAveragePool": Operator(run_global_average_pool),
    "GlobalMaxPool": Operator(run_global_max_pool),
    "GlobalLpPool": Operator(run_global_lp_pool, wide=True),
}
