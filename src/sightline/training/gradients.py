"""The gradients of one step: a batch forward through the network, and its loss backward."""

import torch
from torch import Tensor

from sightline.models.network import Network, normalise_images
from sightline.training.arithmetic import Arithmetic
from sightline.training.tasks.task import Batch, TrainingTask


class GradientComputer:
    """Computes what one step of a training learns from.

    Args:
        network: its parameters get the gradients.
        task: scores what the network answers.
        arithmetic: where and how to compute; the network lies there already.
    """

    def __init__(self, network: Network, task: TrainingTask, arithmetic: Arithmetic) -> None:
        self.network, self.task, self.arithmetic = network, task, arithmetic

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """Replace the parameters' gradients by those of a batch. Returns: the parts of its loss, detached float32 scalars."""
        batch = batch.to(self.arithmetic.device)
        images = normalise_images(batch.blend(), self.network.input_spec)
        images = images.contiguous(memory_format=self.arithmetic.memory_format)
        with self.arithmetic.autocast():
            parts = self.task.compute_loss(self.network, images, batch.targets)
        loss = torch.stack([part.float() for part in parts.values()]).sum()
        self.network.zero_grad()
        loss.backward()
        return {name: part.detach().float() for name, part in parts.items()}
