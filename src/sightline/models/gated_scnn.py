"""Gated-SCNN (Takikawa et al. 2019, arXiv 1907.05740), made small: a second stream of few channels that learns edges alone.

The regular stream is a residual trunk that ends at stride 8, dilated. The shape stream starts from its first features and keeps
their resolution; what the regular stream knows further up gates which of its features go on, so that it learns the edges
between categories and passes texture over. Edges and the gradient of the picture then join the regular stream in the pyramid
of dilated convolutions. In training the network also answers the logits of its edges.

Where this departs from the paper, a CPU is the reason. There are tens of channels, not hundreds; the decoder works at stride 4.
Convolutions are dense: two of 64 channels, dilated, train in 62 CPU-ms where an inverted residual takes 279 (a batch of 8 at
stride 8, bf16). The rates of the pyramid are half the paper's, whose crops of 720 pixels are twice as high as pictures here.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.core.manifests import InputSpec, Task
from sightline.models.blocks import ConvBlock, ResidualBlock
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sightline.models.small_segmenter import semantic_head

FIRST, STRIDE_4, STRIDE_8, DEEPEST = 16, 32, 64, 96  # channels of the regular stream where the shape stream looks at it
DEEP_DILATIONS = (2, 4)
SHAPE_CHANNELS = (8, 8, 8)  # after each gate; the paper has 32, 16, 8
RATES = (6, 12, 18)
CONTEXT_CHANNELS = 48  # of each of the six branches, and of what is made of them
SKIP_CHANNELS = 24
GRADIENT_FLOOR = 1e-4  # under the root, which has no slope at zero


class RegularStream(nn.Module):
    """Picture -> features at the shape stream's stride (1 or 2), at strides 4 and 8, and the deepest at stride 8."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first = ConvBlock(3, FIRST, 3, stride)
        halved = [ConvBlock(FIRST, FIRST, 3, 2)] if stride == 1 else []
        self.stride_4 = nn.Sequential(*halved, ConvBlock(FIRST, STRIDE_4, 3, 2), ResidualBlock(STRIDE_4, STRIDE_4))
        self.stride_8 = ResidualBlock(STRIDE_4, STRIDE_8, 2)
        widths = (STRIDE_8, *(DEEPEST for _ in DEEP_DILATIONS))
        self.deepest = nn.Sequential(
            *(ResidualBlock(widths[at], DEEPEST, dilation=dilation) for at, dilation in enumerate(DEEP_DILATIONS))
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> four maps of FIRST, STRIDE_4, STRIDE_8 and DEEPEST channels."""
        first = self.first(images)
        stride_4 = self.stride_4(first)
        stride_8 = self.stride_8(stride_4)
        return first, stride_4, stride_8, self.deepest(stride_8)


class Gate(nn.Module):
    """The gated convolutional layer (§3.1): one channel of the regular stream says where features of shape matter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(channels + 1, channels + 1, 1),
            nn.ReLU(inplace=True),
            ConvBlock(channels + 1, 1, 1, active=False),
            nn.Sigmoid(),
        )
        self.exit = nn.Conv2d(channels, channels, 1)

    def forward(self, shape: Tensor, side: Tensor) -> Tensor:
        """(N, C, h, w) and (N, 1, h, w) -> (N, C, h, w)."""
        attention = self.attention(torch.cat([shape, side], 1))
        gated: Tensor = self.exit(shape * (attention + 1))
        return gated


class ShapeStream(nn.Module):
    """First features of the regular stream -> logits of edges, gated by its later ones."""

    def __init__(self) -> None:
        super().__init__()
        self.residual, self.narrow, self.sides, self.gates = (nn.ModuleList() for _ in range(4))
        inputs = FIRST
        for channels, seen in zip(SHAPE_CHANNELS, (STRIDE_4, STRIDE_8, DEEPEST), strict=True):
            self.residual.append(ResidualBlock(inputs, inputs))
            # The norm that the gate begins with, behind the convolutions that feed it: there compilers fold it. Where it was
            # quantised by itself, OpenVINO 2026.4 died while it compiled the file.
            self.narrow.append(ConvBlock(inputs, channels, 1, active=False))
            self.sides.append(ConvBlock(seen, 1, 1, active=False))
            self.gates.append(Gate(channels))
            inputs = channels
        self.exit = nn.Conv2d(inputs, 1, 1)

    def forward(self, first: Tensor, later: tuple[Tensor, ...]) -> Tensor:
        """(N, FIRST, h, w) and three coarser maps -> logits (N, 1, h, w)."""
        shape = first
        for residual, narrow, side, gate, seen in zip(self.residual, self.narrow, self.sides, self.gates, later, strict=True):
            shape = gate(narrow(residual(shape)), enlarge(side(seen), shape))
        logits: Tensor = self.exit(shape)
        return logits


