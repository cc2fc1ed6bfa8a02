"""Put QuantizeLinear and DequantizeLinear around the inputs and weights of chosen convolutions, and nowhere else.

Outputs stay as they are: what reads them next decides whether they need rounding. A head that ends in float so keeps its scores
and boxes exact. A convolution left in float reads the float tensor, never the rounded one of a neighbour: ONNX Runtime would
quantise its weights too, all channels with one scale.
"""

from collections.abc import Collection
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sightline.compiler.importers.graph_writer import find_free_name
from sightline.compiler.importers.onnx.forms import drop_dead_nodes
from sightline.compiler.importers.onnx.reading import iterate_nodes
from sightline.compiler.quantisers.convolutions import Convolution, list_convolutions, read_constants
from sightline.compiler.quantisers.plans import Plan
from sightline.compiler.quantisers.ranges import Range
from sightline.compiler.quantisers.rounding import RoundedWeights


class FreshNames:
    """Names that neither a node nor a tensor of the graph has: those of networks are anything, `conv_scale` too."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
        for node in iterate_nodes(model.graph):
            self._taken.update((node.name, *node.input, *node.output))

    def make(self, wanted: str) -> str:
        """The name wanted, or where it is taken the next one with a number that is not."""
        name = find_free_name(wanted, self._taken, "_")
        self._taken.add(name)
        return name


def write_qdq(plan: Plan, chosen: Collection[str]) -> onnx.ModelProto:
    """A copy of the network in which the chosen convolutions, by name, are INT8."""
    copy = deepcopy(plan.model)
    names = FreshNames(copy)
    convolutions = {one.output: one for one in list_convolutions(copy) if one.name in set(chosen)}
    biases = read_constants(copy, [one.bias for one in convolutions.values()])
    rounded: dict[str, str] = {}  # by tensor that is read
    nodes = []
    for node in copy.graph.node:
        one = convolutions.get(node.output[0])
        if one is not None:
            if one.source not in rounded:
                pair = _round_tensor(copy, names, one.source, plan.ranges[one.source])
                rounded[one.source] = pair[-1].output[0]
                nodes += pair
            weights, bias = _store_weights(copy, names, one, plan.weights[one.name], biases.get(one.bias))
            nodes.append(weights)
            del node.input[:]
            node.input.extend([rounded[one.source], weights.output[0], bias])
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    drop_dead_nodes(copy)  # float weights that INT8 ones replaced
    return copy


def _round_tensor(model: onnx.ModelProto, names: FreshNames, name: str, found: Range) -> list[onnx.NodeProto]:
    """Two nodes that round a tensor; the output of the second stands for it."""
    facts = [names.make(f"{name}_scale"), names.make(f"{name}_zero_point")]
    values: tuple[np.ndarray, ...] = (np.array(found.scale, np.float32), np.array(found.zero_point, np.uint8))
    model.graph.initializer.extend(numpy_helper.from_array(value, fact) for value, fact in zip(values, facts, strict=True))
    stored, rounded = names.make(f"{name}_uint8"), names.make(f"{name}_rounded")
    return [
        helper.make_node("QuantizeLinear", [name, *facts], [stored], names.make(f"{name}_quantise")),
        helper.make_node("DequantizeLinear", [stored, *facts], [rounded], names.make(f"{name}_dequantise")),
    ]


def _store_weights(
    model: onnx.ModelProto, names: FreshNames, one: Convolution, weights: RoundedWeights, bias: np.ndarray | None
) -> tuple[onnx.NodeProto, str]:
    """A node that gives a convolution's weights, and the name of its bias."""
    changed = weights.bias_change if bias is None else bias + weights.bias_change
    values = {
        "int8": weights.stored,
        "scale": weights.scales,
        "zero_point": np.zeros(len(weights.scales), np.int8),
        "bias": changed.astype(np.float32),
    }
    made = {fact: names.make(f"{one.weight}_{fact}") for fact in values}
    model.graph.initializer.extend(numpy_helper.from_array(values[fact], name) for fact, name in made.items())
    *stored, bias_name = made.values()
    floats, node = names.make(f"{one.weight}_int8_float"), names.make(f"{one.weight}_dequantise")
    return helper.make_node("DequantizeLinear", stored, [floats], node, axis=0), bias_name
