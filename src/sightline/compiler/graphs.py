"""ONNX files: load, save as every engine reads them, count work, and find which source nodes an engine fused into a layer."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import shape_inference

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.imaging.preprocessing import batch_shape
from sightline.runtime.devices import HEAVY_OPERATORS

LATEST_IR = 10  # ONNX Runtime 1.31 reads up to 13, other engines less
LATEST_OPSET = 18
STANDARD_DOMAINS = ("", "ai.onnx")
ENGINE_SUFFIX = re.compile(r"(_nchwc|_quant|_token_\d+)+$")  # what ONNX Runtime appends to a name of the source graph


def load_graph(path: Path) -> onnx.ModelProto:
    """Load an ONNX file with its weights. Raises: InvalidInput."""
    try:
        return onnx.load(path)
    except (DecodeError, OSError) as error:
        raise InvalidInput(f"expected an ONNX file, got {path}: {error}; export the Model again") from error


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Save as one file that every engine reads: IR <= 10, weights inside. Raises: InvalidInput for a too new opset."""
    check_opset(model, path.name)
    model.ir_version = min(model.ir_version, LATEST_IR)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def check_opset(model: onnx.ModelProto, name: str) -> None:
    """Raises: InvalidInput unless the graph's opset is one that all engines read."""
    opset = find_opset(model)
    if opset > LATEST_OPSET:
        raise InvalidInput(f"expected opset <= {LATEST_OPSET}, got {opset} in {name}; export with opset {LATEST_OPSET}")


def find_opset(model: onnx.ModelProto) -> int:
    """Opset of the standard operators; a file that states none is of the first."""
    return max((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=1)


def expose_tensors(model: onnx.ModelProto, names: Iterable[str], keep_outputs: bool) -> onnx.ModelProto:
    """A copy of the graph whose outputs are these tensors, of the types that the engine infers.

    Args:
        names: of tensors that nodes compute; the graph's inputs among them are left out.
        keep_outputs: whether the graph's own outputs stay, in front.
    """
    copy = deepcopy(model)
    if not keep_outputs:
        del copy.graph.output[:]
    known = {value.name for value in (*copy.graph.input, *copy.graph.output)}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in known)
    return copy


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Number of nodes by operator, most frequent first."""
    counts = Counter(node.op_type for node in model.graph.node)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def count_flops(model: onnx.ModelProto, spec: InputSpec) -> int:
    """Floating-point operations of one picture in convolutions and matrix products: two for each multiply-add."""
    fixed = deepcopy(model)
    stated = next(value for value in fixed.graph.input if value.name == spec.name)
    for size, dimension in zip(batch_shape(spec, 1), stated.type.tensor_type.shape.dim, strict=True):
        dimension.dim_value = size
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    inferred = shape_inference.infer_shapes(fixed, data_prop=True)
    shapes = {value.name: _read_shape(value.type) for value in [*inferred.graph.value_info, *inferred.graph.output]}
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.graph.initializer}
    shapes |= weights
    return sum(_count_node_flops(node, shapes) for node in inferred.graph.node)


def _read_shape(value_type: Any) -> list[int]:
    return [dimension.dim_value for dimension in value_type.tensor_type.shape.dim]


def _count_node_flops(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in HEAVY_OPERATORS:
        return 0
    source, weight, out = shapes.get(node.input[0]), shapes.get(node.input[1]), shapes.get(node.output[0])
    if not weight or not out or 0 in out:
        return 0
    if node.op_type == "Conv":  # weight (out, in / groups, *kernel)
        return 2 * math.prod(out) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":  # weight (in, out / groups, *kernel): every input pixel meets one row of it
        return 2 * math.prod(source or []) * math.prod(weight[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 2 * math.prod(out) * (weight[-1] if transposed else weight[-2])


def count_weights(model: onnx.ModelProto) -> int:
    """Number of weights in convolutions and matrix products."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    return sum(sizes.get(node.input[1], 0) for node in model.graph.node if node.op_type in HEAVY_OPERATORS)


class SourceMap:
    """Tells which nodes of the source graph an engine's layer stands for, by the names the engine kept.

    An engine names a fused layer after the node it begins with (OpenVINO; what follows was fused in) or after the tensor it
    ends with (ONNX Runtime; what precedes was). Nodes that no layer names belong to the layer before or behind accordingly.

    Args:
        model: source graph.
        layers: name of each layer in order of execution, with the source nodes the engine itself lists for it.
    """

    def __init__(self, model: onnx.ModelProto, layers: Mapping[str, Iterable[str]]) -> None:
        self._nodes = list(model.graph.node)
        self._by_output = {name: node for node in self._nodes for name in node.output if name}
        self._by_name = {node.name: node for node in self._nodes if node.name}
        self._owner: dict[str, str] = {}  # first output of a node -> layer
        begins = self._claim(layers)
        self._spread_forwards(begins)
        self._spread_backwards()
        self._groups: dict[str, list[str]] = {}
        for node in self._nodes:
            if node.output[0] in self._owner:
                self._groups.setdefault(self._owner[node.output[0]], []).append(node.name or node.output[0])

    def sources(self, layer_name: str) -> tuple[str, ...]:
        """Names of the source nodes in a layer, in the graph's order; empty for one the engine invented (a reorder)."""
        return tuple(self._groups.get(layer_name, ()))

    def _claim(self, layers: Mapping[str, Iterable[str]]) -> set[str]:
        """Give each layer the nodes that are named; returns the layers named after the node they begin with."""
        begins = set()
        for layer, stated in layers.items():
            plain = strip_engine_suffix(layer)
            named = self._by_name.get(plain)
            if named is not None:
                begins.add(layer)
            nodes = [named or self._by_output.get(plain), *(self._by_name.get(name) for name in stated)]
            for node in nodes:
                if node is not None:
                    self._owner.setdefault(node.output[0], layer)
        return begins

    def _spread_forwards(self, begins: set[str]) -> None:
        for node in self._nodes:
            before = next((self._owner[name] for name in node.input if self._owner.get(name) in begins), None)
            if before is not None:
                self._owner.setdefault(node.output[0], before)

    def _spread_backwards(self) -> None:
        for node in reversed(self._nodes):
            if layer := self._owner.get(node.output[0]):
                for name in node.input:
                    if name in self._by_output:
                        self._owner.setdefault(self._by_output[name].output[0], layer)


def strip_engine_suffix(layer_name: str) -> str:
    """The name of the source graph that an engine's name was made from."""
    name = layer_name.split("/WithoutBiases")[0]  # OpenVINO splits a bias off
    return ENGINE_SUFFIX.sub("", name)
