"""Blocks our own networks share: convolution with BatchNorm, residual and cross-stage partial blocks, a pooling pyramid.

All fuse into single INT8 primitives in the compilers: a convolution without bias, BatchNorm behind it, ReLU, plain additions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Shorter memory than PyTorch's 0.1: batches are small on a CPU and the moving average smooths anyway.
NORM_MOMENTUM = 0.05


class ConvBlock(nn.Module):
    """Convolution, BatchNorm, ReLU: `(N, inputs, H, W)` -> `(N, outputs, H / stride, W / stride)`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        active: bool = True,
        padding: int | None = None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        around = dilation * (kernel // 2) if padding is None else padding
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, around, dilation, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=NORM_MOMENTUM)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        x = self.norm(self.convolution(x))
        return F.relu(x, inplace=True) if self.active else x


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, §3.2); a strided shortcut averages first (He et al. 2019, §4.2)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvBlock(inputs, outputs, 3, stride, dilation=dilation)
        self.second = ConvBlock(outputs, outputs, 3, active=False, dilation=dilation)
        nn.init.zeros_(
            self.second.norm.weight
        )  # starts as the identity: deep stacks learn from the first step (Goyal 2017, §5.1)
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if inputs != outputs:
            shortcut.append(ConvBlock(inputs, outputs, 1, active=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class CspBlock(nn.Module):
    """Cross-stage partial block (Wang et al. 2020): half of the channels bypass the residual stack."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.bypass, self.entry = ConvBlock(inputs, half, 1), ConvBlock(inputs, half, 1)
        self.stack = nn.ModuleList(nn.Sequential(ConvBlock(half, half), ConvBlock(half, half)) for _ in range(depth))
        self.exit = ConvBlock(2 * half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        y = self.entry(x)
        for layer in self.stack:
            y = y + layer(y)
        return self.exit(torch.cat([self.bypass(x), y], 1))


class PyramidPool(nn.Module):
    """Three 5x5 max pools in a row, all kept: a wide receptive field for the price of pooling (after He et al. 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.entry, self.exit = ConvBlock(channels, channels // 2, 1), ConvBlock(channels * 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        levels = [self.entry(x)]
        for _ in range(3):
            levels.append(F.max_pool2d(levels[-1], 5, 1, 2))
        return self.exit(torch.cat(levels, 1))


class ResidualTrunk(nn.Module):
    """A small residual backbone: features at strides 4, 8, 16 and 32.

    Args:
        width: channels at stride 4; they double with each stride.
        depths: residual blocks at each of the four strides.
    """

    def __init__(self, width: int, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.channels = tuple(width * 2**level for level in range(4))
        self.stem = nn.Sequential(ConvBlock(3, width, 3, 2), ConvBlock(width, width, 3, 2))
        stages = []
        inputs = width
        for level, (outputs, depth) in enumerate(zip(self.channels, depths, strict=True)):
            first = ResidualBlock(inputs, outputs, 1 if level == 0 else 2)
            stages.append(nn.Sequential(first, *(ResidualBlock(outputs, outputs) for _ in range(depth - 1))))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> four maps (N, width * 2^i, H / 2^(i+2), W / 2^(i+2))."""
        features = [self.stages[0](self.stem(images))]
        for stage in list(self.stages)[1:]:
            features.append(stage(features[-1]))
        return features
