"""Pictures as uint8 become the network's input on the device: a quarter of the bytes travel to it."""

import torch

from sightline.core.manifests import InputSpec


class PixelInput:
    """Normalises `(N, H, W, C)` uint8 pictures, RGB or gray, into the tensor that a spec describes.

    Args:
        spec: what the network wants.
        device: that it runs on.
    """

    def __init__(self, spec: InputSpec, device: torch.device) -> None:
        mean, std = torch.tensor(spec.mean, dtype=torch.float64), torch.tensor(spec.std, dtype=torch.float64)
        self._scales = (1.0 / std).to(device, torch.float32)
        self._shifts = (-mean / std).to(device, torch.float32)
        self._spec = spec

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """The tensor in the spec's layout, as `imaging.preprocessing.normalise_batch` makes it."""
        values = pixels.flip(-1) if self._spec.colour == "BGR" else pixels
        values = values.float() * self._scales + self._shifts
        return values if self._spec.layout == "NHWC" else values.permute(0, 3, 1, 2).contiguous()
