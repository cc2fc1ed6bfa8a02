"""Momentum: what an optimiser of ours remembers of a parameter's gradients."""

import torch
from torch import Tensor
from torch.optim import Optimizer


def momentum_of(optimiser: Optimizer, parameter: Tensor) -> Tensor:
    """The buffer in the optimiser's state, of the parameter's shape and memory order; zeros before the first step."""
    state = optimiser.state[parameter]
    if "momentum" not in state:
        state["momentum"] = torch.zeros_like(parameter)
    buffer: Tensor = state["momentum"]
    return buffer
