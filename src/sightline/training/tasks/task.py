"""The seam between the loop and the tasks: how a sample is made, how samples become a batch, how a batch is scored.

A task is one file with `build(context) -> TrainingTask` and one row in `sightline.training.tasks.table`. It holds no state that
changes: whatever is random comes from the `rng` of the sample or batch, which derives from (seed, step, index), so that neither
threads nor a resumed run change what is seen.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.categories import Categories
from sightline.core.manifests import InputSpec
from sightline.data.augmentation import AugmentationSettings, Matrix, fit_matrix, random_affine, weaken_geometry
from sightline.data.items import Item
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
        images: `(N, H, W, 3)` uint8 RGB, or float32 0..255 after blending.
        targets: the task's own, a tensor or a named tuple of tensors: `compute_loss` reads it.
    """

    images: Tensor
    targets: Any

    def to(self, device: torch.device) -> "Batch":
        """The batch with its tensors on a device."""
        targets = self.targets
        if isinstance(targets, Tensor):
            return Batch(self.images.to(device), targets.to(device))
        return Batch(self.images.to(device), type(targets)._make(tensor.to(device) for tensor in targets))


class TrainingTask(Protocol):
    """All that differs between tasks."""

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """An augmented picture. Runs in several threads. Args: index: of `pictures`; progress: of the budget, 0..1."""

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Stack samples; may blend them."""

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """Named parts of the loss, scalars; their sum is minimised.

        Args: images: `(N, 3, H, W)` float32, normalised, channels last. The call runs under autocast: compute losses of
            `.float()` outputs.
        """


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


def find_target_labels(item: Item, categories: Categories) -> list[int]:
    """Indices of the categories an item is labelled with, in the order of the annotations, each once."""
    return list(dict.fromkeys(categories.index(annotation.category) for annotation in item.annotations))
