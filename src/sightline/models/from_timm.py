"""Any classification network of timm (Apache-2.0), named "timm/<name>"."""

import timm
from torch import Tensor, nn

from sightline.core.errors import NotFound
from sightline.core.manifests import InputSpec, Task
from sightline.models.network import Network, Rgb
from sightline.models.small_classifier import classification_head

PREFIX = "timm/"


class TimmClassifier(Network):
    """A timm classifier: `(N, 3, H, W)` -> logits `(N, C)`."""

    weights_prefix = "body."

    def __init__(self, body: nn.Module, task: Task, width: int, height: int, mean: Rgb, std: Rgb) -> None:
        super().__init__()
        self.body = body
        self.input_spec = InputSpec(width=width, height=height, mean=mean, std=std, resize="stretch")
        self.decode_spec = classification_head(task)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> logits (N, C)."""
        return (self.body(images),)


def build(name: str, task: Task, category_count: int, width: int, height: int) -> Network:
    """Build "timm/<name>" for an input of any size its architecture allows. Raises: NotFound for an unknown name."""
    name = name.removeprefix(PREFIX)
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:6]) or "see timm.list_models()"
        raise NotFound(f"timm has no network {name!r}; near to it: {near}")
    # Transformers fix their input size when they are built; convolutional networks do not take the argument.
    sized = (
        {"img_size": (height, width)}
        if timm.models.is_model_in_modules(name, ("vision_transformer", "swin_transformer"))
        else {}
    )
    body = timm.create_model(name, pretrained=False, num_classes=category_count, **sized)
    config = body.pretrained_cfg
    mean = tuple(255 * value for value in config.get("mean", (0.485, 0.456, 0.406)))
    std = tuple(255 * value for value in config.get("std", (0.229, 0.224, 0.225)))
    return TimmClassifier(body, task, width, height, mean, std)
