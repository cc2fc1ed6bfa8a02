"""Our own small segmenter (`fast`): a residual trunk with a pooling pyramid, and a decoder that adds coarse to fine maps.

Top-down path as in feature pyramids (Lin et al. 2017, §3) down to stride 4; logits leave at stride 4 and the decode head
enlarges them, so neither training nor inference pays for convolutions at full resolution.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.models.blocks import ConvBlock, PyramidPool, ResidualTrunk
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, Network

CHANNELS, DEPTHS = 32, (1, 1, 2, 1)  # of the trunk at stride 4; its residual blocks at strides 4, 8, 16 and 32
DECODER_CHANNELS = 64


def semantic_head() -> DecodeSpec:
    """The decoder of logits `(N, C, h, w)`: the largest wins at each pixel, however sure it is."""
    return DecodeSpec(head="semantic", outputs=("logits",), confidence_threshold=0.0)


class SmallSegmenter(Network):
    """Picture `(N, 3, H, W)` -> logits `(N, C, H / 4, W / 4)`; H and W are multiples of 32.

    Args:
        category_count: C.
        width, height: input size, pixels.
    """

    def __init__(self, category_count: int, width: int, height: int) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(CHANNELS, DEPTHS)
        self.context = PyramidPool(self.trunk.channels[-1])
        self.lateral = nn.ModuleList(ConvBlock(inputs, DECODER_CHANNELS, 1) for inputs in self.trunk.channels)
        self.smooth = nn.ModuleList(ConvBlock(DECODER_CHANNELS, DECODER_CHANNELS) for _ in self.trunk.channels[:-1])
        self.head = nn.Conv2d(DECODER_CHANNELS, category_count, 1)
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="letterbox")
        self.decode_spec = semantic_head()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C, H / 4, W / 4)."""
        features = self.trunk(images)
        features[-1] = self.context(features[-1])
        merged = self.lateral[-1](features[-1])
        for level in (2, 1, 0):
            merged = F.interpolate(merged, scale_factor=2.0, mode="nearest") + self.lateral[level](features[level])
            merged = self.smooth[level](merged)
        return (self.head(merged),)


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return SmallSegmenter(category_count, width, height)
