"""Quantised ONNX files: told apart from float ones, and ONNX Runtime's own quantised operators written in standard ones.

A QDQ file (DequantizeLinear - operator - QuantizeLinear) and the standard QLinearConv, QLinearMatMul and integer operators stay
as they are. ONNX Runtime's quantiser also writes operators of its own domain com.microsoft (docs/ContribOperators.md), each of
which its documentation defines by dequantise - operator - quantise; that is what they become here. Others are refused by name.
"""

from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sightline.compiler.graphs import STANDARD_DOMAINS, find_opset
from sightline.compiler.importers.onnx.reading import iterate_nodes
from sightline.core.errors import Unsupported

ORT_DOMAIN = "com.microsoft"
QUANTISE_PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})
QUANTISED_KINDS = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
# Operators with inputs (X, scale, zero, output scale, output zero) -> the standard operator in their middle.
UNARY = {
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearAveragePool": "AveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}  # (A, scale, zero, B, scale, zero, output scale, output zero)
MAPPED = {*QUANTISE_PAIR, *UNARY, *BINARY, "QLinearConcat", "QGemm"}
Nodes = list[onnx.NodeProto]


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether activations are quantised; weights alone, stored as integers, do not make a graph run in INT8."""
    return any(node.op_type in QUANTISED_KINDS for node in iterate_nodes(model.graph))


def refuse_foreign_operators(model: onnx.ModelProto, file_name: str) -> None:
    """Raises: Unsupported, naming every operator that neither ONNX defines nor we can write in its operators."""
    foreign = {
        f"{node.domain}:{node.op_type}"
        for node in iterate_nodes(model.graph)
        if node.domain not in STANDARD_DOMAINS and not (node.domain == ORT_DOMAIN and node.op_type in MAPPED)
    }
    if foreign:
        raise Unsupported(
            f"{file_name} uses operators outside the ONNX standard: {', '.join(sorted(foreign))}; export it without them, "
            "or end the network before them by naming its outputs"
        )


def write_standard_operators(model: onnx.ModelProto) -> int:
    """Replace ONNX Runtime's own quantised operators; returns how many there were."""
    nodes: Nodes = []
    count = 0
    for node in model.graph.node:
        if node.domain != ORT_DOMAIN:
            nodes.append(node)
            continue
        count += 1
        nodes += _write_node(model, node)
    if count:
        copies = [deepcopy(node) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)
    opset = find_opset(model)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    return count


def _write_node(model: onnx.ModelProto, node: onnx.NodeProto) -> Nodes:
    if node.op_type in QUANTISE_PAIR:
        node.domain = ""
        return [node]
    if node.op_type == "QLinearConcat":
        groups = [list(node.input[place : place + 3]) for place in range(2, len(node.input), 3)]
        return _between(node, groups, node.input[0:2], "Concat")
    if node.op_type == "QGemm":
        return _write_gemm(model, node)
    if node.op_type in BINARY:
        groups = [list(node.input[0:3]), list(node.input[3:6])]
        return _between(node, groups, node.input[6:8], BINARY[node.op_type])
    if any(attribute.name == "channels_last" and attribute.i for attribute in node.attribute):
        raise Unsupported(
            f"{node.op_type} {node.name!r} keeps channels last, which no standard operator does; quantise to QDQ instead"
        )
    return _between(node, [list(node.input[0:3])], node.input[3:5], UNARY[node.op_type])


def _between(node: onnx.NodeProto, groups: list[list[str]], out: list[str], kind: str) -> Nodes:
    """Dequantise each (tensor, scale, zero), run the standard operator, quantise with (scale, zero)."""
    nodes, floats = [], []
    for place, group in enumerate(groups):
        floats.append(f"{node.name}_float_{place}")
        nodes.append(helper.make_node("DequantizeLinear", group, [floats[-1]], name=f"{node.name}_dequantise_{place}"))
    middle = helper.make_node(kind, floats, [f"{node.name}_float"], name=node.name)
    middle.attribute.extend(attribute for attribute in node.attribute if attribute.name not in ("channels_last", "opset"))
    if len(out) == 0 or not out[0]:  # a float result
        middle.output[0] = node.output[0]
        return [*nodes, middle]
    quantise = helper.make_node("QuantizeLinear", [middle.output[0], *out], [node.output[0]], name=f"{node.name}_quantise")
    return [*nodes, middle, quantise]


def _write_gemm(model: onnx.ModelProto, node: onnx.NodeProto) -> Nodes:
    """QGemm (A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero); C is int32 in units of a_scale * b_scale."""
    inputs = [*node.input, *([""] * (9 - len(node.input)))]
    groups = [inputs[0:3], inputs[3:6]]
    if inputs[6]:
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        if inputs[1] not in weights or inputs[4] not in weights:
            raise Unsupported(f"QGemm {node.name!r} computes its scales, expected stored ones; quantise to QDQ instead")
        scale = np.asarray(weights[inputs[1]] * weights[inputs[4]], np.float32)
        name = f"{node.name}_bias_scale"
        model.graph.initializer.append(
            numpy_helper.from_array(scale.reshape(-1) if scale.size > 1 else scale.reshape(()), name)
        )
        groups.append([inputs[6], name])
    nodes = _between(node, groups, [name for name in inputs[7:9] if name], "Gemm")
    _set_channel_axes(model, nodes[: len(groups)], transposed=any(a.name == "transB" and a.i for a in node.attribute))
    return nodes


def _set_channel_axes(model: onnx.ModelProto, nodes: Nodes, transposed: bool) -> None:
    """Per-channel scales of B `(K, N)`, or `(N, K)` when transposed, and of the bias `(N,)` lie along N."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    axes = (1, 0 if transposed else 1, 0)
    for node, axis in zip(nodes, axes[: len(nodes)], strict=True):
        if sizes.get(node.input[1], 1) > 1:
            node.attribute.append(helper.make_attribute("axis", axis))
