"""Networks whose weights lie in the world without their code: what `--architecture FILE.py:FUNCTION` names.

Written from the papers and from the shapes of the published weights; layer names are those of the weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut without weights: He et al. 2015, section 3.3, option A."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        self.new_channels = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:  # zeros before and behind the channels that exist
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.new_channels // 2, self.new_channels // 2))
        return F.relu(out + shortcut)


class CifarResNet(nn.Module):
    """He et al. 2015, section 4.2: 6n + 2 layers on 32 x 32 pictures, three stages of 16, 32 and 64 channels."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._make_stage(16, 16, blocks, 1)
        self.layer2 = self._make_stage(16, 32, blocks, 2)
        self.layer3 = self._make_stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> logits (N, 10)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(out.mean(dim=(2, 3)))

    def _make_stage(self, channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(channels_in, channels_out, stride)
        return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


def resnet20() -> nn.Module:
    """ResNet-20 for CIFAR-10."""
    return CifarResNet(3)


class SampLeNet(nn.Module):
    """Two 5 x 5 convolutions with pools and three dense layers: LeNet-5 (LeCun et al. 1998) with ReLU, on 32 x 32 colour."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> logits (N, 10)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def samplenet() -> nn.Module:
    """SampLeNet for CIFAR-10."""
    return SampLeNet()


def separable(channels_in: int, channels_out: int, stride: int = 1, normalised: bool = True) -> nn.Sequential:
    """A depthwise 3 x 3 and a pointwise convolution: Howard et al. 2017, figure 3."""
    depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=not normalised)
    pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=not normalised)
    if not normalised:
        return nn.Sequential(depthwise, nn.ReLU(), pointwise)
    norms = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels_out)
    return nn.Sequential(depthwise, norms[0], nn.ReLU(), pointwise, norms[1], nn.ReLU())


class SlimFaceDetector(nn.Module):
    """The slim 1 MB face detector: a row of separable convolutions with SSD heads (Liu et al. 2016) at four depths."""

    CHANNELS = (16, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256)  # of base_net.0 to .12
    STRIDES = (2, 1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 2, 1)
    TAPS = (7, 10, 12)  # layers of base_net whose output is looked at
    ANCHORS = (3, 2, 2, 3)  # at each place

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        pairs = zip(self.CHANNELS, self.CHANNELS[1:], self.STRIDES[1:], strict=False)
        self.base_net = nn.Sequential(first, *(separable(one, two, stride) for one, two, stride in pairs))
        down = nn.Sequential(nn.Conv2d(64, 64, 3, 2, 1, groups=64), nn.ReLU(), nn.Conv2d(64, 256, 1), nn.ReLU())
        self.extras = nn.ModuleList([nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), down)])
        self.classification_headers = self._make_headers(2)
        self.regression_headers = self._make_headers(4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, 240, 320) -> scores (N, 4420, 2), background first, and offsets of the anchors' boxes (N, 4420, 4)."""
        maps = []
        for place, layer in enumerate(self.base_net):
            x = layer(x)
            if place in self.TAPS:
                maps.append(x)
        maps.append(F.relu(self.extras[0](x)))
        scores = self._collect(self.classification_headers, maps, 2)
        return {"scores": scores.softmax(dim=2), "boxes": self._collect(self.regression_headers, maps, 4)}

    def _make_headers(self, values: int) -> nn.ModuleList:
        channels = (64, 128, 256)
        heads = [separable(one, count * values, 1, False) for one, count in zip(channels, self.ANCHORS, strict=False)]
        return nn.ModuleList([*heads, nn.Conv2d(256, self.ANCHORS[-1] * values, 3, 1, 1)])

    @staticmethod
    def _collect(headers: nn.ModuleList, maps: list[Tensor], values: int) -> Tensor:
        """(N, A * values, h, w) of each map -> (N, all places and anchors, values)."""
        flat = [head(one).permute(0, 2, 3, 1).flatten(1) for head, one in zip(headers, maps, strict=True)]
        return torch.cat([one.unflatten(1, (-1, values)) for one in flat], dim=1)


def ultraface_slim() -> nn.Module:
    """The slim face detector, without decoding its boxes."""
    return SlimFaceDetector()
