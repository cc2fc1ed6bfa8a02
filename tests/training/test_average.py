import math

import pytest
import torch
from torch import Tensor, nn

from sightline.models.network import Network
from sightline.training.average import WeightAverage


class Scalar(Network):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0]))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (images * self.weight,)


def test_the_average_follows_the_formula_step_by_step() -> None:
    network = Scalar()
    average = WeightAverage(network, decay=0.9, ramp_steps=2.0)
    expected = 0.0
    for step in range(1, 6):
        with torch.no_grad():
            network.weight.fill_(float(step))
            network.count.fill_(step)
        average.update(step)
        decay = 0.9 * (1 - math.exp(-step / 2.0))
        expected = decay * expected + (1 - decay) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-6)
    assert average.network.count.item() == 5  # counters are copied, not averaged
    assert not average.network.weight.requires_grad
    assert not average.network.training
