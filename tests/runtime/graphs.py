"""Small ONNX graphs by name, each with the input it takes: what the conformance suite runs on every back end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(7)
Nodes = list[onnx.NodeProto]
Weights = dict[str, np.ndarray]


def weight(*shape: int) -> np.ndarray:
    fan_in = int(np.prod(shape[1:])) or 1
    return (RNG.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def write_graph(
    path: Path, nodes: Nodes, weights: Weights, outputs: dict[str, int], shape: tuple[int | str, ...] = (3, 16, 16)
) -> Path:
    """A graph with input `images` `(N, *shape)` and outputs named with their rank."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *[None] * (rank - 1)]) for name, rank in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{output}_{kind}", **attributes)


def write_conv_chain(path: Path) -> Path:
    nodes = [
        node("Conv", ["images", "w1", "b1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "w2"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("HardSwish", ["c"], "d"),
        node("GlobalAveragePool", ["d"], "e"),
        node("Flatten", ["e"], "f"),
        node("Gemm", ["f", "w3", "b3"], "logits", transB=1),
    ]
    weights = {"w1": weight(8, 3, 3, 3), "b1": weight(8), "w2": weight(16, 8, 3, 3), "w3": weight(10, 16), "b3": weight(10)}
    return write_graph(path, nodes, weights, {"logits": 2})


def write_depthwise(path: Path) -> Path:
    nodes = [
        node("Conv", ["images", "w1"], "a", kernel_shape=[1, 1]),
        node("Conv", ["a", "w2"], "b", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=8),
        node("Sigmoid", ["b"], "c"),
        node("Mul", ["b", "c"], "out"),
    ]
    return write_graph(path, nodes, {"w1": weight(8, 3, 1, 1), "w2": weight(8, 1, 3, 3)}, {"out": 4})


def write_pools(path: Path) -> Path:
    nodes = [
        node("MaxPool", ["images"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", ["images"], "b", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Add", ["a", "b"], "out"),
    ]
    return write_graph(path, nodes, {}, {"out": 4})


def write_stride_one_pool(path: Path) -> Path:
    """Zero padding before a stride-1 pool over values below zero, as in tiny-YOLOv2: one engine's optimiser gets it wrong."""
    nodes = [
        node("Conv", ["images", "w1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["a"], "b", alpha=0.1),
        node("Sub", ["b", "two"], "c"),
        node("Pad", ["c", "pads", "zero"], "d", mode="constant"),
        node("MaxPool", ["d"], "out", kernel_shape=[2, 2], strides=[1, 1]),
    ]
    weights = {
        "w1": weight(8, 3, 3, 3),
        "two": np.float32(2),
        "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),
        "zero": np.float32(0),
    }
    return write_graph(path, nodes, weights, {"out": 4})


def write_pyramid(path: Path) -> Path:
    """Resize, concatenate, two outputs: a detector's neck."""
    nodes = [
        node("Conv", ["images", "w1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "w2"], "coarse", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Resize", ["coarse", "", "scales"], "up", mode="nearest"),
        node("Concat", ["a", "up"], "both", axis=1),
        node("Conv", ["both", "w3"], "fine", kernel_shape=[1, 1]),
    ]
    weights = {
        "w1": weight(4, 3, 3, 3),
        "w2": weight(8, 4, 3, 3),
        "w3": weight(5, 12, 1, 1),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    return write_graph(path, nodes, weights, {"fine": 4, "coarse": 4})


def write_bilinear_softmax(path: Path) -> Path:
    nodes = [
        node("Conv", ["images", "w1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Resize", ["a", "", "scales"], "b", mode="linear", coordinate_transformation_mode="half_pixel"),
        node("Softmax", ["b"], "out", axis=1),
    ]
    return write_graph(path, nodes, {"w1": weight(5, 3, 3, 3), "scales": np.array([1, 1, 2, 2], np.float32)}, {"out": 4})


def write_batch_norm_residual(path: Path) -> Path:
    nodes = [
        node("Conv", ["images", "w1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "g", "b", "m", "v"], "n"),
        node("Add", ["n", "images"], "s"),
        node("Clip", ["s", "low", "high"], "out"),
    ]
    weights = {
        "w1": weight(3, 3, 3, 3),
        "g": np.ones(3, np.float32),
        "b": weight(3),
        "m": weight(3),
        "v": np.full(3, 0.5, np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
    }
    return write_graph(path, nodes, weights, {"out": 4})


FLOAT_GRAPHS: dict[str, Callable[[Path], Path]] = {
    "conv_chain": write_conv_chain,
    "depthwise": write_depthwise,
    "pools": write_pools,
    "stride_one_pool": write_stride_one_pool,
    "pyramid": write_pyramid,
    "bilinear_softmax": write_bilinear_softmax,
    "batch_norm_residual": write_batch_norm_residual,
}


def write_quantised_conv(path: Path) -> Path:
    """QDQ INT8: uint8 activations, int8 weights per channel, by hand."""
    w1 = weight(8, 3, 3, 3)
    scale = np.abs(w1).max(axis=(1, 2, 3)) / 127
    integers = np.round(w1 / scale[:, None, None, None]).astype(np.int8)
    nodes = [
        node("QuantizeLinear", ["images", "xs", "xz"], "xq"),
        node("DequantizeLinear", ["xq", "xs", "xz"], "x"),
        node("DequantizeLinear", ["w", "ws", "wz"], "wd", axis=0),
        node("Conv", ["x", "wd"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], "b"),
        node("QuantizeLinear", ["b", "ys", "yz"], "yq"),
        node("DequantizeLinear", ["yq", "ys", "yz"], "out"),
    ]
    weights = {
        "xs": np.float32(8 / 255),
        "xz": np.uint8(128),
        "w": integers,
        "ws": scale.astype(np.float32),
        "wz": np.zeros(8, np.int8),
        "ys": np.float32(6 / 255),
        "yz": np.uint8(0),
    }
    return write_graph(path, nodes, weights, {"out": 4})
