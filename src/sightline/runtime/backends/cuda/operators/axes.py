"""Axes and other whole numbers of a node, which move from attributes to inputs as opsets grow."""

from collections.abc import Sequence

import torch

from sightline.runtime.backends.cuda.operators.operator import Node


def read_integers(node: Node, name: str, operand: torch.Tensor | None) -> list[int] | None:
    """The whole numbers of an input, else of the attribute that older opsets have; None where the node states neither."""
    if operand is not None:
        return [int(number) for number in operand.reshape(-1).tolist()]
    stated: Sequence[int] | None = node.attributes.get(name)
    return None if stated is None else [int(number) for number in stated]


def count_from_front(axes: Sequence[int], rank: int) -> list[int]:
    """Axes 0 to `rank` - 1 of axes that may count from the end."""
    return [axis + rank if axis < 0 else axis for axis in axes]


def shape_along(values: torch.Tensor, axis: int, rank: int) -> torch.Tensor:
    """A vector as a tensor of `rank` axes that lies along `axis`; a scalar stays one."""
    if values.ndim == 0 or values.numel() == 1:
        return values.reshape([1] * rank if rank else [])
    shape = [1] * rank
    shape[axis] = values.numel()
    return values.reshape(shape)
