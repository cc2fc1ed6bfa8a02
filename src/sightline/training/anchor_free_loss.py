"""The loss of the anchor-free detector: varifocal class loss (Zhang et al. 2021, eq. 2) and generalised IoU of the boxes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.training.box_assignment import Assignment, Truth, assign_cells, pair_iou

BOX_WEIGHT = 2.5  # of the box term against the class term
NEGATIVE_WEIGHT = 0.75  # varifocal alpha
LEAST_STRENGTH = 0.05  # early strengths are near 0, but boxes must learn from the first step


class AnchorFreeLoss:
    """The loss for one input size.

    Args:
        width, height: of the network's input, pixels.
        strides: of the levels, in the order of the outputs.
        side_scale: sides are softplus(raw) * stride * side_scale, as in `imaging.heads`.
        device: where outputs and truth are.
    """

    def __init__(
        self, width: int, height: int, strides: Sequence[int], side_scale: float, device: torch.device | str = "cpu"
    ) -> None:
        centres_xy, strides_px = cell_centres(width, height, strides)
        self.centres_xy = centres_xy.to(device)
        self.smallest_stride = float(min(strides))
        self.side_lengths = (strides_px * side_scale).to(device)  # (cells, 1)

    def decode(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw maps -> class logits `(N, cells, C)` and boxes `(N, cells, 4)` xyxy input pixels, float32."""
        scores, sides = [output.flatten(2) for output in outputs[::2]], [output.flatten(2) for output in outputs[1::2]]
        logits = torch.cat(scores, 2).float().transpose(1, 2)  # (N, C, cells) -> (N, cells, C)
        raw = torch.cat(sides, 2).float().transpose(1, 2)  # (N, 4, cells) -> (N, cells, 4)
        distances = F.softplus(raw) * self.side_lengths  # positive: boxes are never inside out
        return logits, torch.cat([self.centres_xy - distances[..., :2], self.centres_xy + distances[..., 2:]], -1)

    def __call__(self, outputs: Sequence[Tensor], truth: Truth) -> dict[str, Tensor]:
        """The parts of the loss of a batch: {"category", "box"}, scalars.

        Args: outputs: raw maps, logits and sides of each stride in turn; truth: padded, input pixels.
        """
        return self.assess(outputs, truth)[0]

    def assess(self, outputs: Sequence[Tensor], truth: Truth) -> tuple[dict[str, Tensor], Assignment, Tensor]:
        """The parts of the loss, the cells that learn objects, and the share `(P,)` of each of these in its part."""
        logits, boxes = self.decode(outputs)
        scores = logits.detach().sigmoid()
        found = assign_cells(scores, boxes.detach(), truth, self.centres_xy, self.smallest_stride)
        target = torch.zeros_like(scores)
        target[found.picture, found.cell, truth.labels[found.picture, found.object]] = found.strength
        weight = found.strength.clamp(min=LEAST_STRENGTH)
        normaliser = weight.sum().clamp(min=1.0)
        _, giou = pair_iou(boxes[found.picture, found.cell], truth.boxes_xyxy[found.picture, found.object])
        box_loss = ((1 - giou) * weight).sum()
        # Positives count by their target, negatives by how wrong they are; in a crowd of its category nobody knows.
        negative = NEGATIVE_WEIGHT * scores * scores
        negative[self._find_crowded(truth)] = 0
        emphasis = torch.where(target > 0, target + 1e-3, negative)
        category_loss = F.binary_cross_entropy_with_logits(logits, target, emphasis, reduction="sum")
        parts = {"category": category_loss / normaliser, "box": BOX_WEIGHT * box_loss / normaliser}
        return parts, found, weight / normaliser

    def _find_crowded(self, truth: Truth) -> tuple[Tensor, Tensor, Tensor]:
        """Indices (picture, cell, category), each `(P,)`, of the cells whose centre lies in a crowd."""
        picture, crowd = truth.is_crowd.nonzero(as_tuple=True)
        low, high = truth.boxes_xyxy[picture, crowd][:, None].split(2, -1)  # (K, 1, 2) each
        inside = ((self.centres_xy > low) & (self.centres_xy < high)).all(-1)  # (K, cells)
        place, cell = inside.nonzero(as_tuple=True)
        return picture[place], cell, truth.labels[picture, crowd][place]


def cell_centres(width: int, height: int, strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Cells of all levels, row by row, in the order of `strides`.

    Args: width, height: input size, pixels. Returns: centres `(cells, 2)` x, y and stride `(cells, 1)`, input pixels.
    """
    centres, sizes = [], []
    for stride in strides:
        y, x = torch.meshgrid(torch.arange(height // stride) + 0.5, torch.arange(width // stride) + 0.5, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2) * stride)  # (rows, columns, 2) -> (cells, 2)
        sizes.append(torch.full((len(centres[-1]), 1), float(stride)))
    return torch.cat(centres), torch.cat(sizes)
