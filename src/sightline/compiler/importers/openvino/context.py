"""What each converter function of `openvino.graph` works with: the tensors made so far, constants, shapes and names.

A tensor keeps the friendly name of the OpenVINO node that makes it; a node that is made of several ONNX nodes gives them names
with a suffix. Of tensors two facts are kept: which other one it is a transpose of, so that chains of Transpose cancel, and its
quantisation step, by which the bias of the next layer can be quantised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sightline.compiler.importers.graph_writer import GraphWriter
from sightline.compiler.importers.openvino.constants import Constants, Key, Node, get_dimensions, widen
from sightline.core.errors import Unsupported


@dataclass(frozen=True)
class Fold:
    """Layers behind a convolution or matrix product that its weights and bias take in: y = x * scale + bias, per channel.

    Attributes:
        last: the last layer taken in; the convolution speaks under its name.
        taken: names of all layers taken in.
        scale, bias: `(C,)` float64 of the output channels; None where there is none.
    """

    last: Node
    taken: tuple[str, ...]
    scale: np.ndarray | None
    bias: np.ndarray | None


@dataclass
class Context:
    """A conversion under way.

    Attributes:
        writer: the graph being written.
        constants: the model's constants.
        folds: by name of the convolution or matrix product, what it takes in.
        pads: by name of a convolution, the Pad in front of it that it takes in.
        labels: tensor names that outputs must have, by key of the tensor.
        pictures: tensors that are the network's input itself: float32 here, whatever type the file has.
        steps: quantisation step by tensor, of tensors that come from a DequantizeLinear with one step.
    """

    writer: GraphWriter
    constants: Constants
    folds: dict[str, Fold] = field(default_factory=dict)
    pads: dict[str, Node] = field(default_factory=dict)
    labels: dict[Key, str] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)
    values: dict[Key, str] = field(default_factory=dict)
    transposed: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    steps: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def get(self, node: Node, index: int) -> str:
        """The tensor of an input; a constant becomes a weight of the graph. Raises: Unsupported for computed batch sizes."""
        source = node.input_value(index)
        key = (source.get_node().get_name(), source.get_index())
        if key not in self.values:
            values = self.constants.read(source)
            if values is None:
                raise Unsupported(f"{node.get_friendly_name()} reads a number that depends on the batch size")
            self.values[key] = self.writer.add_weight(source.get_node().get_friendly_name(), widen(values))
        return self.values[key]

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """The value of an input, float32, int64 or bool; None when it is no constant or there is no such input."""
        if index >= node.get_input_size():
            return None
        values = self.constants.read(node.input_value(index))
        return None if values is None else widen(values)

    def need(self, node: Node, index: int, what: str) -> np.ndarray:
        """The value of an input that must be constant. Raises: Unsupported."""
        values = self.constant(node, index)
        if values is None:
            raise Unsupported(f"{node.get_type_name()} {node.get_friendly_name()} computes its {what}; expected a constant")
        return values

    def integers(self, node: Node, index: int, what: str) -> list[int]:
        """A constant input as a list of whole numbers."""
        return [int(value) for value in self.need(node, index, what).ravel()]

    def add(self, node: Node, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The ONNX node that makes the first output of an OpenVINO node."""
        return self.writer.add(
            kind, inputs, name=node.get_friendly_name(), output=self.label(self.get_last(node)), **attributes
        )

    def step(self, node: Node, suffix: str, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """An ONNX node on the way to it, named with a suffix."""
        return self.writer.add(kind, inputs, name=f"{node.get_friendly_name()}/{suffix}", **attributes)

    def weight(self, node: Node, suffix: str, values: np.ndarray) -> str:
        """A weight that belongs to a node."""
        return self.writer.add_weight(f"{node.get_friendly_name()}/{suffix}", values)

    def scalar(self, node: Node, suffix: str, value: float) -> str:
        """A float32 weight of no axis that belongs to a node."""
        return self.weight(node, suffix, np.array(value, np.float32))

    def keep_step(self, source: str, target: str) -> str:
        """Say that a tensor holds numbers of another one only, so that it is quantised as that one is; returns it."""
        if source in self.steps:
            self.steps[target] = self.steps[source]
        return target

    def find_sources(self, node: Node, count: int) -> tuple[list[str], tuple[int, ...]] | None:
        """The tensors its inputs were transposed from, when all of them were in the same way, and that order of axes.

        A constant beside them is transposed back. What a node computes of the sources and transposes then is the same, and most
        such Transposes vanish against a later one.
        """
        names = [self.get(node, index) for index in range(count)]
        orders = {self.transposed[name][1] for name in names if name in self.transposed}
        if len(orders) != 1:
            return None
        (order,) = orders
        sources = []
        for index, name in enumerate(names):
            values = self.constant(node, index)
            if name in self.transposed:
                sources.append(self.transposed[name][0])
            elif values is None or values.ndim > len(order):
                return None
            else:
                wide = values.reshape([1] * (len(order) - values.ndim) + list(values.shape))
                sources.append(self.weight(node, f"constant_{index}", wide.transpose(np.argsort(order))))
        return sources, order

    def add_transposed(self, node: Node, order: tuple[int, ...], kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """An ONNX node on sources, and the Transpose that makes the OpenVINO node's own output of it; unread, it vanishes."""
        source = self.step(node, "untransposed", kind, inputs, **attributes)
        name = self.add(node, "Transpose", [source], perm=list(order))
        self.transposed[name] = source, order
        return name

    def get_last(self, node: Node) -> Node:
        """The node under whose name it speaks: itself, or the last layer it takes in."""
        fold = self.folds.get(node.get_name())
        return node if fold is None else fold.last

    def label(self, node: Node, index: int = 0) -> str:
        """The name its output should have: that of the network's output where it is one."""
        name = str(node.get_friendly_name()) + (f".{index}" if index else "")
        wanted = self.labels.get((node.get_name(), index))
        if wanted is not None:
            return wanted
        return f"{name}/inner" if name in self.labels.values() else name


def get_shape(node: Node, index: int = 0) -> tuple[int, ...]:
    """The shape of an input, -1 for the batch."""
    return get_dimensions(node.input_value(index))


def get_output_shape(node: Node, index: int = 0) -> tuple[int, ...]:
    """The shape of an output, -1 for the batch."""
    return get_dimensions(node.output(index))


def normalise_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front, in rising order."""
    return sorted(axis + rank if axis < 0 else axis for axis in axes)
