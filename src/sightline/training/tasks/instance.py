"""Instance segmentation: detection, with a mask for each object.

Masks are outlines on the way: polygons as they are, run lengths traced along their pixels. So they follow every augmentation as
exactly as boxes do, and are drawn once, into the grid of points at which the loss asks (`training.mask_loss`). An annotation
with a box alone teaches its box.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.data.augmentation import Objects, find_bounds
from sightline.imaging.masks import decode_mask, draw_polygons, find_mask_box
from sightline.imaging.tracing import trace_mask_with_holes
from sightline.models.network import Network
from sightline.training.box_assignment import pad_truth
from sightline.training.mask_loss import MARGIN, MASK_POINTS, InstanceTruth, compute_mask_loss
from sightline.training.tasks.detection import DetectionTask, Place, Rings, list_rings, make_anchor_free_loss
from sightline.training.tasks.task import Batch, Sample, TaskContext


class Instances(NamedTuple):
    """The M objects of a sample.

    Attributes:
        objects: in input pixels.
        masks: `(M, G, G)` bool, at the points of a grid over each box; all False where no mask is known.
    """

    objects: Objects
    masks: np.ndarray


class InstanceTask(DetectionTask):
    """See the module."""

    def __init__(self, context: TaskContext) -> None:
        if not any(has_mask(label) for item in context.pictures.items for label in item.annotations):
            raise InvalidInput(
                "expected masks or polygons of objects to learn from, got none in the training splits; import or draw them, or "
                "train detection"
            )
        super().__init__(context)

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """As of detection; target: `Instances` in input pixels."""
        sample = super().make_sample(index, rng, progress)
        objects: Objects = sample.target
        masks = [draw_grid(rings, box) for rings, box in zip(objects.outlines, objects.boxes_xyxy, strict=True)]
        return Sample(sample.image, Instances(objects, np.array(masks, bool).reshape(-1, MASK_POINTS, MASK_POINTS)))

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Images `(N, H, W, 3)` uint8, targets `InstanceTruth`."""
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        boxes = pad_truth([sample.target.objects for sample in samples])
        masks = np.zeros((*boxes.labels.shape, MASK_POINTS, MASK_POINTS), bool)
        for row, sample in zip(masks, samples, strict=True):
            row[: len(sample.target.masks)] = sample.target.masks
        # A mask that no point of the grid meets is one of specks: its box is learned, and nothing is said of its pixels.
        return Batch(images, InstanceTruth(*boxes, torch.from_numpy(masks), torch.from_numpy(masks.any((2, 3)))))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """{"category", "box", "mask"}: the anchor-free loss, and the masks of the cells that learn a box."""
        truth: InstanceTruth = targets
        loss, spec = make_anchor_free_loss(network, images.device), network.input_spec
        *maps, prototypes = network(images)
        with torch.autocast(images.device.type, enabled=False):
            boxes = [output for place, output in enumerate(maps) if place % 3 < 2]
            parts, found, shares = loss.assess(boxes, truth.boxes)
            raw = torch.cat([output.flatten(2) for output in maps[2::3]], 2).float()  # (N, K, cells)
            coefficients = raw.transpose(1, 2)[found.picture, found.cell]
            masks = compute_mask_loss(coefficients, prototypes.float(), truth, found, shares, spec.width, spec.height)
        return parts | {"mask": masks}

    def _read_place(self, annotation: Annotation) -> Place | None:
        """As of detection, but the outline says where an object is: its box is the outline's."""
        if not has_mask(annotation):
            return super()._read_place(annotation)
        rings = trace_annotation(annotation)
        if not rings:
            return None
        x_min, y_min, x_max, y_max = find_bounds(np.concatenate(rings)).tolist()
        return (x_min, y_min, x_max, y_max), rings


def has_mask(annotation: Annotation) -> bool:
    """Whether an annotation says which pixels belong to one object."""
    return annotation.geometry in ("mask", "polygons") and not annotation.is_crowd


def trace_annotation(annotation: Annotation) -> Rings:
    """Rings `(P, 2)` float32 that draw an annotation's mask or polygons; none for an empty mask."""
    if annotation.mask is None:
        return list_rings(annotation.polygons or ())
    mask = decode_mask(annotation.mask)
    box = find_mask_box(mask)
    if box is None:
        return []
    left, top, right, bottom = map(int, box)
    rings = list_rings(trace_mask_with_holes(mask[top:bottom, left:right]))
    return [ring + np.array([left, top], np.float32) for ring in rings]


def draw_grid(rings: Rings, box_xyxy: np.ndarray) -> np.ndarray:
    """Which points of the grid over a box lie in an outline. Returns: `(G, G)` bool, False where there is none."""
    low, sides = box_xyxy[:2].astype(np.float64), (box_xyxy[2:] - box_xyxy[:2]).astype(np.float64)
    places = [((ring - low) / sides + MARGIN) * (MASK_POINTS / (1 + 2 * MARGIN)) for ring in rings]
    return draw_polygons([tuple(place.ravel().tolist()) for place in places], MASK_POINTS, MASK_POINTS)
