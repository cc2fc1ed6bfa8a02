"""Operators that pick numbers by their place, or put them there. A negative index counts from the end."""

import torch

from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse


def run_gather(node: Node, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Slices of `x` along `axis`, laid out in the shape of the indices."""
    axis = int(node.attributes.get("axis", 0)) % x.ndim
    flat = _count_from_front(indices.reshape(-1), x.shape[axis])
    return x.index_select(axis, flat).reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def run_gather_elements(node: Node, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """For each index the number of `x` at its own place, but along `axis` where the index says."""
    axis = int(node.attributes.get("axis", 0))
    return x.gather(axis, _count_from_front(indices, x.shape[axis]))


def run_gather_nd(node: Node, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Slices of `x` at places that the last axis of the indices holds, behind the `batch_dims` axes that both share."""
    batch_rank, lead = int(node.attributes.get("batch_dims", 0)), indices.shape[:-1]
    batches = [
        torch.arange(x.shape[axis], device=x.device).reshape([-1 if axis == place else 1 for place in range(len(lead))])
        for axis in range(batch_rank)
    ]
    return x[(*batches, *indices.long().unbind(-1))]


def run_scatter_nd(node: Node, x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """`x` with the updates in place of, or added to, the slices at places that the last axis of the indices holds."""
    reduction = node.attributes.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise refuse(node, "reduction none or add", reduction)
    return x.index_put(indices.long().unbind(-1), updates, accumulate=reduction == "add")


def run_scatter_elements(node: Node, x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """`x` with each update in place of, or added to, the number at its own place, but along `axis` where its index says."""
    axis, reduction = int(node.attributes.get("axis", 0)), node.attributes.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise refuse(node, "reduction none or add", reduction)
    places = _count_from_front(indices, x.shape[axis])
    return x.scatter(axis, places, updates) if reduction == "none" else x.scatter_add(axis, places, updates)


def _count_from_front(indices: torch.Tensor, size: int) -> torch.Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


INDEXING: dict[str, Operator] = {
    "Gather": Operator(run_gather),
    "GatherElements": Operator(run_gather_elements),
    "GatherND": Operator(run_gather_nd),
    "ScatterND": Operator(run_scatter_nd),
    "ScatterElements": Operator(run_scatter_elements),
}
