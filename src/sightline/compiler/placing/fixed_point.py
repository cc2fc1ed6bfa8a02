"""Choose fixed-point types for a network: the quantiser of the FPGA.

All scales are powers of two, so a type has one thing to choose: where its point lies. For each tensor it is put where the
values seen on the calibration pictures have the least squared error, rounding and saturation together; the largest value alone
would waste half the steps on rare extremes. Sums are as wide as their inputs' types can make them, so they are exact and each
layer rounds once, behind its activation.
"""

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from sightline.runtime.backends.hls4ml.network import FixedLayer, FixedPoint
from sightline.runtime.devices import GraphFacts, name_node, read_attributes

CANDIDATES = 5  # places of the point that are tried, from where the largest value fits downwards
HEADROOM = 1  # bits for values that no calibration picture has, from `WIDE` bits upwards
WIDE = 16
OUTPUT_BITS = 16  # the network's answer leaves the device; rounding it to 8 bits would only make ties
MEAN_BITS = 8  # behind the point of a mean, which is cut off, beyond those of its inputs and of its result, which is rounded
KEPT_TYPES = {"MaxPool", "GlobalMaxPool", "Flatten"}  # they make no new numbers
MEANS = {"AveragePool", "GlobalAveragePool"}
ACTIVATIONS = {"Relu", "LeakyRelu"}


def choose_point(values: np.ndarray, width: int, signed: bool) -> FixedPoint:
    """The type of `width` bits that holds these values with the least squared error. Args: values: any shape, finite."""
    numbers = np.asarray(values, np.float64).reshape(-1)
    largest = float(np.abs(numbers).max(initial=0.0))
    if largest == 0.0:
        return FixedPoint(width=width, integer=int(signed), signed=signed)
    top = math.floor(math.log2(largest)) + 1 + signed
    kinds = [FixedPoint(width=width, integer=top - place, signed=signed) for place in range(CANDIDATES)]
    return min(kinds, key=lambda kind: float(np.square(kind.quantise(numbers) - numbers).sum()))


def choose_range(values: np.ndarray, width: int, signed: bool) -> FixedPoint:
    """The type of `width` bits that holds these values and others twice as large, for where there are bits to spare."""
    largest = float(np.abs(np.asarray(values)).max(initial=0.0))
    top = math.floor(math.log2(largest)) + 1 + HEADROOM if largest > 0 else 0
    return FixedPoint(width=width, integer=top + signed, signed=signed)


def find_bits(largest: float) -> int:
    """Bits in front of the point, the sign's included, that hold -largest..largest."""
    return math.floor(math.log2(largest)) + 2 if largest > 0 else 1


