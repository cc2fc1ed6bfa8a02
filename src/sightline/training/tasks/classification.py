"""Classification: one category a picture (softmax cross-entropy), or several (one sigmoid each, for `multilabel`).

Targets are always `(N, C)` float32, so that mixup, CutMix and label smoothing are plain arithmetic on them.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.data.augmentation import erase_rectangle, jitter_colours, warp_pixels
from sightline.data.items import Item
from sightline.models.network import Network
from sightline.training.schedules import augmentation_factor
from sightline.training.tasks.task import Batch, Sample, TaskContext, draw_warp

MIXUP_ALPHA = 0.2


class ClassificationTask:
    """See the module. Raises: InvalidInput for a picture without exactly one category (`classification` only)."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.settings = context.recipe.augmentation
        self.is_multilabel = context.recipe.task == "multilabel"
        self.targets = self._read_targets()
        self.category_weights = self._weigh_categories()

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """A warped, jittered picture and its `(C,)` float32 target."""
        spec = self.context.input_spec
        picture = self.context.pictures.read(index)
        image = warp_pixels(picture.image, draw_warp(picture, spec, self.settings, rng, progress), spec.width, spec.height)
        image = jitter_colours(image, rng, self.settings)
        if rng.random() < self.settings.erase * augmentation_factor(progress, self.settings.close):
            image = erase_rectangle(image, rng)
        return Sample(image, self.targets[index])

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Images `(N, H, W, 3)`, targets `(N, C)` float32; blends the batch with itself when the recipe says so."""
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        targets = torch.from_numpy(np.stack([sample.target for sample in samples]))
        strength = augmentation_factor(progress, self.settings.close)
        draw = rng.random()
        if draw < self.settings.mixup * strength:
            return mix_batch(images, targets, rng)
        if draw < (self.settings.mixup + self.settings.cutmix) * strength:
            return cut_batch(images, targets, rng)
        return Batch(images, targets)

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """{"class": cross-entropy, mean over the batch (and over categories, for multilabel)}."""
        logits = network(images)[0].float()
        smoothing = self.context.recipe.label_smoothing
        weights = self.category_weights.to(logits.device)
        if self.is_multilabel:
            return {
                "class": F.binary_cross_entropy_with_logits(
                    logits, targets * (1 - smoothing) + smoothing / 2, pos_weight=weights
                )
            }
        return {"class": F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)}

    def _read_targets(self) -> NDArray[np.float32]:
        """(items, C) of 0 and 1."""
        targets = np.zeros((len(self.context.pictures), len(self.context.categories)), np.float32)
        for row, item in zip(targets, self.context.pictures.items, strict=True):
            labels = find_target_labels(item, self.context.categories)
            if not self.is_multilabel and len(labels) != 1:
                raise InvalidInput(
                    f"expected one category for {item.file_name}, got {len(labels)}; label it, or train the task multilabel"
                )
            row[labels] = 1
        return targets

    def _weigh_categories(self) -> Tensor:
        """(C,) weights, mean 1 over the items; the root softens the inverse frequency, which overshoots on rare categories."""
        counts = self.targets.sum(0).clip(1)
        if self.context.recipe.class_weights == "none":
            return torch.ones(len(counts))
        if self.is_multilabel:
            return torch.from_numpy(np.sqrt((len(self.targets) - counts).clip(1) / counts).astype(np.float32))
        weights = counts**-0.5
        return torch.from_numpy((weights * counts.sum() / (weights * counts).sum()).astype(np.float32))


def mix_batch(images: Tensor, targets: Tensor, rng: np.random.Generator) -> Batch:
    """Mixup: blend each picture and its target with its neighbour's (Zhang et al. 2018, eq. 1; shares from Beta(α, α)).

    Args: images: `(N, H, W, 3)` uint8; targets: `(N, C)` float32. Returns: targets blended; the images when they are needed.
    """
    share = float(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
    return Batch(images, targets.lerp(targets.roll(1, 0), share), share)


def cut_batch(images: Tensor, targets: Tensor, rng: np.random.Generator) -> Batch:
    """CutMix: paste a rectangle of each picture's neighbour; targets by area (Yun et al. 2019, eq. 1-3, alpha 1).

    Args: images: `(N, H, W, 3)` uint8; targets: `(N, C)` float32. Returns: images uint8.
    """
    height, width = images.shape[1:3]
    side = float(np.sqrt(rng.random()))
    h, w = round(height * side), round(width * side)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    pasted = images.clone()
    pasted[:, y : y + h, x : x + w] = images.roll(1, 0)[:, y : y + h, x : x + w]
    return Batch(pasted, targets.lerp(targets.roll(1, 0), h * w / (height * width)))


def find_target_labels(item: Item, categories: Categories) -> list[int]:
    """Indices of the categories an item is labelled with, in the order of the annotations, each once."""
    return list(dict.fromkeys(categories.index(annotation.category) for annotation in item.annotations))
