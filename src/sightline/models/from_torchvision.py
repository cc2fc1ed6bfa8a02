"""Networks of torchvision (BSD-3) behind our base class: ResNet for classification, LR-ASPP and DeepLabV3 for segmentation."""

from typing import Any

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, deeplabv3_resnet50, lraspp_mobilenet_v3_large

from sightline.core.manifests import InputSpec, Task
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sightline.models.small_classifier import classification_head
from sightline.models.small_segmenter import semantic_head

# Published weights: file names of torchvision 0.29's `*_Weights.DEFAULT`.
WEIGHT_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
    "lraspp_mobilenet_v3_large": "https://download.pytorch.org/models/lraspp_mobilenet_v3_large-d234d4ea.pth",
    "deeplabv3_mobilenet_v3_large": "https://download.pytorch.org/models/deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    "deeplabv3_resnet50": "https://download.pytorch.org/models/deeplabv3_resnet50_coco-cd0a2569.pth",
}

QUICK_MOMENTUM = 0.1  # PyTorch's own


class TorchvisionClassifier(Network):
    """A torchvision classifier: `(N, 3, H, W)` -> logits `(N, C)`."""

    weights_prefix = "body."

    def __init__(self, body: nn.Module, task: Task, width: int, height: int) -> None:
        super().__init__()
        self.body = body
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="stretch")
        self.decode_spec = classification_head(task)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C)."""
        return (self.body(images),)


class TorchvisionSegmenter(Network):
    """A torchvision segmenter: `(N, 3, H, W)` -> logits `(N, C, H, W)`, enlarged inside the graph as torchvision does."""

    weights_prefix = "body."

    def __init__(self, body: nn.Module, width: int, height: int) -> None:
        super().__init__()
        self.body = body
        self.input_spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="letterbox")
        self.decode_spec = semantic_head()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C, H, W)."""
        outputs: dict[str, Tensor] = self.body(images)
        return (outputs["out"],)


def build_resnet18(task: Task, category_count: int, width: int, height: int) -> Network:
    """ResNet-18 (He et al. 2016)."""
    return TorchvisionClassifier(resnet18(weights=None, num_classes=category_count), task, width, height)


def build_resnet50(task: Task, category_count: int, width: int, height: int) -> Network:
    """ResNet-50 (He et al. 2016)."""
    return TorchvisionClassifier(resnet50(weights=None, num_classes=category_count), task, width, height)


def _build_segmenter(function: Any, category_count: int, width: int, height: int) -> Network:
    body = function(weights=None, weights_backbone=None, num_classes=category_count)
    quicken_norms(body)
    return TorchvisionSegmenter(body, width, height)


def quicken_norms(module: nn.Module) -> None:
    """Let the statistics of batch norms follow within tens of steps.

    torchvision's MobileNetV3 keeps a momentum of 0.01, made for the 600 epochs it was published with. In a budget of a few
    hundred steps the statistics still hold early weights, and through fifty layers evaluation sees one class everywhere:
    LR-ASPP on CamVid fell to a training loss of 0.9 in 265 steps and scored an mIoU of 0.03.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = max(part.momentum or 0.0, QUICK_MOMENTUM)


def build_lraspp(task: Task, category_count: int, width: int, height: int) -> Network:
    """LR-ASPP on MobileNetV3-Large (Howard et al. 2019, §6.4)."""
    return _build_segmenter(lraspp_mobilenet_v3_large, category_count, width, height)


def build_deeplab_mobilenet(task: Task, category_count: int, width: int, height: int) -> Network:
    """DeepLabV3 (Chen et al. 2017) on MobileNetV3-Large."""
    return _build_segmenter(deeplabv3_mobilenet_v3_large, category_count, width, height)


def build_deeplab_resnet50(task: Task, category_count: int, width: int, height: int) -> Network:
    """DeepLabV3 (Chen et al. 2017) on ResNet-50."""
    return _build_segmenter(deeplabv3_resnet50, category_count, width, height)
