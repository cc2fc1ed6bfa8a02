"""LARS (You, Gitman and Ginsburg 2017, arXiv 1708.03888): each kernel's step is a share of its own length.

With large batches the rate must be large too, and one rate for all layers is soon too large for those whose gradients are long
beside their weights. So the gradient of each kernel is scaled by (their eq. 6; w and g are its weights and gradient)

    ratio = trust |w| / (|g| + weight_decay |w|)

and momentum follows (algorithm 1). There the rate goes into the momentum; here it stands outside, as in PyTorch's SGD: the same
at a constant rate, and while the rate changes, steps follow it at once (Goyal et al. 2017, §3, eq. 9 and 10).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sightline.training.momentum import momentum_of

TRUST = 0.001  # their eta


class Lars(torch.optim.Optimizer):
    """Momentum whose gradients are scaled to the length of their weights in the groups with `adapted=True`, plain elsewhere.

    Args:
        groups: parameter groups; each may set `adapted`, `weight_decay`, `rate_factor`.
        lr: learning rate; each gradient moves an adapted kernel by about `lr * TRUST` of its length.
        momentum: 0..1.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.9) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "adapted": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            gradients = [parameter.grad for parameter in parameters]
            updates = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            if group["adapted"]:
                torch._foreach_mul_(updates, compute_trust_ratios(parameters, gradients, group["weight_decay"]))
            buffers = [momentum_of(self, parameter) for parameter in parameters]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates)
            torch._foreach_add_(parameters, buffers, alpha=-group["lr"])


def compute_trust_ratios(parameters: list[Tensor], gradients: list[Tensor], weight_decay: float) -> list[Tensor]:
    """What the gradient of each parameter is scaled by: scalars, where the parameters are; 1 where weights or gradient are 0.

    A kernel of zeros has no length yet that could say how far it may go, and by the formula would stay as it is for ever.
    """
    weights, slopes = torch.stack(torch._foreach_norm(parameters)), torch.stack(torch._foreach_norm(gradients))
    ratios = TRUST * weights / (slopes + weight_decay * weights)
    return list(torch.where((weights > 0) & (slopes > 0), ratios, 1.0).unbind())
