"""What the functions that write layers work with: tensors with known shapes, where Keras's axes lie, and one call of a layer.

Keras counts the axes of a picture as (N, H, W, C) or, in channels-first models, (N, C, H, W); the graph is NCHW from its
input on, so axes are renumbered rather than tensors transposed. A flattened picture stays in the graph's order too, and
whoever reads it permutes its own weights (`Tensor.flat_of`) - only layers that cannot do so ask for Keras's order
(`GraphBuild.settle`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from sightline.compiler.importers.graph_writer import GraphWriter
from sightline.compiler.importers.keras.settings import LayerSettings, Pair
from sightline.compiler.importers.sizes import find_same_pads
from sightline.core.errors import InvalidInput, Unsupported

Pads = tuple[Pair, Pair]  # (top, bottom), (left, right)
NO_PADS: Pads = ((0, 0), (0, 0))
STORED_OF_KERAS = (0, 2, 3, 1)  # where axes N, H, W, C of Keras lie in the graph's (N, C, H, W)
PICTURE_RANK = 3  # without the batch


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        shape: as the graph holds it, without the batch: (C, H, W) for a picture.
        flat_of: (C, H, W) of the picture this vector was flattened from in the graph's order, where Keras's order differs.
    """

    name: str
    shape: tuple[int, ...]
    flat_of: tuple[int, int, int] | None = None

    def order(self) -> np.ndarray | None:
        """For each element of a flattened picture, its index in Keras's order (H, W, C); None where the orders agree."""
        if self.flat_of is None:
            return None
        channels, height, width = self.flat_of
        return np.arange(prod(self.flat_of)).reshape(height, width, channels).transpose(2, 0, 1).ravel()


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer, ready to be written.

    Attributes:
        path: name of the layer, and of its node.
        kind: class name in the spelling of Keras 3.
        inputs: what it reads; numbers only in element-wise functions.
        weights: its arrays in Keras's order.
        output: name its last node gives the tensor.
        pads: zeros around the picture that a ZeroPadding2D in front adds.
        norm: factor and offset per output channel of a BatchNormalization behind it.
    """

    path: str
    kind: str
    settings: LayerSettings
    inputs: tuple[Tensor | float, ...]
    weights: Sequence[np.ndarray]
    output: str
    pads: Pads = NO_PADS
    norm: tuple[np.ndarray, np.ndarray] | None = None

    def part(self, name: str) -> str:
        """Name of one node of several: "conv1/relu"."""
        return f"{self.path}/{name}"

    def tensor(self) -> Tensor:
        """The one tensor it reads. Raises: InvalidInput for none or several."""
        if len(self.inputs) != 1 or not isinstance(self.inputs[0], Tensor):
            raise InvalidInput(f"layer {self.path} ({self.kind}): expected one input tensor, got {len(self.inputs)} inputs")
        return self.inputs[0]

    def picture(self) -> tuple[Tensor, int, int, int]:
        """The one tensor it reads, and its C, H, W."""
        tensor = self.tensor()
        if len(tensor.shape) != PICTURE_RANK:
            raise InvalidInput(f"layer {self.path} ({self.kind}): expected a picture (H, W, C), got shape {tensor.shape}")
        channels, height, width = tensor.shape
        return tensor, channels, height, width

    def weight(self, index: int, shape: Sequence[int]) -> np.ndarray:
        """An array of the layer. Raises: InvalidInput when it is absent or not of the shape the configuration asks for."""
        if index >= len(self.weights) or self.weights[index].shape != tuple(shape):
            got = f"one of {self.weights[index].shape}" if index < len(self.weights) else "none"
            raise InvalidInput(f"layer {self.path} ({self.kind}): expected weights of shape {tuple(shape)}, got {got}")
        return self.weights[index]


@dataclass
class GraphBuild:
    """What all layers share: the writer, the axes' meaning, the file's version, and what a user should know.

    Attributes:
        channels_last: whether Keras counts a picture's axes as (N, H, W, C).
    """

    writer: GraphWriter
    channels_last: bool
    version: tuple[int, int]
    notes: list[str] = field(default_factory=list)
    settled: dict[str, Tensor] = field(default_factory=dict)  # flattened pictures put into Keras's order, by their name

    def find_axis(self, call: LayerCall, tensor: Tensor, axis: int) -> int:
        """The graph's axis for one of Keras's. Raises: InvalidInput where the tensor has no such axis."""
        rank = len(tensor.shape) + 1
        if not -rank <= axis < rank or axis % rank == 0:
            raise InvalidInput(f"layer {call.path} ({call.kind}): expected an axis of a tensor of rank {rank}, got {axis}")
        axis %= rank
        return STORED_OF_KERAS[axis] if self.channels_last and len(tensor.shape) == PICTURE_RANK else axis

    def list_axes(self, rank: int) -> tuple[int, ...]:
        """Where each of Keras's axes lies in the graph, for tensors of a rank that counts the batch."""
        return STORED_OF_KERAS if self.channels_last and rank == PICTURE_RANK + 1 else tuple(range(rank))

    def keras_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape as Keras counts it, without the batch, of one the graph holds."""
        axes = self.list_axes(len(shape) + 1)
        return tuple(shape[axis - 1] for axis in axes[1:])

    def stored_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The graph's shape, without the batch, of one Keras counts."""
        axes = self.list_axes(len(shape) + 1)
        return tuple(shape[axes.index(axis) - 1] for axis in range(1, len(shape) + 1))

    def differs(self, shape: Sequence[int]) -> bool:
        """Whether elements of a tensor of this graph shape lie in another order than Keras has them."""
        if not self.channels_last or len(shape) != PICTURE_RANK:
            return False
        return shape[0] > 1 and shape[1] * shape[2] > 1

    def along(self, call: LayerCall, values: np.ndarray, tensor: Tensor, axis: int) -> np.ndarray:
        """A vector laid along one axis of the graph, to be added to or multiplied with a tensor. Raises: InvalidInput."""
        if values.shape != (tensor.shape[axis - 1],):
            raise InvalidInput(
                f"layer {call.path}: expected {tensor.shape[axis - 1]} values on axis {axis}, got {values.shape}"
            )
        order = tensor.order()
        shape = [1] * len(tensor.shape)
        shape[axis - 1] = values.size
        return (values if order is None else values[order]).reshape(shape)

    def add_shape(self, call: LayerCall, shape: Sequence[int]) -> str:
        """A constant for Reshape that keeps the batch."""
        return self.writer.add_weight(call.part("shape"), np.array([0, *shape], np.int64))

    def add_constant(self, call: LayerCall, name: str, values: np.ndarray | float) -> str:
        """A float32 constant of a layer."""
        return self.writer.add_weight(call.part(name), np.asarray(values, np.float32))

    def settle(self, call: LayerCall, tensor: Tensor) -> Tensor:
        """The tensor with a flattened picture's elements in Keras's order."""
        if tensor.flat_of is None:
            return tensor
        if tensor.name not in self.settled:
            picture = self.writer.add(
                "Reshape", [tensor.name, self.add_shape(call, tensor.flat_of)], name=f"{tensor.name}/picture"
            )
            last = self.writer.add("Transpose", [picture], name=f"{tensor.name}/channels_last", perm=[0, 2, 3, 1])
            flat = self.writer.add("Flatten", [last], name=f"{tensor.name}/keras_order", axis=1)
            self.settled[tensor.name] = Tensor(flat, tensor.shape)
        return self.settled[tensor.name]

    def to_keras_order(self, call: LayerCall, tensor: Tensor) -> str:
        """Name of a tensor whose elements, read along, come in Keras's order."""
        tensor = self.settle(call, tensor)
        if not self.differs(tensor.shape):
            return tensor.name
        return self.writer.add("Transpose", [tensor.name], name=call.part("channels_last"), perm=[0, 2, 3, 1])


def find_window_pads(call: LayerCall, size: Pair, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> tuple[Pads, Pair]:
    """Padding and output size (H, W) of a layer that slides a window. Raises: Unsupported, InvalidInput."""
    padding = call.settings.text("padding", "valid").lower()
    if padding == "same":
        rows, columns = (find_same_pads(*side) for side in zip(size, kernel, stride, dilation, strict=True))
    elif padding == "valid":
        rows, columns = call.pads
    else:
        raise Unsupported(f"layer {call.path}: padding {padding!r} is not supported, only 'same' or 'valid'")
    out = []
    for length, pads, width, step, gap in zip(size, (rows, columns), kernel, stride, dilation, strict=True):
        out.append((length + sum(pads) - (width - 1) * gap - 1) // step + 1)
    if min(out) < 1:
        raise InvalidInput(f"layer {call.path}: its window of {kernel} does not fit into {size}; import with a larger picture")
    return (rows, columns), (out[0], out[1])


def to_onnx_pads(pads: Pads) -> list[int]:
    """[top, left, bottom, right]."""
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]
