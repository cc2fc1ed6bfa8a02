"""Muon: its updates are nearly orthogonal, it descends, and its state survives a checkpoint."""

import pytest
import torch
from torch import nn

from sightline.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 4, 36), (3, 36, 4)])
def test_singular_values_end_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise([torch.randn(shape)])[0])
    assert values.min() > 0.4 and values.max() < 1.3


def test_factored_iteration_equals_the_plain_one() -> None:
    torch.manual_seed(1)
    matrix = torch.randn(1, 6, 20, dtype=torch.float64)
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonalise([matrix])[0], x, atol=1e-9)


def test_it_finds_the_minimum_of_a_quadratic() -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(4, 8, 3, bias=False)
    goal = torch.randn_like(layer.weight)
    optimiser = Muon([{"params": [layer.weight], "orthogonal": True}], lr=0.05)
    first = float((layer.weight.detach() - goal).square().sum())
    for _ in range(200):
        optimiser.zero_grad()
        (layer.weight - goal).square().sum().backward()
        optimiser.step()
    assert float((layer.weight.detach() - goal).square().sum()) < 0.05 * first


def test_a_step_by_hand_of_kernels_of_two_shapes() -> None:
    """Nesterov's look ahead of an average of gradients, made orthogonal, 0.2 of the rate as root mean square; then decay."""
    torch.manual_seed(5)
    kernels = [torch.randn(shape) for shape in ((4, 2, 3, 3), (8, 3, 1, 1), (4, 2, 3, 3))]
    parameters = [nn.Parameter(kernel.clone()) for kernel in kernels]
    optimiser = Muon([{"params": parameters, "orthogonal": True, "weight_decay": 0.5}], lr=0.1)
    averages = [torch.zeros_like(kernel) for kernel in kernels]
    for _ in range(3):
        for index, parameter in enumerate(parameters):
            gradient = torch.randn_like(parameter)
            parameter.grad = gradient
            averages[index] = 0.95 * averages[index] + 0.05 * gradient
            ahead = 0.05 * gradient + 0.95 * averages[index]
            update = orthogonalise([ahead.flatten(1)[None]])[0][0].reshape(ahead.shape)
            longer = max(len(kernels[index]), kernels[index][0].numel())
            kernels[index] = (1 - 0.1 * 0.5) * kernels[index] - 0.1 * 0.2 * longer**0.5 * update
        optimiser.step()
    for parameter, expected in zip(parameters, kernels, strict=True):
        assert torch.allclose(parameter, expected, atol=1e-5)


def test_a_kernel_without_a_gradient_stays() -> None:
    kernel = nn.Parameter(torch.ones(2, 2, 1, 1))
    Muon([{"params": [kernel], "orthogonal": True, "weight_decay": 0.5}], lr=0.1).step()
    assert torch.equal(kernel, torch.ones(2, 2, 1, 1))


def test_groups_that_are_not_orthogonal_step_as_adamw() -> None:
    torch.manual_seed(3)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    muon = Muon([{"params": list(ours.parameters()), "weight_decay": 0.1}], lr=0.01)
    adamw = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(5):
        for layer, optimiser in ((ours, muon), (theirs, adamw)):
            optimiser.zero_grad()
            layer(torch.ones(1, 3)).square().sum().backward()
            optimiser.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-7)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-7)


def test_stacks_of_one_shorter_side_go_together_and_stay_apart() -> None:
    torch.manual_seed(4)
    stacks = [torch.randn(2, 4, 9), torch.randn(1, 9, 4), torch.randn(3, 6, 6), torch.randn(1, 4, 4)]
    for stack, together in zip(stacks, orthogonalise(stacks), strict=True):
        assert together.shape == stack.shape
        for matrix, alone in zip(stack, together, strict=True):
            assert torch.allclose(orthogonalise([matrix[None]])[0][0], alone, atol=1e-6)


def test_its_step_counts_lie_where_the_parameters_are_and_return_there_from_a_checkpoint() -> None:
    layer = nn.Linear(3, 2, device="meta")
    muon = Muon([{"params": list(layer.parameters())}], lr=0.01)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    muon.step()
    assert {muon.state[parameter]["step"].device.type for parameter in layer.parameters()} == {"meta"}
    saved = muon.state_dict()
    for values in saved["state"].values():
        values["step"] = torch.tensor(1.0)  # checkpoints are read to the CPU
    muon.load_state_dict(saved)
    assert {muon.state[parameter]["step"].device.type for parameter in layer.parameters()} == {"meta"}
