"""Our own small classifier (`fast`): a residual trunk, global average pooling, one linear layer; learns from random weights.

Narrow and short on purpose: within CPU-minutes the number of pictures seen decides more than the number of parameters.
"""

import torch
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.models.blocks import ConvBlock, ResidualTrunk
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, Network


def classification_head(task: Task) -> DecodeSpec:
    """The decoder of logits `(N, C)`: one category each, or several."""
    if task == "multilabel":
        return DecodeSpec(head="sigmoid", outputs=("logits",), confidence_threshold=0.5)
    return DecodeSpec(head="softmax", outputs=("logits",))


class SmallClassifier(Network):
    """Picture `(N, 3, H, W)` -> logits `(N, C)`.

    Args:
        category_count: C.
        width, height: input size, pixels.
        channels: of the trunk at stride 4.
        depths: residual blocks at strides 4, 8, 16 and 32.
    """

    def __init__(
        self,
        task: Task,
        category_count: int,
        width: int,
        height: int,
        channels: int = 32,
        depths: tuple[int, int, int, int] = (1, 1, 2, 1),
    ) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(channels, depths)
        last = self.trunk.channels[-1]
        self.neck = ConvBlock(last, 2 * last, 1)
        self.head = nn.Linear(2 * last, category_count)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="stretch")
        self.decode_spec = classification_head(task)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C)."""
        features = self.neck(self.trunk(images)[-1])
        return (self.head(torch.mean(features, (2, 3))),)


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return SmallClassifier(task, category_count, width, height)
