"""Our own anchor-free detector (`fast`): a cross-stage partial trunk, a two-way feature pyramid, light heads.

It learns from random weights. A picture is cut into 4x4 patches by one strided convolution, because small convolutions at
full resolution cost as much as a whole later stage. Each cell of each level says how likely every category is and how far the
sides of the box lie from its centre (FCOS, Tian et al. 2019). The graph ends at these raw maps: convolutions, ReLU, max
pooling, nearest upsampling and concatenation only, so it exports and quantises as it is. Pyramid: path aggregation, Liu et
al. 2018.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.models.blocks import ConvBlock, CspBlock, PyramidPool
from sightline.models.network import Network

LEVELS = (8, 16, 32)  # strides of the pyramid
CHANNELS = (32, 64, 128, 160)  # at strides 4, 8, 16 and 32: all multiples of 16, as bf16 kernels like
TWO_LEVELS_UP_TO_PX = 416  # a longer input gets boxes from stride 32 too, for objects of more than about 25 cells of stride 16
SIDE_SCALE = 2.0  # a raw side of softplus(1) = 1.3 means 2.6 strides: first boxes overlap real objects and learn at once
USUAL_CONFIDENCE = 0.5  # scores aim at the IoU of the box, so good boxes score high; validation finds the best one
PRIOR_LOGIT = -4.0  # sigmoid(-4) = 0.02: nearly all cells are background (Lin et al. 2017, §3.3)


class DetectionHead(nn.Module):
    """Categories and boxes of one level, from one shared hidden layer: a layer each costs 10 % and gains nothing."""

    def __init__(self, inputs: int, hidden: int, category_count: int) -> None:
        super().__init__()
        self.shared = ConvBlock(inputs, hidden)
        self.category, self.box = nn.Conv2d(hidden, category_count, 1), nn.Conv2d(hidden, 4, 1)
        for layer, bias in ((self.category, PRIOR_LOGIT), (self.box, 1.0)):
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, inputs, h, w) -> class logits (N, C, h, w), raw sides (N, 4, h, w)."""
        hidden = self.shared(features)
        return self.category(hidden), self.box(hidden)


class CspDetector(Network):
    """Pictures `(N, 3, H, W)` in 0..1 -> for each stride s: class logits `(N, C, H/s, W/s)`, raw sides `(N, 4, H/s, W/s)`.

    Args:
        category_count: C.
        width, height: input size, pixels, multiples of 32. Strides 8 and 16 predict boxes, and 32 where a side is longer than
            `TWO_LEVELS_UP_TO_PX`.
    """

    head_type: type[nn.Module] = DetectionHead

    def __init__(self, category_count: int, width: int, height: int) -> None:
        super().__init__()
        strides = LEVELS[:2] if max(width, height) <= TWO_LEVELS_UP_TO_PX else LEVELS
        self.strides = strides
        c4, c8, c16, c32 = CHANNELS
        self.stem = ConvBlock(3, c4, 8, 4, padding=2)
        self.stage8 = nn.Sequential(ConvBlock(c4, c8, 3, 2), CspBlock(c8, c8, 2))
        self.stage16 = nn.Sequential(ConvBlock(c8, c16, 3, 2), CspBlock(c16, c16, 2))
        self.stage32 = nn.Sequential(ConvBlock(c16, c32, 3, 2), CspBlock(c32, c32), PyramidPool(c32))
        self.up16, self.up8 = CspBlock(c32 + c16, c16), CspBlock(c16 + c8, c8)  # top-down path
        self.down16, self.out16 = ConvBlock(c8, c8, 3, 2), CspBlock(c8 + c16, c16)  # and bottom-up again
        if 32 in strides:
            self.down32, self.out32 = ConvBlock(c16, c16, 3, 2), CspBlock(c16 + c32, c32)
        channels_of = dict(zip(LEVELS, (c8, c16, c32), strict=True))
        self.heads = nn.ModuleList(self.head_type(channels_of[stride], c8, category_count) for stride in strides)
        self.input_spec = InputSpec(width=width, height=height, resize="letterbox")
        self.decode_spec = anchor_free_head(strides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits and sides of each stride in turn."""
        return self.find_boxes(self.extract_features(images))

    def extract_features(self, images: Tensor) -> dict[int, Tensor]:
        """(N, 3, H, W) -> maps by stride: 4, as the first layer leaves it, and the pyramid's."""
        f4 = self.stem(images)
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        f16 = self.up16(torch.cat([F.interpolate(f32, scale_factor=2.0), f16], 1))
        f8 = self.up8(torch.cat([F.interpolate(f16, scale_factor=2.0), f8], 1))
        f16 = self.out16(torch.cat([self.down16(f8), f16], 1))
        if 32 in self.strides:
            f32 = self.out32(torch.cat([self.down32(f16), f32], 1))
        return {4: f4, 8: f8, 16: f16, 32: f32}

    def find_boxes(self, features: dict[int, Tensor]) -> tuple[Tensor, ...]:
        """What the heads make of the maps of their strides, one after the other."""
        outputs: list[Tensor] = []
        for stride, head in zip(self.strides, self.heads, strict=True):
            outputs.extend(head(features[stride]))
        return tuple(outputs)


def anchor_free_head(strides: tuple[int, ...]) -> DecodeSpec:
    """The decoder of `CspDetector`: outputs scores_8, sides_8, scores_16, ..."""
    return DecodeSpec(
        head="anchor_free",
        outputs=tuple(f"{kind}_{stride}" for stride in strides for kind in ("scores", "sides")),
        parameters={"strides": list(strides), "side_scale": SIDE_SCALE},
        confidence_threshold=USUAL_CONFIDENCE,
    )


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return CspDetector(category_count, width, height)
