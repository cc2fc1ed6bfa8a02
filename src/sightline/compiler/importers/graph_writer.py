"""Write an ONNX graph node by node: what every importer with a reader of its own builds its graph with.

Names are kept as the source has them, so that a report and a failed comparison speak of layers their author knows.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.errors import Unsupported

OPSET = 17
IR_VERSION = 8
BATCH = "batch"
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)  # orders of axes for a Transpose


class GraphWriter:
    """Collects nodes and weights and closes them into a model.

    Example:
        writer = GraphWriter("lenet")
        x = writer.add_input("data", (1, 28, 28))
        x = writer.add("Conv", [x, writer.add_weight("conv1.weight", kernel)], name="conv1", kernel_shape=[5, 5])
        model = writer.finish({x: ("batch", 20, 24, 24)})
    """

    def __init__(self, graph_name: str) -> None:
        self._graph_name = graph_name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, np.ndarray] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()

    def add_input(self, name: str, shape: Sequence[int]) -> str:
        """The float32 picture input `(batch, *shape)`; returns its name."""
        self._taken.add(name)
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape]))
        return name

    def add_weight(self, name: str, values: np.ndarray) -> str:
        """A constant under this name or, where that is taken, the next free one; returns the name used."""
        name = self.make_name(name)
        self._weights[name] = np.asarray(values, order="C")  # ascontiguousarray would make a scalar one-dimensional
        return name

    def add(self, kind: str, inputs: Sequence[str], *, name: str, output: str | None = None, **attributes: Any) -> str:
        """A node with one output; returns the output's name: `output`, or the node's name, or the next free one."""
        return self.add_many(kind, inputs, [output or name], name=name, **attributes)[0]

    def add_many(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, name: str, **attributes: Any) -> list[str]:
        """A node with these outputs, or the next free names where they are taken; returns the names used."""
        used = [self.make_name(one) for one in outputs]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self._nodes.append(helper.make_node(kind, list(inputs), used, name=name, **kept))
        return used

    def make_name(self, name: str) -> str:
        """`name`, or `name` with the first free number behind it; it counts as taken from now on."""
        free = find_free_name(name, self._taken)
        self._taken.add(free)
        return free

    def finish(self, outputs: Mapping[str, Sequence[int | str]], doc: str = "") -> onnx.ModelProto:
        """Close the graph, drop what no output needs, and check it.

        Args:
            outputs: shape of each output by name, the batch axis as "batch".
            doc: where it came from.

        Raises: Unsupported when the checker or shape inference finds a contradiction.
        """
        nodes = keep_needed(self._nodes, outputs)
        read = {name for node in nodes for name in node.input} | set(outputs)
        graph = helper.make_graph(
            nodes,
            self._graph_name,
            self._inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in outputs.items()],
            [numpy_helper.from_array(values, name) for name, values in self._weights.items() if name in read],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name, model.doc_string = "sightline", doc
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise Unsupported(f"the network {self._graph_name} contradicts itself: {' '.join(str(error).split())}") from error
        return model


def find_free_name(wanted: str, taken: Container[str], separator: str = ":") -> str:
    """The name wanted, or the first of `wanted:2`, `wanted:3`, ... that is not taken."""
    free, number = wanted, 2
    while free in taken:
        free, number = f"{wanted}{separator}{number}", number + 1
    return free


def keep_needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to one of the outputs, in their order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    return kept[::-1]
