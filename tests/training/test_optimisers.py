import pytest
import torch
from torch import nn

from sightline.core.errors import InvalidInput
from sightline.training.optimisers import OPTIMISERS, build_optimiser, group_parameters, set_learning_rate
from sightline.training.recipe import make_recipe


def make_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_biases_and_norms_do_not_decay() -> None:
    decayed, free = group_parameters(make_network(), 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3, 3, 3), (2, 4)]
    assert [tuple(p.shape) for p in free["params"]] == [(4,), (4,), (2,)]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_lowers_a_simple_loss(name: str) -> None:
    torch.manual_seed(0)
    network = make_network()
    rate = {"lars": 5.0}.get(name, 0.02)  # in thousandths of a kernel's length
    optimiser = build_optimiser(network, make_recipe("classification", optimiser=name, learning_rate=rate))
    assert {id(p) for g in optimiser.param_groups for p in g["params"]} == {id(p) for p in network.parameters()}
    images, labels = torch.randn(16, 3, 3, 3), torch.arange(16) % 2
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("weight_decay", [0.0, 5e-4])
def test_lars_adapts_the_steps_of_kernels_whether_they_decay_or_not(weight_decay: float) -> None:
    network = make_network()
    lars = build_optimiser(network, make_recipe("classification", optimiser="lars", weight_decay=weight_decay))
    is_adapted = {tuple(p.shape): group["adapted"] for group in lars.param_groups for p in group["params"]}
    assert is_adapted == {(4, 3, 3, 3): True, (2, 4): True, (4,): False, (2,): False}


def test_the_rate_is_set_in_every_group() -> None:
    optimiser = build_optimiser(make_network(), make_recipe("classification", optimiser="sgd"))
    set_learning_rate(optimiser, 0.125)
    assert [group["lr"] for group in optimiser.param_groups] == [0.125, 0.125]


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(InvalidInput, match="adagrad"):
        build_optimiser(make_network(), make_recipe("classification", optimiser="adagrad"))
