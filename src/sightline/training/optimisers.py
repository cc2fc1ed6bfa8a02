"""Optimisers: a table from name to a function that builds one over a network's parameters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sightline.core.errors import InvalidInput
from sightline.training.lars import Lars
from sightline.training.muon import Muon
from sightline.training.recipe import Recipe

MUON_REST_FACTOR = 0.5  # rate of what muon leaves to adamw: biases, norms, last layers
# Rate of what lars does not adapt, biases and norms. At the rate of kernels, 10 or so, they leap: on generated shapes the loss
# of a segmenter more than doubles in four steps, and that of a detector is 2.3 after 25 steps, instead of 1.5.
LARS_REST_FACTOR = 0.1


def group_parameters(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels decay, biases and norms (one dimension or none) do not (He et al. 2019, §3.1)."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def find_normalised_kernels(network: nn.Module) -> list[Tensor]:
    """Kernels of dense convolutions that a norm follows (they have no bias): only their direction matters."""
    dense = [
        module for module in network.modules() if isinstance(module, nn.Conv2d) and module.bias is None and module.groups == 1
    ]
    return [module.weight for module in dense if module.weight.requires_grad]


def _build_muon(network: nn.Module, recipe: Recipe) -> Optimizer:
    kernels = find_normalised_kernels(network)
    taken = {id(kernel) for kernel in kernels}
    rest = group_parameters(network, recipe.weight_decay)
    for group in rest:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in taken]
        group["rate_factor"] = MUON_REST_FACTOR
    orthogonal = {"params": kernels, "weight_decay": recipe.weight_decay, "orthogonal": True}
    groups = [group for group in (orthogonal, *rest) if group["params"]]
    return Muon(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def _build_sgd(network: nn.Module, recipe: Recipe) -> Optimizer:
    groups = group_parameters(network, recipe.weight_decay)
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, foreach=True
    )


def _build_lars(network: nn.Module, recipe: Recipe) -> Optimizer:
    decayed, free = group_parameters(network, recipe.weight_decay)
    groups = [decayed | {"adapted": True}, free | {"rate_factor": LARS_REST_FACTOR}]
    return Lars(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def _build_adamw(network: nn.Module, recipe: Recipe) -> Optimizer:
    groups = group_parameters(network, recipe.weight_decay)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), foreach=True)


OPTIMISERS: dict[str, Callable[[nn.Module, Recipe], Optimizer]] = {
    "adamw": _build_adamw,
    "lars": _build_lars,
    "muon": _build_muon,
    "sgd": _build_sgd,
}


def build_optimiser(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over all parameters that learn. Raises: InvalidInput for an unknown name."""
    if recipe.optimiser not in OPTIMISERS:
        raise InvalidInput(f"expected an optimiser of {', '.join(OPTIMISERS)}, got {recipe.optimiser!r}; choose one of them")
    return OPTIMISERS[recipe.optimiser](network, recipe)


def set_learning_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """Set the rate of every group; a group's own `rate_factor` scales it."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group.get("rate_factor", 1.0)
