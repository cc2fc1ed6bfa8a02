"""Detection: boxes of objects. Mosaics for most of the budget, then single pictures as they will be seen.

Networks that end in anchor-free maps share one loss; a network with a loss of its own (two-stage detectors sample regions
inside it) brings `compute_box_losses`.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
import torch
from torch import Tensor

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.core.errors import InvalidInput, Unsupported
from sightline.data.augmentation import (
    Objects,
    cut_objects,
    jitter_colours,
    random_affine,
    shift_matrix,
    warp_objects,
    warp_pixels,
    weaken_geometry,
)
from sightline.data.items import Item
from sightline.data.mosaic import PARTS, paint_mosaic
from sightline.imaging.masks import find_annotation_box, find_polygons_box
from sightline.models.network import Network
from sightline.training.anchor_free_loss import AnchorFreeLoss
from sightline.training.box_assignment import Truth, pad_truth
from sightline.training.schedules import augmentation_factor
from sightline.training.tasks.task import Batch, Sample, TaskContext, draw_warp

SAME_BOX_PX = 1.0  # as far an outline's bounds may be from its box
ANCHOR_FREE_HEADS = ("anchor_free", "anchor_free_masks")
Rings = list[np.ndarray]  # (P, 2) float32 pixels each
Place = tuple[BoxXyxy, Rings]


@runtime_checkable
class LearnsBoxes(Protocol):
    """A network with a loss of its own."""

    def compute_box_losses(
        self, images: Tensor, boxes_xyxy: list[Tensor], labels: list[Tensor], crowds_xyxy: list[Tensor]
    ) -> dict[str, Tensor]:
        """Named parts of the loss.

        Args: normalised images; per picture `(m, 4)` input pixels, `(m,)` category indices, and the `(k, 4)` of crowds, in
            which background is not to be learned.
        """


class DetectionTask:
    """See the module."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.settings = context.recipe.augmentation
        self.mosaic_settings = msgspec.structs.replace(self.settings, scale=self.settings.mosaic_scale)
        pictures = [self._read_objects(item) for item in context.pictures.items]
        if all(objects.is_crowd.all() for objects in pictures):
            raise InvalidInput(
                "expected boxes to learn from, got none in the training splits; draw boxes, or train classification"
            )
        # Arrays of all objects, and where each picture's begin: processes that are forked share these, but not a list's parts.
        self._objects = join_objects(pictures)._replace(outlines=[])
        self._starts = find_starts(len(objects.labels) for objects in pictures)
        outlines = [outline for objects in pictures for outline in objects.outlines]
        rings = [ring for outline in outlines for ring in outline]
        self._first_rings, self._first_points = find_starts(map(len, outlines)), find_starts(map(len, rings))
        self._points = np.concatenate([np.zeros((0, 2), np.float32), *rings])

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        """A warped, jittered picture, sometimes a mosaic of four; target: `Objects` in input pixels."""
        spec = self.context.input_spec
        if rng.random() < self.settings.mosaic * augmentation_factor(progress, self.settings.close):
            parts = [index, *rng.integers(len(self.context.pictures), size=PARTS - 1)]
            pictures = [self.context.pictures.read(part) for part in parts]
            middle_to_middle = shift_matrix(-spec.width / 2, -spec.height / 2)
            calmer = weaken_geometry(self.mosaic_settings, augmentation_factor(progress, self.settings.settle))
            matrix = random_affine(rng, calmer, spec.width, spec.height) @ middle_to_middle
            image, matrices = paint_mosaic([picture.image for picture in pictures], matrix, spec.width, spec.height)
        else:
            parts, pictures = [index], [self.context.pictures.read(index)]
            matrices = [draw_warp(pictures[0], spec, self.settings, rng, progress)]
            image = warp_pixels(pictures[0].image, matrices[0], spec.width, spec.height)
        moved = [
            warp_objects(self._find_objects(part, picture.scale_xy), matrix)
            for part, picture, matrix in zip(parts, pictures, matrices, strict=True)
        ]
        objects = cut_objects(join_objects(moved), spec.width, spec.height, self.settings.least_visible)
        return Sample(jitter_colours(image, rng, self.settings), objects)

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        """Images `(N, H, W, 3)` uint8, targets `Truth`."""
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Batch(images, pad_truth([sample.target for sample in samples]))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """The network's own parts, or {"category", "box"} of the anchor-free loss."""
        truth: Truth = targets
        if isinstance(network, LearnsBoxes):
            boxes = [boxes[here] for boxes, here in zip(truth.boxes_xyxy, truth.is_object, strict=True)]
            labels = [labels[here] for labels, here in zip(truth.labels, truth.is_object, strict=True)]
            crowds = [boxes[here] for boxes, here in zip(truth.boxes_xyxy, truth.is_crowd, strict=True)]
            return network.compute_box_losses(images, boxes, labels, crowds)
        loss = make_anchor_free_loss(network, images.device)
        outputs = network(images)
        with torch.autocast(images.device.type, enabled=False):
            return loss(outputs, truth)

    def _read_objects(self, item: Item) -> Objects:
        """All that has a place, in pixels of the original."""
        found = [(annotation, self._read_place(annotation)) for annotation in item.annotations]
        placed = [(annotation, place) for annotation, place in found if place is not None]
        return Objects(
            np.array([box for _, (box, _) in placed], np.float32).reshape(-1, 4),
            np.array([self.context.categories.index(annotation.category) for annotation, _ in placed], np.int64),
            np.array([annotation.is_crowd for annotation, _ in placed], bool),
            [rings for _, (_, rings) in placed],
        )

    def _read_place(self, annotation: Annotation) -> Place | None:
        """Box and outline of an annotation, pixels of the original; None where it names no place."""
        box = find_annotation_box(annotation)
        return None if box is None else (box, read_outline(annotation, box))

    def _find_objects(self, index: int, scale_xy: tuple[float, float]) -> Objects:
        """The objects of a picture that was shrunk by `scale_xy`."""
        own = slice(self._starts[index], self._starts[index + 1])
        boxes, labels, is_crowd, _ = self._objects
        scale = np.array(scale_xy, np.float32)
        outlines = [
            [self._points[self._first_points[ring] : self._first_points[ring + 1]] * scale for ring in range(*rings)]
            for rings in itertools.pairwise(self._first_rings[own.start : own.stop + 1])
        ]
        return Objects(boxes[own] * np.tile(scale, 2), labels[own], is_crowd[own], outlines)