class TypeChooser:
    """Chooses the types of each node of a graph, in order.

    Args:
        model: the graph, its weights float.
        values: some values of each tensor, as seen on the calibration pictures.
        width: bits of weights and of what layers give on.
    """

    def __init__(self, model: onnx.ModelProto, values: Mapping[str, np.ndarray], width: int) -> None:
        self._facts, self._values, self._width = GraphFacts(model), values, width
        self._weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.types: dict[str, FixedPoint] = {}  # of each tensor

    def choose_input(self, name: str) -> FixedPoint:
        """Type of an input; without a sign when no calibration picture has a value below zero."""
        values = self._values[name]
        self.types[name] = self._choose(name, self._width, bool(values.min(initial=0.0) < 0))
        return self.types[name]

    def choose_layer(self, node: onnx.NodeProto) -> FixedLayer:
        """Types of a node whose inputs have theirs."""
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            layer = self._choose_product(node)
        elif node.op_type in MEANS:
            layer = self._choose_mean(node)
        elif node.op_type in KEPT_TYPES:
            kept = self.types[node.input[0]]
            layer = FixedLayer(name=name_node(node), result=kept, sum=kept if node.op_type != "Flatten" else None)
        elif node.op_type == "Add" and self._is_activated(node):
            layer = FixedLayer(name=name_node(node), result=self._add_exactly(node))
        else:
            layer = FixedLayer(name=name_node(node), result=self._choose_result(node))
        self.types[node.output[0]] = layer.result
        return layer

    def _choose_product(self, node: onnx.NodeProto) -> FixedLayer:
        """Weights, bias and an exact sum; an activation behind it rounds, so the sum goes to it as it is."""
        source, array = self.types[node.input[0]], self._weights[node.input[1]]
        weight = choose_point(array, self._width, signed=True)
        fraction = source.fraction + weight.fraction
        bias_values = self._weights[node.input[2]].reshape(-1) if len(node.input) > 2 and node.input[2] else np.zeros(1)
        bias_bits = find_bits(float(np.abs(bias_values).max()))
        bias = FixedPoint(width=max(bias_bits + fraction, 1), integer=bias_bits)
        largest = _sum_magnitudes(node, weight.quantise(array)) * _find_largest(source)
        bits = find_bits(float((largest + np.abs(bias.quantise(bias_values))).max()))
        total = FixedPoint(width=max(bits + fraction, 1), integer=bits, rounds=False)
        result = total if self._is_activated(node) else self._choose_result(node)
        has_bias = len(node.input) > 2 and bool(node.input[2])
        return FixedLayer(name=name_node(node), result=result, weight=weight, bias=bias if has_bias else None, sum=total)

    def _choose_mean(self, node: onnx.NodeProto) -> FixedLayer:
        source, shape = self.types[node.input[0]], self._facts.shape(node.input[0]) or ()
        kernel = read_attributes(node).get("kernel_shape", shape[2:])
        integer = source.integer + math.ceil(math.log2(max(math.prod(kernel), 1)))
        result = self._choose_result(node)
        width = integer + max(source.fraction, result.fraction) + MEAN_BITS
        total = FixedPoint(width=width, integer=integer, signed=source.signed, rounds=False)
        return FixedLayer(name=name_node(node), result=result, sum=total)

    def _add_exactly(self, node: onnx.NodeProto) -> FixedPoint:
        kinds = [self.types[name] for name in node.input]
        integer = max(kind.integer + (not kind.signed) for kind in kinds) + 1
        return FixedPoint(width=integer + max(kind.fraction for kind in kinds), integer=integer, rounds=False)

    def _is_activated(self, node: onnx.NodeProto) -> bool:
        """Whether an activation is all that reads it."""
        readers = self._facts.readers.get(node.output[0], [])
        return len(readers) == 1 and readers[0].op_type in ACTIVATIONS and node.output[0] not in self._facts.outputs

    def _choose_result(self, node: onnx.NodeProto) -> FixedPoint:
        name = node.output[0]
        is_positive = node.op_type == "Relu" or (
            node.op_type in MEANS | {"Add", "Concat"} and not any(self.types[source].signed for source in node.input)
        )
        width = max(self._width, OUTPUT_BITS) if self._reaches_output(name) else self._width
        return self._choose(name, width, signed=not is_positive)

    def _choose(self, name: str, width: int, signed: bool) -> FixedPoint:
        return (choose_range if width >= WIDE else choose_point)(self._values[name], width, signed)

    def _reaches_output(self, name: str) -> bool:
        """Whether a tensor is an output of the graph, or becomes one unchanged."""
        readers = self._facts.readers.get(name, [])
        return name in self._facts.outputs or any(
            one.op_type in KEPT_TYPES and self._reaches_output(one.output[0]) for one in readers
        )


def _find_largest(kind: FixedPoint) -> float:
    """The largest magnitude a type holds."""
    return kind.largest + kind.step if kind.signed else kind.largest


def _sum_magnitudes(node: onnx.NodeProto, weight: np.ndarray) -> np.ndarray:
    """Sum of the weights' magnitudes for each output channel: what a sum grows by at most for inputs up to one."""
    magnitudes = np.abs(weight)
    axes = (1, 2, 3) if node.op_type == "Conv" else (int(read_attributes(node).get("transB", 0)),)
    return np.asarray(magnitudes.sum(axis=axes))
