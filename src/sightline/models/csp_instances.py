"""Our own instance segmenter (`fast`): the detector of `csp_detector`, and masks as sums of a few prototypes.

Of a whole picture the network draws `PROTOTYPES` maps at stride 4, and beside each box it says how much of each map makes the
mask of the object there: mask = sigmoid(prototypes x tanh(coefficients)), cut by the box (YOLACT, Bolya et al. 2019, §3.1 to
3.3). So masks cost one small branch whatever the number of objects, and the graph stays as static as the detector's: products
are left to the decode head, which computes them for the boxes that it keeps.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, Task
from sightline.models.blocks import ConvBlock
from sightline.models.csp_detector import CHANNELS, SIDE_SCALE, USUAL_CONFIDENCE, CspDetector, DetectionHead
from sightline.models.network import Network

PROTOTYPES = 16
PROTOTYPE_CHANNELS = 32


class InstanceHead(DetectionHead):
    """The detector's head, which also says the coefficients of the mask."""

    def __init__(self, inputs: int, hidden: int, category_count: int) -> None:
        super().__init__(inputs, hidden, category_count)
        self.coefficients = nn.Conv2d(hidden, PROTOTYPES, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, inputs, h, w) -> class logits (N, C, h, w), raw sides (N, 4, h, w), raw coefficients (N, K, h, w)."""
        hidden = self.shared(features)
        return self.category(hidden), self.box(hidden), self.coefficients(hidden)


class PrototypeBranch(nn.Module):
    """Prototypes of a picture: what the pyramid knows at stride 8, with the edges that the first layer sees at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        c4, c8, _, _ = CHANNELS
        self.coarse = nn.Sequential(ConvBlock(c8, c8), ConvBlock(c8, PROTOTYPE_CHANNELS, 1))
        self.fine = ConvBlock(c4, PROTOTYPE_CHANNELS, 1)
        self.smooth = ConvBlock(PROTOTYPE_CHANNELS, PROTOTYPE_CHANNELS)
        self.exit = nn.Conv2d(PROTOTYPE_CHANNELS, PROTOTYPES, 1)

    def forward(self, f4: Tensor, f8: Tensor) -> Tensor:
        """(N, c4, 2h, 2w) and (N, c8, h, w) -> (N, K, 2h, 2w)."""
        merged = F.interpolate(self.coarse(f8), scale_factor=2.0) + self.fine(f4)
        prototypes: Tensor = self.exit(self.smooth(merged))
        return prototypes


class CspInstances(CspDetector):
    """As `CspDetector`, with raw coefficients `(N, K, H/s, W/s)` behind the sides of each stride, and prototypes
    `(N, K, H/4, W/4)` at the end."""

    head_type = InstanceHead

    def __init__(self, category_count: int, width: int, height: int) -> None:
        super().__init__(category_count, width, height)
        self.prototypes = PrototypeBranch()
        self.decode_spec = anchor_free_masks_head(self.strides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits, sides and coefficients of each stride in turn, prototypes."""
        features = self.extract_features(images)
        return (*self.find_boxes(features), self.prototypes(features[4], features[8]))


def anchor_free_masks_head(strides: tuple[int, ...]) -> DecodeSpec:
    """The decoder of `CspInstances`: outputs scores_8, sides_8, coefficients_8, scores_16, ..., prototypes."""
    kinds = ("scores", "sides", "coefficients")
    return DecodeSpec(
        head="anchor_free_masks",
        outputs=(*(f"{kind}_{stride}" for stride in strides for kind in kinds), "prototypes"),
        parameters={"strides": list(strides), "side_scale": SIDE_SCALE},
        confidence_threshold=USUAL_CONFIDENCE,
    )


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return CspInstances(category_count, width, height)