def read_outline(annotation: Annotation, box: BoxXyxy) -> Rings:
    """Rings `(P, 2)` float32 of an annotation; none for one whose box is drawn otherwise, around hidden parts, say."""
    polygons = annotation.polygons or ()
    if not polygons or annotation.is_crowd or not np.allclose(find_polygons_box(polygons), box, rtol=0, atol=SAME_BOX_PX):
        return []
    return list_rings(polygons)


def list_rings(polygons: Sequence[Ring]) -> Rings:
    """Rings x0, y0, x1, y1, ... as points `(P, 2)`."""
    return [np.reshape(np.array(ring, np.float32), (-1, 2)) for ring in polygons]


def join_objects(parts: Sequence[Objects]) -> Objects:
    """Objects of several pictures as those of one."""
    boxes, labels, is_crowd, outlines = zip(*parts, strict=True)
    return Objects(np.concatenate(boxes), np.concatenate(labels), np.concatenate(is_crowd), list(itertools.chain(*outlines)))


def find_starts(counts: Iterable[int]) -> np.ndarray:
    """Where each of several parts begins that lie one after another, and where the last ends."""
    return np.cumsum([0, *counts])


def make_anchor_free_loss(network: Network, device: torch.device) -> AnchorFreeLoss:
    """The loss of a network's scores and sides, made once for each input size. Raises: Unsupported for another head."""
    spec, decode = network.input_spec, network.decode_spec
    if decode.head not in ANCHOR_FREE_HEADS:
        heads = ", ".join(ANCHOR_FREE_HEADS)
        raise Unsupported(f"no loss of boxes for the head {decode.head!r}; there is {heads}, or the network's own")
    strides, side_scale = tuple(decode.parameters["strides"]), float(decode.parameters["side_scale"])
    return _cached_loss(spec.width, spec.height, strides, side_scale, device)


@lru_cache(maxsize=4)
def _cached_loss(width: int, height: int, strides: tuple[int, ...], side_scale: float, device: torch.device) -> AnchorFreeLoss:
    return AnchorFreeLoss(width, height, strides, side_scale, device)
