"""Semantic segmentation: cross-entropy per pixel at the label map's full resolution; unlabelled pixels do not count.

A network that also finds the edges between categories learns these from the same label maps (`training.edge_loss`).
"""

from typing import Any, Protocol, runtime_checkable

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
from sightline.training.edge_loss import compute_edge_losses
from sightline.training.learned_categories import LearnedCategories
from sightline.training.pictures import MakeLabelMap
from sightline.training.tasks.task import Batch, Sample, TaskContext, draw_warp

UNLABELLED = 255


@runtime_checkable
class LearnsEdges(Protocol):
    """A network that finds the edges between categories on its way to these."""

    def find_categories_and_edges(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(N, C, a, b)` of categories, as `forward` answers them, and `(N, 1, h, w)` of edges; both divide H and W."""


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
        """{"pixel"}: cross-entropy, mean over labelled pixels; of a network that learns edges their parts, too."""
        edge_logits = None
        if isinstance(network, LearnsEdges):
            logits, edge_logits = network.find_categories_and_edges(images)
        else:
            (logits,) = network(images)
        is_known = targets != UNLABELLED
        with torch.autocast(images.device.type, enabled=False):
            losses, weights = self._score_pixels(logits.float(), targets, is_known)
            parts = {"pixel": losses.sum() / weights.sum().clamp(min=1.0)}  # a batch without a labelled pixel costs nothing
            if edge_logits is not None:
                parts |= compute_edge_losses(logits.float(), edge_logits.float(), targets, is_known, losses, weights)
        return parts

    def _score_pixels(self, logits: Tensor, targets: Tensor, is_known: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and weight of each pixel `(N, H, W)`, 0 where nothing is known; coarser logits are enlarged bilinearly first."""
        if logits.shape[-2:] != targets.shape[-2:]:
            logits = F.interpolate(logits, targets.shape[-2:], mode="bilinear", align_corners=False)
        weights = self.category_weights.to(logits.device)
        smoothing = self.context.recipe.label_smoothing
        losses = F.cross_entropy(
            logits, targets.long(), weights, ignore_index=UNLABELLED, reduction="none", label_smoothing=smoothing
        )
        return losses, weights[targets.long().clamp(max=len(weights) - 1)] * is_known

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
