"""The ONNX graph of a Darknet network while it is written: what each layer put out, and what OpenCV calls it."""

import math
from dataclasses import dataclass, field
from typing import Any

from sightline.compiler.importers.darknet.cfg import Section
from sightline.compiler.importers.darknet.weights import WeightReader
from sightline.compiler.importers.graph_writer import GraphWriter
from sightline.core.errors import InvalidInput, Unsupported

MAX_LAYER_VALUES = 1 << 27  # half a gigabyte for one picture


@dataclass(frozen=True)
class Tensor:
    """A layer's output: `(batch, channels, height, width)`, or `(batch, channels)` when `flat`."""

    name: str
    channels: int
    height: int = 1
    width: int = 1
    flat: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        return (self.channels,) if self.flat else (self.channels, self.height, self.width)


@dataclass
class DarknetNetwork:
    """What has been written so far.

    Attributes:
        outputs: of each layer; None for one that only says what its input means ([yolo], [region]).
        heads: those layers, and the tensor they read.
        engine_layers: OpenCV's name of the layer that computes a tensor, by the tensor's name.
    """

    writer: GraphWriter
    weights: WeightReader
    picture: Tensor
    outputs: list[Tensor | None] = field(default_factory=list)
    heads: list[tuple[Section, Tensor]] = field(default_factory=list)
    engine_layers: dict[str, tuple[str, Tensor]] = field(default_factory=dict)

    def previous(self, section: Section, flat: bool = False) -> Tensor:
        """The output of the layer before; a map unless `flat` allows both. Raises: Unsupported, InvalidInput."""
        return _check_output(section, self.outputs[-1] if self.outputs else self.picture, flat)

    def find(self, section: Section, number: int) -> Tensor:
        """The map of a layer by its number, counted back from this one when negative. Raises: InvalidInput, Unsupported."""
        place = number + len(self.outputs) if number < 0 else number
        if not 0 <= place < len(self.outputs):
            raise InvalidInput(f"{section} takes layer {number}, but only {len(self.outputs)} layers stand before it")
        return _check_output(section, self.outputs[place], flat=False)

    def add(self, kind: str, inputs: list[str], like: Tensor, engine_name: str, **attributes: Any) -> Tensor:
        """A node that is named as its output `like`, which OpenCV calls `engine_name`."""
        _check_size(like)
        name = self.writer.add(kind, inputs, name=like.name, **attributes)
        self.engine_layers[name] = (engine_name, like)
        return like


def _check_output(section: Section, output: Tensor | None, flat: bool) -> Tensor:
    if output is None:
        raise Unsupported(f"{section} goes on from a detection layer, which we cannot carry over")
    if output.flat and not flat:
        raise InvalidInput(f"expected a map before {section}, got {output.channels} values without place")
    return output


def _check_size(tensor: Tensor) -> None:
    if min(tensor.shape) < 1 or math.prod(tensor.shape) > MAX_LAYER_VALUES:
        raise InvalidInput(f"expected {tensor.name} to have 1..{MAX_LAYER_VALUES} values a picture, got shape {tensor.shape}")
