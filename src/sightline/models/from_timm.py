"""Any classification network of timm (Apache-2.0), named "timm/<name>"."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import InputSpec, Task
from sightline.models.network import Network, Rgb
from sightline.models.small_classifier import classification_head
from sightline.models.table import TIMM_PREFIX


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
    """Build "timm/<name>" for a size of input. Raises: NotFound for an unknown name; InvalidInput for a size it cannot take."""
    name = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:6]) or "see timm.list_models()"
        raise NotFound(f"timm has no network {name!r}; near to it: {near}")
    body = _create_body(name, category_count, width, height)
    config = body.pretrained_cfg
    mean = tuple(255 * value for value in config.get("mean", (0.485, 0.456, 0.406)))
    std = tuple(255 * value for value in config.get("std", (0.229, 0.224, 0.225)))
    return TimmClassifier(body, task, width, height, mean, std)


def _create_body(name: str, category_count: int, width: int, height: int) -> Any:
    """The module with random weights, tried on one picture: each architecture has reasons of its own to refuse a size."""
    # Those of a fixed size take it when they are built; the others, nearly all convolutional, do not know the argument.
    sized: dict[str, Any] = {"img_size": (height, width)} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    try:
        body = timm.create_model(name, pretrained=False, num_classes=category_count, **sized)
        with torch.no_grad():
            body.eval()(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        usual = timm.get_pretrained_cfg_value(name, "input_size")  # (channels, height, width)
        hint = f"; its usual size is {usual[2]} x {usual[1]}" if usual else ""
        raise InvalidInput(
            f"timm/{name} does not take pictures of {width} x {height} ({error}){hint}; give another width and height"
        ) from error
    return body.train()
