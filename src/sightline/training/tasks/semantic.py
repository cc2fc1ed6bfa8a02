"""Semantic segmentation: cross-entropy per pixel at the label map's full resolution; unlabelled pixels do not count."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.errors import InvalidInput
from sightline.data.augmentation import jitter_colours, warp_pixels
from sightline.data.items import Item
from sightline.imaging.masks import annotations_to_label_map
from sightline.models.network import Network
from sightline.training.learned_categories import LearnedCategories
from sightline.training.pictures import MakeLabelMap
from sightline.training.tasks.task import Batch, Sample, TaskContext, draw_warp

UNLABELLED = 255


def make_label_map_reader(learned: LearnedCategories) -> MakeLabelMap:
    """How an item becomes its label map: the background, or else `UNLABELLED`, where no mask covers."""
    categories = learned.categories
    if len(categories) > UNLABELLED:
        raise InvalidInput(f"expected at most {UNLABELLED} categories with the background, got {len(categories)}; merge some")
    rest = UNLABELLED if learned.background is None else categories.index(learned.background)

    def make_label_map(item: Item) -> NDArray[np.uint8]:
        label_map = annotations_to_label_map(item.annotations, categories, item.height, item.width, rest)
        return np.asarray(label_map, np.uint8)

    return make_label_map


class SemanticTask:
    """See the module."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.settings = context.recipe.augmentation
        if not any(label.mask is not None or label.polygons for item in context.pictures.items for label in item.annotations):
            raise InvalidInput(
                "expected masks or polygons to learn from, got none in the training splits; import or draw them, or train "
                "another task"
            )
        self.category_weights = self._weigh_categories()

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """A warped, jittered picture and its `(height, width)` uint8 label map."""
        spec = self.context.input_spec
        picture = self.context.pictures.read(index)
        if picture.label_map is None:
            raise InvalidInput(f"{self.context.pictures.items[index].file_name} has no label map; draw masks or polygons")
        matrix = draw_warp(picture, spec, self.settings, rng, progress)
        image = warp_pixels(picture.image, matrix, spec.width, spec.height)
        label_map = warp_pixels(picture.label_map, matrix, spec.width, spec.height, border=UNLABELLED, nearest=True)
        return Sample(jitter_colours(image, rng, self.settings), label_map)

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Images `(N, H, W, 3)` uint8, targets `(N, H, W)` uint8."""
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Batch(images, torch.from_numpy(np.stack([sample.target for sample in samples])))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """{"pixel": cross-entropy, mean over labelled pixels}; coarser logits are enlarged bilinearly first."""
        logits = network(images)[0].float()
        if logits.shape[-2:] != targets.shape[-2:]:
            logits = F.interpolate(logits, targets.shape[-2:], mode="bilinear", align_corners=False)
        weights = self.category_weights.to(logits.device)
        smoothing = self.context.recipe.label_smoothing
        losses = F.cross_entropy(
            logits, targets.long(), weights, ignore_index=UNLABELLED, reduction="none", label_smoothing=smoothing
        )
        counted = weights[targets.long().clamp(max=len(weights) - 1)] * (targets != UNLABELLED)
        return {"pixel": losses.sum() / counted.sum().clamp(min=1.0)}  # a batch without a labelled pixel costs nothing

    def _weigh_categories(self) -> Tensor:
        """(C,) weights of mean 1 over the labelled pixels: inverse root of each category's share when balanced."""
        count = len(self.context.categories)
        if self.context.recipe.class_weights == "none":
            return torch.ones(count)
        pixels = np.ones(count)
        for index in range(len(self.context.pictures)):
            label_map = self.context.pictures.read(index).label_map
            if label_map is not None:
                pixels += np.bincount(label_map.ravel(), minlength=UNLABELLED + 1)[:count]
        weights = (pixels / pixels.sum()) ** -0.5
        return torch.from_numpy((weights * pixels.sum() / (weights * pixels).sum()).astype(np.float32))
