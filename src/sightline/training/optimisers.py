"""Optimisers: a table from name to a function that builds one over two groups, decayed and not decayed."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sightline.core.errors import InvalidInput
from sightline.training.recipe import Recipe


def group_parameters(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels decay, biases and norms (one dimension or none) do not (He et al. 2019, §3.1)."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _build_sgd(groups: Iterable[dict[str, Any]], recipe: Recipe) -> Optimizer:
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, foreach=True
    )


def _build_adamw(groups: Iterable[dict[str, Any]], recipe: Recipe) -> Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), foreach=True)


OPTIMISERS: dict[str, Callable[[Iterable[dict[str, Any]], Recipe], Optimizer]] = {"sgd": _build_sgd, "adamw": _build_adamw}


def build_optimiser(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over all parameters that learn. Raises: InvalidInput for an unknown name."""
    if recipe.optimiser not in OPTIMISERS:
        raise InvalidInput(f"expected an optimiser of {', '.join(OPTIMISERS)}, got {recipe.optimiser!r}; choose one of them")
    return OPTIMISERS[recipe.optimiser](group_parameters(network, recipe.weight_decay), recipe)


def set_learning_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """Set the rate of every group; a group's own `rate_factor` scales it."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group.get("rate_factor", 1.0)
