"""Faster R-CNN (Ren et al. 2015) with ResNet-50 and a feature pyramid (`accurate`), as torchvision builds and trains it.

Training uses torchvision's own sampling and losses; in a crowd nothing is taught to be background. The exported graph is
static: instead of suppressing overlapping proposals it keeps the `PROPOSALS` best of all levels, pools their features and ends
at class logits and box deltas; decoding and non-maximum suppression are `imaging.heads`' `region_boxes`. Every proposal is
pooled from every level and the right one is kept, because choosing levels by index has no static shape.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou, roi_align

from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, Network

STRIDES = (4, 8, 16, 32, 64)  # of the pyramid; boxes are pooled from the first four
PROPOSALS = 300
POOLED_SIZE, SAMPLING_RATIO = 7, 2
CANONICAL_LEVEL, CANONICAL_SIZE_PX = 4, 224  # Lin et al. 2017, Feature Pyramid Networks, eq. 1
LEAST_SIDE_PX = 0.1
MAX_LOG_SIZE = math.log(1000.0 / 16)  # as torchvision's BoxCoder
CROWDED_SHARE = 0.5  # of a box that lies in a crowd: nobody knows what is in the box
IS_BACKGROUND, IS_UNKNOWN = 0, -1  # torchvision's labels of anchors; it learns nothing from unknown ones


def find_crowded(boxes_xyxy: Tensor, crowds_xyxy: Tensor) -> Tensor:
    """Which boxes lie mostly in one crowd. Args: `(P, 4)` and `(K, 4)` pixels. Returns: `(P,)` bool."""
    low = torch.max(boxes_xyxy[:, None, :2], crowds_xyxy[:, :2])  # (P, K, 2)
    high = torch.min(boxes_xyxy[:, None, 2:], crowds_xyxy[:, 2:])
    areas = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(-1)
    return ((high - low).clamp(0).prod(-1) >= CROWDED_SHARE * areas[:, None]).any(1)


class CrowdAwareRpn(RegionProposalNetwork):
    """Torchvision's proposals, which learn nothing from background in a crowd. Targets also hold `crowds`, `(K, 4)` xyxy."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Per picture, the label of each anchor and the box that it is to find."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, own, target in zip(labels, anchors, targets, strict=True):
            label[(label == IS_BACKGROUND) & find_crowded(own, target["crowds"])] = IS_UNKNOWN
        return labels, boxes