class EdgeFusion(nn.Module):
    """Edges and the gradient of the picture -> one map of where to look (the paper takes Canny's edges for the gradient).

    Args: stride: of the edges.
    """

    sobel: Tensor

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        self.register_buffer("sobel", torch.stack([across, across.T])[:, None], persistent=False)
        self.join = nn.Conv2d(2, 1, 1)

    def forward(self, images: Tensor, edge_logits: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, 1, h, w) -> 0..1 (N, 1, h, w)."""
        joined: Tensor = self.join(torch.cat([edge_logits.sigmoid(), self.find_gradient(images)], 1))
        return joined.sigmoid()

    def find_gradient(self, images: Tensor) -> Tensor:
        """Steepness of the picture's brightness (N, 1, h, w), by Sobel's fixed weights; none at the picture's rim."""
        gray = F.avg_pool2d(images.mean(1, keepdim=True), self.stride)
        slopes = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), self.sobel)  # (N, 2, h, w): along x, along y
        return (slopes.square().sum(1, keepdim=True) + GRADIENT_FLOOR).sqrt()


class ContextPyramid(nn.Module):
    """Dilated convolutions of several rates, the mean of the picture, and edges, side by side (DeepLab's ASPP, with edges)."""

    def __init__(self) -> None:
        super().__init__()
        near = ConvBlock(DEEPEST, CONTEXT_CHANNELS, 1)
        self.branches = nn.ModuleList([near, *(ConvBlock(DEEPEST, CONTEXT_CHANNELS, dilation=rate) for rate in RATES)])
        self.whole = nn.Conv2d(DEEPEST, CONTEXT_CHANNELS, 1)  # no norm, which would see one value a picture
        self.edge = ConvBlock(1, CONTEXT_CHANNELS, 1)
        self.exit = ConvBlock((len(self.branches) + 2) * CONTEXT_CHANNELS, CONTEXT_CHANNELS, 1)

    def forward(self, deepest: Tensor, edges: Tensor) -> Tensor:
        """(N, DEEPEST, h, w) and (N, 1, h * k, w * k) -> (N, CONTEXT_CHANNELS, h, w)."""
        whole = F.relu(self.whole(deepest.mean((2, 3), keepdim=True))).expand(-1, -1, *deepest.shape[-2:])
        # A mean, not samples: edges are thinner than the cells of this map.
        near_edges = self.edge(F.avg_pool2d(edges, edges.shape[-1] // deepest.shape[-1]))
        joined: Tensor = self.exit(torch.cat([*(branch(deepest) for branch in self.branches), whole, near_edges], 1))
        return joined


class GatedScnn(Network):
    """Picture `(N, 3, H, W)` -> logits `(N, C, H / 4, W / 4)`; H and W are multiples of 8.

    Args:
        category_count: C.
        width, height: input size, pixels.
        shape_stride: of the shape stream: 2, or the paper's 1, with four times the cells.
    """

    def __init__(self, category_count: int, width: int, height: int, shape_stride: Literal[1, 2] = 2) -> None:
        super().__init__()
        self.regular, self.shape = RegularStream(shape_stride), ShapeStream()
        self.fusion, self.context = EdgeFusion(shape_stride), ContextPyramid()
        self.skip = ConvBlock(STRIDE_4, SKIP_CHANNELS, 1)
        self.decoder = nn.Sequential(
            ConvBlock(CONTEXT_CHANNELS + SKIP_CHANNELS, CONTEXT_CHANNELS), ConvBlock(CONTEXT_CHANNELS, CONTEXT_CHANNELS)
        )
        self.head = nn.Conv2d(CONTEXT_CHANNELS, category_count, 1)
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="letterbox")
        self.decode_spec = semantic_head()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C, H / 4, W / 4)."""
        return (self.find_categories_and_edges(images)[0],)

    def find_categories_and_edges(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits (N, C, H / 4, W / 4), and logits (N, 1, h, w) of the edges between categories."""
        first, stride_4, stride_8, deepest = self.regular(images)
        edge_logits = self.shape(first, (stride_4, stride_8, deepest))
        context = self.context(deepest, self.fusion(images, edge_logits))
        merged = torch.cat([enlarge(context, stride_4), self.skip(stride_4)], 1)
        return self.head(self.decoder(merged)), edge_logits


def enlarge(coarse: Tensor, fine: Tensor) -> Tensor:
    """A coarse map as large as a fine one, bilinearly; by a factor, since a size would leave its computation in the graph."""
    factor = fine.shape[-1] // coarse.shape[-1]
    return F.interpolate(coarse, scale_factor=float(factor), mode="bilinear", align_corners=False)


def build(task: Task, category_count: int, width: int, height: int) -> Network:
    """Row of `NETWORKS`."""
    return GatedScnn(category_count, width, height)
