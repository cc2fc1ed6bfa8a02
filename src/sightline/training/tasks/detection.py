"""Detection: boxes of objects. Mosaics for most of the budget, then single pictures as they will be seen.

Networks that end in anchor-free maps share one loss; a network with a loss of its own (two-stage detectors sample regions
inside it) brings `compute_box_losses`.
"""

from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
import torch
from torch import Tensor

from sightline.core.errors import InvalidInput, Unsupported
from sightline.data.augmentation import (
    LabelledPicture,
    jitter_colours,
    random_affine,
    shift_matrix,
    warp_sample,
    weaken_geometry,
)
from sightline.data.items import Item
from sightline.data.mosaic import PARTS, warp_mosaic
from sightline.imaging.masks import find_annotation_box
from sightline.models.network import Network
from sightline.training.anchor_free_loss import AnchorFreeLoss
from sightline.training.box_assignment import NO_OBJECT, Truth, pad_truth
from sightline.training.pictures import CachedPicture
from sightline.training.schedules import augmentation_factor
from sightline.training.tasks.task import Batch, Sample, TaskContext, draw_warp


@runtime_checkable
class LearnsBoxes(Protocol):
    """A network with a loss of its own."""

    def compute_box_losses(self, images: Tensor, boxes_xyxy: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """Named parts of the loss. Args: normalised images; per picture `(m, 4)` input pixels and `(m,)` category indices."""


class DetectionTask:
    """See the module."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.settings = context.recipe.augmentation
        self.mosaic_settings = msgspec.structs.replace(self.settings, scale=self.settings.mosaic_scale)
        # Arrays of all objects, and where each picture's begin: processes that are forked share these, but not a list's parts.
        objects = [self._read_objects(item) for item in context.pictures.items]
        self._starts = np.cumsum([0, *(len(labels) for _, labels in objects)])
        self._boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in objects)])
        self._labels = np.concatenate([np.zeros(0, np.int64), *(labels for _, labels in objects)])
        if not len(self._labels):
            raise InvalidInput(
                "expected boxes to learn from, got none in the training splits; draw boxes, or train classification"
            )

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """A warped, jittered picture, sometimes a mosaic of four; target: boxes `(m, 4)` input pixels and labels `(m,)`."""
        spec = self.context.input_spec
        if rng.random() < self.settings.mosaic * augmentation_factor(progress, self.settings.close):
            others = rng.integers(len(self.context.pictures), size=PARTS - 1)
            parts = [self._label(self.context.pictures.read(part), part) for part in (index, *others)]
            middle_to_middle = shift_matrix(-spec.width / 2, -spec.height / 2)
            calmer = weaken_geometry(self.mosaic_settings, augmentation_factor(progress, self.settings.settle))
            matrix = random_affine(rng, calmer, spec.width, spec.height) @ middle_to_middle
            warped = warp_mosaic(parts, matrix, spec.width, spec.height, self.settings.least_visible)
        else:
            picture, visible = self.context.pictures.read(index), self.settings.least_visible
            matrix = draw_warp(picture, spec, self.settings, rng, progress)
            warped = warp_sample(self._label(picture, index), matrix, spec.width, spec.height, least_visible=visible)
        return Sample(jitter_colours(warped.image, rng, self.settings), (warped.boxes_xyxy, warped.labels))

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Images `(N, H, W, 3)` uint8, targets `Truth`."""
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Batch(images, pad_truth([sample.target[0] for sample in samples], [sample.target[1] for sample in samples]))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """The network's own parts, or {"category", "box"} of the anchor-free loss."""
        truth: Truth = targets
        if isinstance(network, LearnsBoxes):
            present = truth.labels != NO_OBJECT
            boxes = [boxes[here] for boxes, here in zip(truth.boxes_xyxy, present, strict=True)]
            labels = [labels[here] for labels, here in zip(truth.labels, present, strict=True)]
            return network.compute_box_losses(images, boxes, labels)
        loss = _make_anchor_free_loss(network, images.device)
        outputs = network(images)
        with torch.autocast(images.device.type, enabled=False):
            return loss(outputs, truth)

    def _read_objects(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Boxes `(m, 4)` float32 in pixels of the original and labels `(m,)`. Crowds are no single object and are left out."""
        found = [(a.category, find_annotation_box(a)) for a in item.annotations if not a.is_crowd]
        boxed = [(category, box) for category, box in found if box is not None]
        boxes = np.array([box for _, box in boxed], np.float32).reshape(-1, 4)
        return boxes, np.array([self.context.categories.index(category) for category, _ in boxed], np.int64)

    def _label(self, picture: CachedPicture, index: int) -> LabelledPicture:
        own = slice(self._starts[index], self._starts[index + 1])
        boxes = self._boxes[own] * np.array(picture.scale_xy * 2, np.float32)
        return LabelledPicture(picture.image, boxes, self._labels[own], ())


def _make_anchor_free_loss(network: Network, device: torch.device) -> AnchorFreeLoss:
    spec, decode = network.input_spec, network.decode_spec
    if decode.head != "anchor_free":
        raise Unsupported(f"no detection loss for the head {decode.head!r}; there is anchor_free, or the network's own")
    strides, side_scale = tuple(decode.parameters["strides"]), float(decode.parameters["side_scale"])
    return _cached_loss(spec.width, spec.height, strides, side_scale, device)


@lru_cache(maxsize=4)
def _cached_loss(width: int, height: int, strides: tuple[int, ...], side_scale: float, device: torch.device) -> AnchorFreeLoss:
    return AnchorFreeLoss(width, height, strides, side_scale, device)


def build(context: TaskContext) -> DetectionTask:
    """Row of `TASKS`."""
    return DetectionTask(context)
