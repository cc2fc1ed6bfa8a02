"""The convolutions of an ONNX graph as a quantiser sees them: what each reads, its weights and its places."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from sightline.compiler.importers.onnx.reading import iterate_nodes


@dataclass(frozen=True)
class Convolution:
    """A convolution whose weights are constants that no other node uses.

    Attributes:
        name: of its node.
        source, output: tensors.
        weight, bias: names of its constants; bias is "" where it has none.
        weight_count: weights of all filters together.
        groups: of channels.
        kernel, strides, dilations: (height, width).
        pads: (top, left, bottom, right).
    """

    name: str
    source: str
    output: str
    weight: str
    bias: str
    weight_count: int
    groups: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]


def list_convolutions(model: onnx.ModelProto) -> list[Convolution]:
    """Two-dimensional convolutions in the graph's order, without those of unusual form (computed weights, automatic pads)."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    uses = Counter(name for node in iterate_nodes(model.graph) for name in node.input)
    found = []
    for node in model.graph.node:
        values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        weights = [name for name in node.input[1:] if name]
        if node.op_type != "Conv" or any(name not in shapes or uses[name] > 1 for name in weights):
            continue
        if len(shapes[node.input[1]]) != 4 or values.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            continue
        height, width = shapes[node.input[1]][2:]
        found.append(
            Convolution(
                name=node.name,
                source=node.input[0],
                output=node.output[0],
                weight=node.input[1],
                bias=node.input[2] if len(node.input) > 2 else "",
                weight_count=int(np.prod(shapes[node.input[1]])),
                groups=values.get("group", 1),
                kernel=(height, width),
                strides=tuple(values.get("strides", (1, 1))),
                dilations=tuple(values.get("dilations", (1, 1))),
                pads=tuple(values.get("pads", (0, 0, 0, 0))),
            )
        )
    return found


def read_constants(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Values of initializers by name."""
    wanted = set(names)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in wanted}


def replace_constants(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> None:
    """New float32 values of initializers, in place."""
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[tensor.name], np.float32), tensor.name))


def count_places(convolution: Convolution, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the output for an input of this size."""
    top, left, bottom, right = convolution.pads
    sizes = (height + top + bottom, width + left + right)
    rows, columns = (
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(
            sizes, convolution.dilations, convolution.kernel, convolution.strides, strict=True
        )
    )
    return rows, columns


def average_patch(images: np.ndarray, convolution: Convolution) -> np.ndarray:
    """Mean over all pictures and places of what each weight of a filter is multiplied with: `(C, kernel height, kernel width)`.

    Args:
        images: the convolution's input `(N, C, H, W)`.
    """
    top, left, bottom, right = convolution.pads
    rows, columns = count_places(convolution, *images.shape[2:])
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
    mean = np.empty((images.shape[1], *convolution.kernel))
    for row, column in np.ndindex(*convolution.kernel):
        first = row * convolution.dilations[0], column * convolution.dilations[1]
        down = slice(first[0], first[0] + rows * convolution.strides[0], convolution.strides[0])
        across = slice(first[1], first[1] + columns * convolution.strides[1], convolution.strides[1])
        mean[:, row, column] = padded[:, :, down, across].mean((0, 2, 3), dtype=np.float64)
    return mean
