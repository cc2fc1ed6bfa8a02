"""Reductions of axes to one number each, and what orders or sums the numbers along one axis."""

from collections.abc import Callable

import torch

from sightline.runtime.backends.cuda.operators.axes import read_integers
from sightline.runtime.backends.cuda.operators.operator import Node, Operator

Tensor = torch.Tensor
Reduce = Callable[[Tensor, tuple[int, ...]], Tensor]  # keeps the axes, at size 1


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keepdim=True)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return torch.div(_sum(x, axes), count, rounding_mode="trunc")


def _sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.sum(axes, keepdim=True, dtype=x.dtype)


def _product(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True, dtype=x.dtype)
    return x


def _square_root(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return _sum(x.square(), axes).sqrt().to(x.dtype)


def _reduce(reduce: Reduce) -> Callable[..., Tensor]:
    """What reduces the axes named, an attribute and later an input; all where none is, unless the node then reduces none."""

    def run(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        stated = read_integers(node, "axes", axes) or []
        if not stated and node.attributes.get("noop_with_empty_axes", 0):
            return x
        places = tuple(axis % x.ndim for axis in stated) if stated else tuple(range(x.ndim))
        y = reduce(x, places) if places else reduce(x.reshape(1), (0,)).reshape(())
        return y if node.attributes.get("keepdims", 1) or not places else y.squeeze(places)

    return run


def run_arg_max(node: Node, x: Tensor) -> Tensor:
    """Place of the greatest number along `axis`: the first, or the last if so stated."""
    return _find_place(node, x, torch.argmax)


def run_arg_min(node: Node, x: Tensor) -> Tensor:
    """Place of the least number along `axis`: the first, or the last if so stated."""
    return _find_place(node, x, torch.argmin)


def _find_place(node: Node, x: Tensor, find: Callable[..., Tensor]) -> Tensor:
    axis, keeps = int(node.attributes.get("axis", 0)), bool(node.attributes.get("keepdims", 1))
    if node.attributes.get("select_last_index", 0):
        return x.shape[axis] - 1 - find(x.flip(axis), axis, keeps)
    return find(x, axis, keeps)


def run_top_k(node: Node, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, ...]:
    """The `k` greatest or least numbers along `axis`, in order, and their places."""
    count = node.attributes["k"] if k is None else int(k)
    largest, in_order = bool(node.attributes.get("largest", 1)), bool(node.attributes.get("sorted", 1))
    return tuple(torch.topk(x, count, int(node.attributes.get("axis", -1)), largest, in_order))


def run_cum_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Sums of the numbers up to each one along an axis, from its end if `reverse`, without itself if `exclusive`."""
    place = int(axis)
    x = x.flip(place) if node.attributes.get("reverse", 0) else x
    y = x.cumsum(place, dtype=x.dtype)
    if node.attributes.get("exclusive", 0):
        y = torch.cat((torch.zeros_like(y.narrow(place, 0, 1)), y.narrow(place, 0, y.shape[place] - 1)), place)
    return y.flip(place) if node.attributes.get("reverse", 0) else y


REDUCTIONS: dict[str, Operator] = {
    "ReduceMean": Operator(_reduce(_mean), parameters=(1,), wide=True),
    "ReduceSum": Operator(_reduce(_sum), parameters=(1,), wide=True),
    "ReduceMax": Operator(_reduce(lambda x, axes: x.amax(axes, keepdim=True)), parameters=(1,)),
    "ReduceMin": Operator(_reduce(lambda x, axes: x.amin(axes, keepdim=True)), parameters=(1,)),
    "ReduceProd": Operator(_reduce(_product), parameters=(1,), wide=True),
    "ReduceL1": Operator(_reduce(lambda x, axes: _sum(x.abs(), axes)), parameters=(1,), wide=True),
    "ReduceL2": Operator(_reduce(_square_root), parameters=(1,), wide=True),
    "ReduceSumSquare": Operator(_reduce(lambda x, axes: _sum(x.square(), axes)), parameters=(1,), wide=True),
    "ReduceLogSum": Operator(_reduce(lambda x, axes: _sum(x, axes).log()), parameters=(1,), wide=True),
    "ReduceLogSumExp": Operator(_reduce(lambda x, axes: x.logsumexp(axes, keepdim=True)), parameters=(1,), wide=True),
    "ArgMax": Operator(run_arg_max, wide=True),
    "ArgMin": Operator(run_arg_min, wide=True),
    "TopK": Operator(run_top_k, parameters=(1,), wide=True),
    "CumSum": Operator(run_cum_sum, parameters=(1,), wide=True),
}
