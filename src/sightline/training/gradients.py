"""The gradients of one step: a batch forward through the network, and its loss backward; in parts, where memory is short.

A part's loss counts by its share of the pictures. So where a loss is a mean over pictures, as that of classification is, the
parts' gradients add up to the whole batch's. A loss that is divided by what a batch holds, its objects or labelled pixels, is
divided by what the part holds. Batch norms see a part at a time: statistics of fewer pictures, taken more often.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from sightline.models.network import Network, normalise_images
from sightline.training.arithmetic import Arithmetic
from sightline.training.tasks.task import Batch, TrainingTask


class GradientComputer:
    """Computes what one step of a training learns from.

    Attributes: saving: makes the context of a forward pass, which decides where what it saves for backward is kept.

    Args:
        network: its parameters get the gradients.
        task: scores what the network answers.
        arithmetic: where and how to compute; the network lies there already.
        micro_batch: pictures that go forward and backward at once, at most; None for the whole batch.
    """

    def __init__(self, network: Network, task: TrainingTask, arithmetic: Arithmetic, micro_batch: int | None = None) -> None:
        self.network, self.task, self.arithmetic, self.micro_batch = network, task, arithmetic, micro_batch
        self.saving: Callable[[], AbstractContextManager[Any]] = nullcontext

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """Replace the parameters' gradients by those of a batch. Returns: the terms of its loss, detached float32 scalars."""
        batch = batch.to(self.arithmetic.device)
        self.network.zero_grad()
        sums: dict[str, Tensor] = {}
        for part in batch.split(self.micro_batch):
            share = len(part.images) / len(batch.images)
            for name, term in self._add_gradients(part, share).items():
                sums[name] = sums[name] + term if name in sums else term
        return sums

    def _add_gradients(self, part: Batch, share: float) -> dict[str, Tensor]:
        """Add a part's gradients to the parameters'. Returns: the terms of its loss; both times its share of the pictures."""
        images = normalise_images(part.blend(), self.network.input_spec)
        images = images.contiguous(memory_format=self.arithmetic.memory_format)
        with self.saving(), self.arithmetic.autocast():
            terms = self.task.compute_loss(self.network, images, part.targets)
        loss = torch.stack([term.float() * share for term in terms.values()]).sum()
        loss.backward()
        return {name: term.detach().float() * share for name, term in terms.items()}
