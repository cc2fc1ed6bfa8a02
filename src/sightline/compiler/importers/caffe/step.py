"""One Caffe layer while it is written: what it reads, with shapes, its weights, and the ONNX graph it adds nodes to.

Shapes are those of one picture: the batch axis is never counted, so nothing can bake a batch size in. Caffe counts axes with
the batch as axis 0; `axis` translates and refuses a layer that would mix pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.compiler.importers.caffe.network import Layer
from sightline.compiler.importers.graph_writer import GraphWriter
from sightline.core.errors import InvalidInput, Unsupported

MOST_VALUES = 2**28  # of one tensor and picture: 1 GB


@dataclass(frozen=True)
class Tensor:
    """A tensor of the ONNX graph: its name and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]


class Step:
    """One layer being written; `outputs` fills as its last nodes are added.

    Attributes:
        batch: the batch axis as the prototxt states it; only Reshape needs it, to recognise the axis.
    """

    def __init__(self, writer: GraphWriter, layer: Layer, inputs: Sequence[Tensor], names: Sequence[str], batch: int) -> None:
        self.layer = layer
        self.inputs = tuple(inputs)
        self.batch = batch
        self.outputs: list[Tensor] = []
        self._writer = writer
        self._names = tuple(names)

    @property
    def output_count(self) -> int:
        """How many tensors the layer writes."""
        return len(self._names)

    def picture(self) -> tuple[int, int, int]:
        """Channels, height, width of the first input. Raises: Unsupported when it has other axes."""
        shape = self.inputs[0].shape
        if len(shape) != 3:
            raise self.refuse(
                f"its input has the axes (batch, {', '.join(map(str, shape))}), not (batch, channels, height, width)"
            )
        return shape[0], shape[1], shape[2]

    def axis(self, axis: int) -> int:
        """An axis as Caffe counts it, negative ones from the last, as one from 1 on.

        Raises: Unsupported for the axis of the batch, InvalidInput for one that is not there.
        """
        rank = len(self.inputs[0].shape) + 1
        found = axis + rank if axis < 0 else axis
        if not 0 <= found < rank:
            raise self.wrong(f"it names axis {axis} of {rank}")
        if found == 0:
            raise self.refuse("it works across the pictures of a batch")
        return found

    def blob(self, index: int, shape: Sequence[int]) -> np.ndarray:
        """A blob as float32 in the shape the layer's description asks for.

        Raises: InvalidInput when it has another number of values, or one beyond float32.
        """
        if index >= len(self.layer.blobs) or self.layer.blobs[index].size != math.prod(shape):
            got = self.layer.blobs[index].shape if index < len(self.layer.blobs) else "none"
            raise self.wrong(f"weights {index} are expected {tuple(shape)}, got {got}")
        with np.errstate(over="ignore"):
            values = self.layer.blobs[index].reshape(shape).astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise self.wrong(f"weights {index}, folded with those of the layers behind, leave the range of a float32")
        return values

    def weight(self, part: str, values: np.ndarray) -> str:
        """A constant named after the layer."""
        return self._writer.add_weight(f"{self.layer.name}.{part}", values)

    def scalar(self, part: str, value: float) -> str:
        """A float32 constant without axes."""
        return self.weight(part, np.array(value, np.float32))

    def add(self, kind: str, inputs: Sequence[str], *, part: str, **attributes: Any) -> str:
        """A node inside the layer."""
        name = f"{self.layer.name}/{part}"
        return self._writer.add(kind, inputs, name=name, output=name, **attributes)

    def end(self, kind: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any) -> None:
        """The node that gives the layer's output. Raises: InvalidInput for an empty or enormous shape."""
        self.check_shape(shape)
        name = self._writer.add(kind, inputs, name=self.layer.name, output=self._names[0], **attributes)
        self.outputs.append(Tensor(name, tuple(shape)))

    def end_many(self, kind: str, inputs: Sequence[str], shapes: Sequence[Sequence[int]], **attributes: Any) -> None:
        """The node that gives all outputs of a layer with several."""
        for shape in shapes:
            self.check_shape(shape)
        names = self._writer.add_many(kind, inputs, self._names, name=self.layer.name, **attributes)
        self.outputs.extend(Tensor(name, tuple(shape)) for name, shape in zip(names, shapes, strict=True))

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raises: InvalidInput for an empty or enormous shape."""
        if any(size < 1 for size in shape) or math.prod(shape) > MOST_VALUES:
            raise self.wrong(f"its output would have the shape {tuple(shape)}; the input is {self.inputs[0].shape}")

    def refuse(self, what: str) -> Unsupported:
        """An error for what Caffe can and we cannot."""
        return Unsupported(f"layer {self.layer.name} ({self.layer.type}) cannot be imported: {what}")

    def wrong(self, what: str) -> InvalidInput:
        """An error for what no Caffe accepts."""
        return InvalidInput(
            f"layer {self.layer.name} ({self.layer.type}) does not fit: {what}; check the prototxt, the weights, the input size"
        )
