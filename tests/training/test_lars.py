"""LARS: a step by hand, timm's as an oracle, and what it does where lengths are 0."""

import pytest
import torch
from timm.optim.lars import Lars as TimmLars
from torch import nn

from sightline.training.lars import Lars, compute_trust_ratios


def test_a_step_by_hand() -> None:
    kernel = nn.Parameter(torch.tensor([[3.0, 4.0]]))  # of length 5
    bias = nn.Parameter(torch.tensor([2.0]))
    lars = Lars([{"params": [kernel], "adapted": True, "weight_decay": 0.1}, {"params": [bias]}], lr=10.0, momentum=0.5)
    kernel.grad, bias.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.01])
    lars.step()
    # 0.001 * 5 / (2 + 0.1 * 5) = 0.002, times the gradient with decay (0.3, 2.4), times the rate
    torch.testing.assert_close(kernel.data, torch.tensor([[3 - 0.006, 4 - 0.048]]))
    torch.testing.assert_close(bias.data, torch.tensor([1.9]))
    kernel.data, kernel.grad = torch.tensor([[0.0, 5.0]]), torch.tensor([[2.0, 0.0]])
    lars.param_groups[0]["lr"] = 1.0
    lars.step()
    # half of the momentum (0.0006, 0.0048), and 0.002 times (2, 0.5); the new rate counts at once for both
    torch.testing.assert_close(kernel.data, torch.tensor([[-0.0043, 5 - 0.0034]]))
    torch.testing.assert_close(bias.data, torch.tensor([1.75]))  # 10 * (0.005 + 0.01)


@pytest.mark.parametrize(("weight_decay", "momentum"), [(0.0, 0.9), (5e-4, 0.9), (0.02, 0.0)])
def test_it_steps_as_timm_does(weight_decay: float, momentum: float) -> None:
    torch.manual_seed(0)
    starts = [torch.randn(8, 3, 3, 3), 1e-4 * torch.randn(16, 8), torch.zeros(4, 8, 1, 1), torch.ones(8), torch.zeros(4)]
    ours, theirs = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    decayed = {"weight_decay": weight_decay}
    lars = Lars([{"params": ours[:3], "adapted": True, **decayed}, {"params": ours[3:]}], lr=1.0, momentum=momentum)
    timm = TimmLars([{"params": theirs[:3], "always_adapt": True, **decayed}, {"params": theirs[3:]}], momentum=momentum)
    for step in range(6):
        for mine, their in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine) * 10.0 ** (step - 3)
            their.grad = mine.grad.clone()
        ours[0].grad = theirs[0].grad = None if step == 4 else torch.zeros(8, 3, 3, 3) if step == 2 else ours[0].grad
        for optimiser in (lars, timm):
            for group in optimiser.param_groups:
                group["lr"] = 0.1 + step  # a warm-up
            optimiser.step()
        for mine, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, their, rtol=1e-5, atol=1e-7)


def test_a_kernel_moves_by_the_same_share_whatever_the_scale_of_its_gradient() -> None:
    torch.manual_seed(1)
    kernel, gradient = torch.randn(6, 5), torch.randn(6, 5)
    for scale in (1e-6, 1.0, 1e6):
        parameter = nn.Parameter(kernel.clone())
        parameter.grad = scale * gradient
        Lars([{"params": [parameter], "adapted": True}], lr=2.0).step()
        torch.testing.assert_close((parameter.data - kernel).norm(), 0.002 * kernel.norm(), rtol=1e-4, atol=0.0)


def test_where_a_length_is_zero_the_step_is_plain() -> None:
    some, zero = torch.ones(2, 2), torch.zeros(2, 2)
    assert [ratio.item() for ratio in compute_trust_ratios([some, zero, zero], [zero, some, zero], 0.0)] == [1, 1, 1]
