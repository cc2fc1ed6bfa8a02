"""The seam between the loop and the tasks: how a sample is made, how samples become a batch, how a batch is scored.

A task is one file with a class, made from a `TaskContext`, and one row in `sightline.training.tasks.table`. It holds no state
that changes: whatever is random comes from the `rng` of the sample or batch, which derives from (seed, step, index), so that
neither threads nor a resumed run change what is seen.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.categories import Categories
from sightline.core.manifests import InputSpec
from sightline.data.augmentation import AugmentationSettings, Matrix, fit_matrix, random_affine, weaken_geometry
from sightline.models.network import Network
from sightline.training.pictures import CachedPicture, Pictures
from sightline.training.recipe import Recipe
from sightline.training.schedules import augmentation_factor


class TaskContext(NamedTuple):
    """What a task is built from.

    Attributes:
        recipe: all settings.
        categories: what is learned.
        pictures: of the training splits.
        input_spec: of the network: size and resize rule.
    """

    recipe: Recipe
    categories: Categories
    pictures: Pictures
    input_spec: InputSpec


class Sample(NamedTuple):
    """One augmented picture and what is true of it.

    Attributes:
        image: `(height, width, 3)` uint8 RGB, of the network's input size.
        target: the task's own: `collate` reads it.
    """

    image: NDArray[np.uint8]
    target: Any


class Batch(NamedTuple):
    """A batch as tensors.

    Attributes:
        images: `(N, H, W, 3)` RGB, uint8; float32 0..255 in a part of a batch that is blended already.
        targets: the task's own, a tensor or a named tuple of tensors: `compute_loss` reads it.
        mixed: share of its neighbour that each picture is blended with, 0..1; the targets are blended already.
    """

    images: Tensor
    targets: Any
    mixed: float = 0.0

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with each of its tensors changed."""
        targets = self.targets
        changed = change(targets) if isinstance(targets, Tensor) else type(targets)._make(map(change, targets))
        return Batch(change(self.images), changed, self.mixed)

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on a device; copies from pinned memory may still be under way."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def split(self, most: int | None) -> "Iterator[Batch]":
        """The batch in parts of at most `most` pictures, as equal as can be: no batch norm sees a small rest. None: whole."""
        bounds = split_evenly(len(self.images), most)
        if len(bounds) == 1:
            yield self
            return
        for start, stop in bounds:
            yield self._cut(start, stop)

    def _cut(self, start: int, stop: int) -> "Batch":
        """The pictures from `start` up to `stop`, blended already with their neighbours in the whole batch."""
        own = self.map(lambda tensor: tensor[start:stop])
        if self.mixed == 0:
            return own
        neighbours = self.images[torch.arange(start - 1, stop - 1, device=self.images.device)]  # -1 is the last
        return Batch(own.images.float().lerp(neighbours.float(), self.mixed), own.targets)

    def blend(self) -> Tensor:
        """`(N, H, W, 3)` RGB as the network is to see it: float32 0..255 where pictures are blended, else uint8."""
        if self.mixed == 0:
            return self.images
        images = self.images.float()
        return images.lerp(images.roll(1, 0), self.mixed)


class TrainingTask(Protocol):
    """All that differs between tasks."""

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """An augmented picture. Runs in threads or processes. Args: index: of `pictures`; progress: of the budget, 0..1."""

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Stack samples; may blend them."""

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """Named parts of the loss, scalars; their sum is minimised.

        Args: images: `(N, 3, H, W)` float32, normalised, channels last. The call runs under autocast: compute losses of
            `.float()` outputs.
        """


def split_evenly(size: int, most: int | None) -> list[tuple[int, int]]:
    """Bounds (start, stop) of the fewest parts of at most `most` that `size` things make; they differ by one at most."""
    count = 1 if most is None else math.ceil(size / most)
    return [(size * part // count, size * (part + 1) // count) for part in range(count)]


def draw_warp(
    picture: CachedPicture, spec: InputSpec, settings: AugmentationSettings, rng: np.random.Generator, progress: float
) -> Matrix:
    """A random matrix from the cached picture's coordinates to the network's input: the resize rule, then the variation.

    Args: progress: of the budget, 0..1; the variation ends with the settings' `settle`.
    """
    height, width = picture.image.shape[:2]
    fit = fit_matrix(width, height, spec.width, spec.height, spec.resize, spec.crop_fraction)
    calmer = weaken_geometry(settings, augmentation_factor(progress, settings.settle))
    return random_affine(rng, calmer, spec.width, spec.height) @ fit
