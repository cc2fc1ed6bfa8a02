"""Exponential moving average of a network: the copy that is validated, kept and exported (Polyak and Juditsky 1992)."""

import copy
import math

import torch
from torch import Tensor

from sightline.models.network import Network


class WeightAverage:
    """Averages parameters and BatchNorm statistics; short memory at first, so that the copy is useful from the first steps on.

    Args:
        network: the one that learns; its copy is made here.
        decay: 0..1, share of the old average that one step keeps in the long run.
        ramp_steps: the decay reaches 63 % of its value after so many steps.
    """

    def __init__(self, network: Network, decay: float, ramp_steps: float = 150.0) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(False)
        self.decay, self.ramp_steps = decay, ramp_steps
        pairs = list(zip(_all_tensors(self.network), _all_tensors(network), strict=True))
        self._kept = [kept for kept, _ in pairs if kept.is_floating_point()]
        self._new = [new for kept, new in pairs if kept.is_floating_point()]
        self._kept_counts = [kept for kept, _ in pairs if not kept.is_floating_point()]
        self._new_counts = [new for kept, new in pairs if not kept.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network's state after `step` optimiser steps (1 after the first)."""
        decay = self.decay * (1 - math.exp(-step / self.ramp_steps))
        torch._foreach_lerp_(self._kept, self._new, 1 - decay)
        if self._kept_counts:
            torch._foreach_copy_(self._kept_counts, self._new_counts)


def _all_tensors(network: Network) -> list[Tensor]:
    return [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