class FasterRcnn(Network):
    """Pictures `(N, 3, H, W)` -> proposals `(N, R, 4)` xyxy input pixels, logits `(N, R, C + 1)`, deltas `(N, R, 4 (C + 1))`.

    Args:
        category_count: C; the background is class 0 of the logits.
        width, height: input size, pixels, multiples of 64.
    """

    weights_prefix = "body."
    # torchvision pools regions in no fixed order; in a fixed one, ten steps on an H200 did not end in 25 s instead of taking 3.
    repeats_on_gpu = False

    def __init__(self, category_count: int, width: int, height: int) -> None:
        super().__init__()
        # From random weights the batch norms must learn: the frozen ones torchvision takes otherwise only suit loaded weights.
        self.body = fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=category_count + 1, norm_layer=nn.BatchNorm2d
        )
        self.body.rpn.__class__ = CrowdAwareRpn  # with the parts and settings that torchvision gave it
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="letterbox")
        self.decode_spec = DecodeSpec(
            head="region_boxes",
            outputs=("proposals", "logits", "deltas"),
            parameters={"weights": [10.0, 10.0, 5.0, 5.0]},
            confidence_threshold=0.5,
            iou_threshold=0.5,
        )
        for level, anchors in enumerate(self._make_anchors()):
            self.register_buffer(f"anchors_{level}", anchors, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> proposals, logits, deltas."""
        features = list(self.body.backbone(images).values())
        objectness, deltas = self.body.rpn.head(features)
        proposals = self._select_proposals(objectness, deltas)  # (N, R, 4)
        pooled = self._pool_features(features, proposals)  # (N R, channels, 7, 7)
        logits, box_deltas = self.body.roi_heads.box_predictor(self.body.roi_heads.box_head(pooled))
        count = proposals.shape[1]
        return proposals, logits.view(-1, count, logits.shape[1]), box_deltas.view(-1, count, box_deltas.shape[1])

    def compute_box_losses(
        self, images: Tensor, boxes_xyxy: list[Tensor], labels: list[Tensor], crowds_xyxy: list[Tensor]
    ) -> dict[str, Tensor]:
        """The four losses of the paper's two stages, by torchvision; the first two where nothing is left for the second.

        Args: images: `(N, 3, H, W)`; per picture boxes `(m, 4)` input pixels, labels `(m,)` category indices, and the boxes
            `(k, 4)` of crowds.
        """
        sizes = [(self.input_spec.height, self.input_spec.width)] * len(images)
        targets = []
        for own, names, crowds in zip(boxes_xyxy, labels, crowds_xyxy, strict=True):
            solid = (own[:, 2:] - own[:, :2] > LEAST_SIDE_PX).all(1)  # a box without area has an infinite target
            targets.append({"boxes": own[solid], "labels": names[solid] + 1, "crowds": crowds})
        features: OrderedDict[str, Tensor] = self.body.backbone(images)
        with torch.autocast(images.device.type, enabled=False):
            plain = OrderedDict((name, feature.float()) for name, feature in features.items())
            proposals, losses = self.body.rpn(ImageList(images, sizes), plain, targets)
            known = [self._leave_out_crowded(own, target) for own, target in zip(proposals, targets, strict=True)]
            if any(map(len, known)) or any(len(target["boxes"]) for target in targets):  # a mean over nothing is no number
                losses |= self.body.roi_heads(plain, known, sizes, targets)[1]
        return losses

    def _leave_out_crowded(self, proposals: Tensor, target: dict[str, Tensor]) -> Tensor:
        """The proposals `(P, 4)` that fit an object, or are background outside crowds."""
        fits = box_iou(proposals, target["boxes"]) >= self.body.roi_heads.proposal_matcher.high_threshold
        return proposals[fits.any(1) | ~find_crowded(proposals, target["crowds"])]

    def _make_anchors(self) -> list[Tensor]:
        """Anchors `(rows columns A, 4)` of each level, in the order in which the heads' maps are flattened."""
        width, height = self.input_spec.width, self.input_spec.height
        levels = []
        for stride, cell in zip(STRIDES, self.body.rpn.anchor_generator.cell_anchors, strict=True):
            y, x = torch.meshgrid(
                torch.arange(height // stride) * stride, torch.arange(width // stride) * stride, indexing="ij"
            )
            shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)  # (cells, 1, 4)
            levels.append((shifts + cell[None]).reshape(-1, 4).float())
        return levels

    def _select_proposals(self, objectness: list[Tensor], deltas: list[Tensor]) -> Tensor:
        """The best proposals of all levels, `(N, R, 4)` xyxy, clipped to the input."""
        boxes, scores = [], []
        for level, (score, delta) in enumerate(zip(objectness, deltas, strict=True)):
            anchors = self.get_buffer(f"anchors_{level}")
            count, rows, columns = score.shape[1:]
            flat = score.permute(0, 2, 3, 1).flatten(1)  # (N, A, h, w) -> (N, h w A)
            moves = delta.view(-1, count, 4, rows, columns).permute(0, 3, 4, 1, 2).flatten(1, 3)  # -> (N, h w A, 4)
            best, chosen = flat.topk(min(PROPOSALS, flat.shape[1]), 1)
            moves = torch.gather(moves, 1, chosen[..., None].expand(-1, -1, 4))
            boxes.append(self._apply_moves(anchors[chosen], moves))
            scores.append(best)
        all_boxes, all_scores = torch.cat(boxes, 1), torch.cat(scores, 1)
        _, chosen = all_scores.topk(min(PROPOSALS, all_scores.shape[1]), 1)
        return torch.gather(all_boxes, 1, chosen[..., None].expand(-1, -1, 4))

    def _apply_moves(self, anchors: Tensor, moves: Tensor) -> Tensor:
        """Anchors `(N, K, 4)` moved and scaled by deltas `(N, K, 4)` (eq. 2), clipped to the input."""
        sizes = anchors[..., 2:] - anchors[..., :2]
        centres = (anchors[..., :2] + anchors[..., 2:]) / 2 + moves[..., :2] * sizes
        half = sizes * torch.exp(moves[..., 2:].clamp(max=MAX_LOG_SIZE)) / 2
        width, height = float(self.input_spec.width), float(self.input_spec.height)
        limits = torch.tensor([width, height, width, height], device=moves.device)
        return torch.minimum(torch.cat([centres - half, centres + half], -1).clamp(min=0), limits)

    def _pool_features(self, features: list[Tensor], proposals: Tensor) -> Tensor:
        """Features of each proposal from the level of its size (Lin et al. 2017, eq. 1), `(N R, channels, 7, 7)`."""
        images, count = proposals.shape[:2]
        owner = torch.arange(images, device=proposals.device, dtype=proposals.dtype)[:, None, None].expand(-1, count, 1)
        regions = torch.cat([owner, proposals], -1).reshape(-1, 5)  # (N R, 5): picture, box
        sides = (regions[:, 3:] - regions[:, 1:3]).clamp(min=1e-3)
        scale = torch.sqrt(sides[:, 0] * sides[:, 1]) / CANONICAL_SIZE_PX
        level = torch.floor(CANONICAL_LEVEL + torch.log2(scale) + 1e-6).clamp(2, 5) - 2
        pooled = torch.zeros(1, device=proposals.device)
        for index, (feature, stride) in enumerate(zip(features[:4], STRIDES, strict=False)):
            own = roi_align(feature, regions, POOLED_SIZE, 1 / stride, SAMPLING_RATIO)
            pooled = pooled + own * (level == index).to(own.dtype)[:, None, None, None]
        return pooled


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return FasterRcnn(category_count, width, height)
