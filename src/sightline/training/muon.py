"""Muon (Jordan et al. 2024): momentum whose update of each kernel is made orthogonal; AdamW for everything else.

An orthogonal update moves all directions of a kernel equally, so small networks learn from nothing in far fewer steps: on BCCD
the same detector reaches mAP 0.518 instead of 0.443 in 120 CPU-seconds (val list, seed 0).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from sightline.training.momentum import momentum_of

# Coefficients of the quintic iteration: steepest at 0 while singular values end in about 0.7..1.2 (Jordan et al. 2024).
LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8


def orthogonalise(stacks: list[Tensor]) -> list[Tensor]:
    """Roughly the nearest orthogonal matrices, by the quintic Newton-Schulz iteration X <- (a + b G + c G²) X, G = X Xᵀ.

    All factors are polynomials of the first G, so they commute and are multiplied up as small square matrices; the long X is
    used at the start and at the end only. What is square is as wide as the shorter side, so stacks that share it go together:
    a GPU waits for each of these small products to be launched.

    Args: stacks: `(B, rows, columns)` float32 each. Returns: the same shapes, singular values about 0.7..1.2.
    """
    wide = [stack if stack.shape[1] <= stack.shape[2] else stack.mT for stack in stacks]
    wide = [x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7) for x in wide]
    by_side: dict[int, list[int]] = {}
    for index, x in enumerate(wide):
        by_side.setdefault(x.shape[1], []).append(index)
    for indices in by_side.values():
        grams = torch.cat([torch.bmm(wide[index], wide[index].mT) for index in indices])
        products = _multiply_factors(grams).split([len(wide[index]) for index in indices])
        for index, product in zip(indices, products, strict=True):
            wide[index] = torch.bmm(product, wide[index])
    return [x if x.shape == stack.shape else x.mT for x, stack in zip(wide, stacks, strict=True)]


def _multiply_factors(gram: Tensor) -> Tensor:
    """The product of all iterations' factors. Args: gram: `(B, side, side)` of the normalised matrices. Returns: likewise."""
    product: Tensor | None = None
    for iteration in range(ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=CUBIC, alpha=QUINTIC)
        factor.diagonal(dim1=1, dim2=2).add_(LINEAR)
        product = factor if product is None else torch.bmm(factor, product)
        if iteration < ITERATIONS - 1:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    assert product is not None
    return product


class Muon(torch.optim.Optimizer):
    """Orthogonal Nesterov momentum for the groups with `orthogonal=True`, AdamW for the others; decoupled weight decay.

    Kernels `(O, I, h, w)` are treated as matrices `(O, I h w)`; those of one shape are orthogonalised together. Updates have a
    root mean square of 0.2 of the rate, as AdamW's have (Liu et al. 2025, §2.2), so one rate serves both.

    Args:
        groups: parameter groups; each may set `orthogonal`, `weight_decay`, `rate_factor`.
        lr: learning rate.
        momentum: of the orthogonal groups, 0..1.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        # "fused" is read by `load_state_dict`: the fused kernel wants its step count where the parameters are.
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "orthogonal": False, "fused": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update. The orthogonal part runs on one thread: to wake a second for such small matrices costs 40 % more."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            if group["orthogonal"]:
                threads = torch.get_num_threads()
                torch.set_num_threads(1)
                try:
                    self._step_orthogonal(group, parameters)
                finally:
                    torch.set_num_threads(threads)
            else:
                self._step_adamw(group, parameters)

    def _step_orthogonal(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        kernels = [parameter for alike in by_shape.values() for parameter in alike]
        gradients = [parameter.grad for parameter in kernels if parameter.grad is not None]
        buffers = [momentum_of(self, parameter) for parameter in kernels]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = iter(torch._foreach_lerp(gradients, buffers, group["momentum"]))  # Nesterov
        # One memory order whatever the kernels' is: products of matrices round differently in another.
        stacks = [torch.stack([next(ahead) for _ in alike]).contiguous().flatten(2) for alike in by_shape.values()]
        torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
        for (shape, alike), updates in zip(by_shape.items(), orthogonalise(stacks), strict=True):  # (B, O, I h w) each
            rate = group["lr"] * 0.2 * max(updates.shape[1:]) ** 0.5
            torch._foreach_add_(alike, list(updates.reshape(-1, *shape)), alpha=-rate)

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
                self.state[parameter] = {"step": torch.zeros((), device=parameter.device), **zeros}
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=ADAM_BETAS[0],
            beta2=ADAM_BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=ADAM_EPS,
            maximize=False,
        )
