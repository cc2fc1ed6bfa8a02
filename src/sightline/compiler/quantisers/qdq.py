"""Put QuantizeLinear and DequantizeLinear around the inputs and weights of chosen convolutions, and nowhere else.

Outputs stay as they are: what reads them next decides whether they need rounding. A head that ends in float so keeps its scores
and boxes exact. A convolution left in float reads the float tensor, never the rounded one of a neighbour: ONNX Runtime would
quantise its weights too, all channels with one scale.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sightline.compiler.quantisers.convolutions import Convolution, list_convolutions, read_constants
from sightline.compiler.quantisers.plans import Plan
from sightline.compiler.quantisers.ranges import Range
from sightline.compiler.quantisers.rounding import RoundedWeights


def write_qdq(plan: Plan, chosen: Collection[str]) -> onnx.ModelProto:
    """A copy of the network in which the chosen convolutions, by name, are INT8."""
    copy = onnx.ModelProto()
    copy.CopyFrom(plan.model)
    convolutions = {one.output: one for one in list_convolutions(copy) if one.name in set(chosen)}
    biases = read_constants(copy, [one.bias for one in convolutions.values()])
    rounded: set[str] = set()
    nodes = []
    for node in copy.graph.node:
        one = convolutions.get(node.output[0])
        if one is not None:
            if one.source not in rounded:
                nodes += _round_tensor(copy, one.source, plan.ranges[one.source])
                rounded.add(one.source)
            nodes.append(_store_weights(copy, one, plan.weights[one.name], biases.get(one.bias)))
            del node.input[:]
            node.input.extend([f"{one.source}_rounded", f"{one.weight}_int8_float", f"{one.weight}_bias"])
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    _drop_unused(copy)
    return copy


def _round_tensor(model: onnx.ModelProto, name: str, found: Range) -> list[onnx.NodeProto]:
    facts = [f"{name}_scale", f"{name}_zero_point"]
    values = (np.array(found.scale, np.float32), np.array(found.zero_point, np.uint8))
    model.graph.initializer.extend(numpy_helper.from_array(value, fact) for value, fact in zip(values, facts, strict=True))
    return [
        helper.make_node("QuantizeLinear", [name, *facts], [f"{name}_uint8"], f"{name}_quantise"),
        helper.make_node("DequantizeLinear", [f"{name}_uint8", *facts], [f"{name}_rounded"], f"{name}_dequantise"),
    ]


def _store_weights(
    model: onnx.ModelProto, one: Convolution, weights: RoundedWeights, bias: np.ndarray | None
) -> onnx.NodeProto:
    names = [f"{one.weight}_int8", f"{one.weight}_scale", f"{one.weight}_zero_point"]
    values = (weights.stored, weights.scales, np.zeros(len(weights.scales), np.int8))
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for value, name in zip(values, names, strict=True))
    changed = weights.bias_change if bias is None else bias + weights.bias_change
    model.graph.initializer.append(numpy_helper.from_array(changed.astype(np.float32), f"{one.weight}_bias"))
    return helper.make_node("DequantizeLinear", names, [f"{one.weight}_int8_float"], f"{one.weight}_dequantise", axis=0)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Float weights that INT8 ones replaced."""
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
