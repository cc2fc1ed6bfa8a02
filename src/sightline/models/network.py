"""The base class of all networks: a module that knows how a picture becomes its input and how its outputs are decoded.

`forward` returns raw head tensors and ends before decoding and NMS, so that the exported graph is static; `decode_spec` names
the decoder of `sightline.imaging.heads.decoding` and the outputs in the order of `forward`'s tuple.
"""

import torch
from torch import Tensor, nn

from sightline.core.manifests import DecodeSpec, InputSpec

Rgb = tuple[float, ...]
# Means and deviations of ImageNet's pixels, 0..255: good enough for any photograph, and what published weights expect.
IMAGENET_MEAN: Rgb = (123.675, 116.28, 103.53)
IMAGENET_STD: Rgb = (58.395, 57.12, 57.375)


class Network(nn.Module):
    """A network with its pre- and post-processing.

    Attributes:
        input_spec: how a picture becomes the input tensor.
        decode_spec: how the outputs become annotations.
        repeats_on_gpu: a training step on a GPU gives the same bits each time.
        weights_prefix: what published state dicts lack before their names ("body." when a library's module is wrapped).
    """

    input_spec: InputSpec
    decode_spec: DecodeSpec
    repeats_on_gpu: bool = True
    weights_prefix: str = ""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Raw head tensors. Args: images: `(N, 3, H, W)` float32, already normalised by `input_spec`."""
        raise TypeError(f"{type(self).__name__} must define forward")

    def count_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())


def normalise_images(images: Tensor, spec: InputSpec) -> Tensor:
    """Pictures -> network input, as `imaging.preprocessing` does it.

    Args: images: `(N, H, W, 3)` uint8 RGB. Returns: `(N, 3, H, W)` float32, stored channels last.
    """
    mean, std = torch.tensor(spec.mean, device=images.device), torch.tensor(spec.std, device=images.device)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)  # (N, H, W, 3) -> (N, 3, H, W), memory stays channels last
