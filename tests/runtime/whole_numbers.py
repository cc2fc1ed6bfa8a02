"""A fixed-point network in Python's own whole numbers, which never overflow: what its emulation must give, bit by bit.

Each tensor is an object array of n, for n / 2^fraction; nothing of the emulator's code is used but the types in its file.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sightline.runtime.backends.hls4ml.network import FixedNetwork, FixedPoint

FINE = 200  # bits behind the point that hold every float32 of these tests exactly


def compute_whole_network(network: FixedNetwork, model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs, float64. Args: images: `(N, C, H, W)`; means must be over a power of two numbers."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (port,) = network.inputs
    tensors, types = {port.name: to_whole(images, port.type)}, {port.name: port.type}
    for node in model.graph.node:
        layer, sources = network.find_layer(node.name), [types[name] for name in node.input if name in types]
        fraction = max(kind.fraction for kind in sources)
        inputs = [tensors[name] << fraction - types[name].fraction for name in node.input if name in tensors]
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if layer.weight is not None:
            products = {"Conv": convolve, "Gemm": multiply, "MatMul": multiply}[node.op_type]
            made = products(inputs[0], to_whole(weights[node.input[1]], layer.weight), attributes)
            fraction += layer.weight.fraction
            if layer.bias is not None:
                bias = to_whole(weights[node.input[2]], layer.bias) << fraction - layer.bias.fraction
                made = made + bias.reshape(1, -1, *[1] * (made.ndim - 2))
        else:
            made, finer = OTHERS[node.op_type](inputs, attributes)
            fraction += finer
        tensors[node.output[0]], types[node.output[0]] = convert(made, fraction, layer.result), layer.result
    return {one.name: tensors[one.name].astype(np.float64) * one.type.step for one in network.outputs}


def to_whole(values: np.ndarray, kind: FixedPoint) -> np.ndarray:
    exact = np.frompyfunc(lambda value: int(Fraction(float(value)) * 2**FINE), 1, 1)(np.asarray(values))
    return convert(exact, FINE, kind)


def convert(whole: np.ndarray, fraction: int, kind: FixedPoint) -> np.ndarray:
    """To a type that rounds to the nearest, ties upwards, and saturates; a type of sums holds them exactly."""
    dropped = fraction - kind.fraction
    if not kind.rounds:
        assert dropped <= 0
        return whole << -dropped
    rounded = whole + (1 << dropped - 1) >> dropped if dropped > 0 else whole << -dropped
    largest = (1 << kind.width - kind.signed) - 1
    return np.clip(rounded, -largest - 1 if kind.signed else 0, largest)


def convolve(x: np.ndarray, w: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    (stride, _), (top, left, bottom, right) = attributes.get("strides", [1, 1]), attributes["pads"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=0)
    rows, columns = ((padded.shape[axis] - w.shape[axis]) // stride + 1 for axis in (2, 3))
    out = np.zeros((len(x), len(w), rows, columns), object)
    for o, i, u, v in np.ndindex(*w.shape):
        source = padded[:, o if attributes.get("group", 1) > 1 else i]
        out[:, o] += w[o, i, u, v] * source[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
    return out


def multiply(x: np.ndarray, w: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    return x.dot(w.T if attributes.get("transB") else w)


def pool(x: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    """Numbers of each window on the last axis."""
    height, width = attributes["kernel_shape"]
    count, channels, rows, columns = x.shape
    parts = x.reshape(count, channels, rows // height, height, columns // width, width)
    return parts.transpose(0, 1, 2, 4, 3, 5).reshape(count, channels, rows // height, columns // width, -1)


def average(windows: np.ndarray) -> tuple[np.ndarray, int]:
    return windows.sum(axis=-1), windows.shape[-1].bit_length() - 1


def leak(x: np.ndarray, slope: float) -> tuple[np.ndarray, int]:
    return np.where(x >= 0, x << 15, x * round(slope * 2**15)), 15


# Of the inputs and attributes: the result, and how many bits finer it is than they.
OTHERS: dict[str, Any] = {
    "Relu": lambda inputs, attributes: (np.maximum(inputs[0], 0), 0),
    "LeakyRelu": lambda inputs, attributes: leak(inputs[0], attributes["alpha"]),
    "Add": lambda inputs, attributes: (inputs[0] + inputs[1], 0),
    "Concat": lambda inputs, attributes: (np.concatenate(inputs, axis=1), 0),
    "Flatten": lambda inputs, attributes: (inputs[0].reshape(len(inputs[0]), -1), 0),
    "MaxPool": lambda inputs, attributes: (pool(inputs[0], attributes).max(axis=-1), 0),
    "AveragePool": lambda inputs, attributes: average(pool(inputs[0], attributes)),
    "GlobalAveragePool": lambda inputs, attributes: average(pool(inputs[0], {"kernel_shape": inputs[0].shape[2:]})),
}
