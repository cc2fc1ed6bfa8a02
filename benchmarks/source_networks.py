"""The networks of the speed benchmark, with seeded random weights: those of the source documents, and what people deploy now.

CaffeNet (Krizhevsky et al. 2012 as Caffe's reference model orders its layers) and tiny-YOLOv2 (Redmon and Farhadi 2017, the
accompanying `yolov2-tiny.cfg`) are written here; all others come from torchvision, timm and this product.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.models.table import build_network


class CaffeNet(nn.Module):
    """AlexNet with two groups, pooling before local response normalisation. Input `(N, 3, 227, 227)`, output `(N, 1000)`."""

    def __init__(self) -> None:
        super().__init__()
        norm = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(**norm),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(**norm),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


class TinyYoloV2(nn.Module):
    """Nine convolutions; the sixth pool has stride 1. Input `(N, 3, 416, 416)`, output `(N, 125, 13, 13)`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index, width in enumerate((16, 32, 64, 128, 256, 512)):
            layers += self.make_block(channels, width)
            layers.append(nn.MaxPool2d(2, 2) if index < 5 else nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1)))
            channels = width
        layers += [*self.make_block(512, 1024), *self.make_block(1024, 1024), nn.Conv2d(1024, 125, 1)]
        self.layers = nn.Sequential(*layers)

    @staticmethod
    def make_block(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.layers(images)
        return output


class SourceNetwork(NamedTuple):
    """How a network is built, and the side of its square input, pixels."""

    build: Callable[[], nn.Module]
    size: int


def _from_torchvision(name: str, **options: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        module: nn.Module = torchvision.models.get_model(name, weights=None, **options)
        return module

    return build


def _from_timm(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        module: nn.Module = timm.create_model(name, pretrained=False)
        return module

    return build


NETWORKS: dict[str, SourceNetwork] = {
    "caffenet": SourceNetwork(CaffeNet, 227),
    "alexnet": SourceNetwork(_from_torchvision("alexnet"), 224),
    "googlenet": SourceNetwork(_from_torchvision("googlenet", aux_logits=False, init_weights=True), 224),
    "inception_v3": SourceNetwork(_from_torchvision("inception_v3", aux_logits=False, init_weights=True), 299),
    "inception_v4": SourceNetwork(_from_timm("inception_v4"), 299),
    "resnet50": SourceNetwork(_from_torchvision("resnet50"), 224),
    "vgg16": SourceNetwork(_from_torchvision("vgg16"), 224),
    "vgg19": SourceNetwork(_from_torchvision("vgg19"), 224),
    "mobilenet_v3_large": SourceNetwork(_from_torchvision("mobilenet_v3_large"), 224),
    "efficientnet_b0": SourceNetwork(_from_torchvision("efficientnet_b0"), 224),
    "tiny_yolov2": SourceNetwork(TinyYoloV2, 416),
    "csp_detector": SourceNetwork(lambda: build_network("detection", "csp_detector", 80, 320, 320), 320),
}


def build_source_network(name: str, seed: int) -> nn.Module:
    """A network with seeded random weights, for inference."""
    torch.manual_seed(seed)
    return NETWORKS[name].build().eval().requires_grad_(False)
