"""Which cells of an anchor-free detector answer for which object: task-aligned assignment (Feng et al. 2021, TOOD, §3.2).

Works on a whole batch at once. Truth is padded to the largest number of objects in the batch; only the (object, cell) pairs
whose cell centre lies in the object are computed, about 3 % of all pairs, which is what makes it cheap.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sightline.data.augmentation import Objects

CELLS_PER_OBJECT = 10
NO_OBJECT = -1


class Truth(NamedTuple):
    """Padded truth of a batch of N pictures with at most M objects.

    Attributes:
        boxes_xyxy: `(N, M, 4)` float32, input pixels.
        labels: `(N, M)` int64, `NO_OBJECT` where there is none.
        is_crowd: `(N, M)` bool: a region of many objects, none of which is told apart.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    is_crowd: Tensor

    @property
    def is_object(self) -> Tensor:
        """`(N, M)` bool: single objects, which are to be found."""
        return (self.labels != NO_OBJECT) & ~self.is_crowd


class Assignment(NamedTuple):
    """P responsible cells of a batch; all tensors are `(P,)`.

    Attributes:
        picture, cell, object: indices into the batch, the cells of a picture, and its objects.
        strength: the score the cell should give, 0..1.
    """

    picture: Tensor
    cell: Tensor
    object: Tensor
    strength: Tensor


def pad_truth(pictures: Sequence[Objects]) -> Truth:
    """Stack the objects of each picture. M is at least 1."""
    shape = (len(pictures), max(1, *(len(objects.labels) for objects in pictures)))
    boxes, labels = np.zeros((*shape, 4), np.float32), np.full(shape, NO_OBJECT, np.int64)
    is_crowd = np.zeros(shape, bool)
    for row, objects in enumerate(pictures):
        own = slice(len(objects.labels))
        boxes[row, own], labels[row, own], is_crowd[row, own] = objects.boxes_xyxy, objects.labels, objects.is_crowd
    return Truth(*map(torch.from_numpy, (boxes, labels, is_crowd)))


def pair_iou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019, algorithm 1) of boxes pair by pair.

    Args: two `(P, 4)` float tensors. Returns: `(P,)` in 0..1 and `(P,)` in -1..1.
    """
    low, high = torch.max(boxes_xyxy[:, :2], others_xyxy[:, :2]), torch.min(boxes_xyxy[:, 2:], others_xyxy[:, 2:])
    shared = (high - low).clamp(0).prod(-1)
    areas = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(-1) + (others_xyxy[:, 2:] - others_xyxy[:, :2]).prod(-1)
    union = areas - shared + 1e-6
    hull_low, hull_high = torch.min(boxes_xyxy[:, :2], others_xyxy[:, :2]), torch.max(boxes_xyxy[:, 2:], others_xyxy[:, 2:])
    hull = (hull_high - hull_low).prod(-1) + 1e-6
    iou = shared / union
    return iou, iou - (hull - union) / hull


@torch.no_grad()
def assign_cells(scores: Tensor, boxes_xyxy: Tensor, truth: Truth, centres_xy: Tensor, smallest_stride: float) -> Assignment:
    """Choose the cells that learn each object, and how strongly.

    Args:
        scores: `(N, cells, C)` present scores, 0..1.
        boxes_xyxy: `(N, cells, 4)` present boxes, input pixels.
        truth: what is there.
        centres_xy: `(cells, 2)` input pixels.
        smallest_stride: an object thinner than this still gets the nearest cells, pixels.
    """
    picture, item, cell = _find_pairs(truth, centres_xy, smallest_stride)
    label = truth.labels[picture, item]
    overlap, _ = pair_iou(boxes_xyxy[picture, cell], truth.boxes_xyxy[picture, item])
    # A cell suits an object if it names the category and boxes it well. At the start all overlaps are about 0 and the ranking
    # would be noise: tiny terms let the most central cells win then.
    middle = (truth.boxes_xyxy[picture, item, :2] + truth.boxes_xyxy[picture, item, 2:]) / 2
    distance2 = ((centres_xy[cell] - middle) ** 2).sum(-1)
    suits = scores[picture, cell, label].sqrt() * overlap**4 + 1e-9 + 1e-7 / (1 + distance2)

    pictures, objects, cells = len(scores), truth.labels.shape[1], len(centres_xy)
    table = torch.zeros(pictures, objects, cells, device=scores.device)
    table[picture, item, cell] = suits
    least = table.topk(min(CELLS_PER_OBJECT, cells), -1).values[..., -1]  # the k-th best of each object
    suits = torch.where(suits >= least[picture, item], suits, torch.zeros_like(suits))
    flat_cell = picture * cells + cell
    best = suits.new_zeros(pictures * cells).scatter_reduce_(0, flat_cell, suits, "amax")
    won = (suits > 0) & (suits == best[flat_cell])  # a cell claimed by two objects goes to the better match
    first = torch.full_like(best, objects).scatter_reduce_(0, flat_cell[won], item[won].to(best.dtype), "amin")
    won = won & (item == first[flat_cell])  # and of equal ones to the first
    picture, item, cell, suits, overlap = picture[won], item[won], cell[won], suits[won], overlap[won]

    # Target = suitability scaled so that an object's best cell gets the object's best IoU: the score learns to say how good the
    # box is, which is what ranking by score needs.
    flat = picture * objects + item
    top = suits.new_zeros(pictures * objects).scatter_reduce_(0, flat, suits, "amax")
    top_iou = suits.new_zeros(pictures * objects).scatter_reduce_(0, flat, overlap, "amax")
    return Assignment(picture, cell, item, (suits / (top[flat] + 1e-12) * top_iou[flat]).clamp(0, 1))


def _find_pairs(truth: Truth, centres_xy: Tensor, smallest_stride: float) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (picture, object, cell), each `(P,)`, of the pairs whose cell centre lies in the object."""
    middle = (truth.boxes_xyxy[..., :2] + truth.boxes_xyxy[..., 2:]) / 2  # (N, M, 2)
    half = (truth.boxes_xyxy[..., 2:] - truth.boxes_xyxy[..., :2]) / 2
    half = half.clamp(min=smallest_stride / 2 + 1e-3)  # an object between cell centres still gets the nearest cell
    near_x = (centres_xy[:, 0] - middle[..., :1]).abs() < half[..., :1]  # (N, M, cells)
    near_y = (centres_xy[:, 1] - middle[..., 1:]).abs() < half[..., 1:]
    inside = near_x & near_y & truth.is_object[..., None]
    picture, item, cell = inside.nonzero(as_tuple=True)
    return picture, item, cell
