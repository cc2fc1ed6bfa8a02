"""A tiny fixed-point network with types chosen by hand, and the same arithmetic in whole numbers, written out with numpy."""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from graphs import node, write_graph

from sightline.runtime.backends.hls4ml.network import FixedLayer, FixedNetwork, FixedPoint, Port, write_network

SIDE = 8
SHAPE = (3, SIDE, SIDE)
# The sums are wide enough to be exact; everything else is narrow, so that rounding and saturation show.
IMAGES = FixedPoint(width=8, integer=4)
FIRST = FixedPoint(width=6, integer=1)
FIRST_BIAS = FixedPoint(width=11, integer=2)  # 4 + 5 bits behind the point, as the products have
FIRST_SUM = FixedPoint(width=18, integer=9, rounds=False)
RELU = FixedPoint(width=7, integer=3, signed=False)
SECOND = FixedPoint(width=5, integer=0)
SECOND_SUM = FixedPoint(width=17, integer=8, rounds=False)
RESULT = FixedPoint(width=6, integer=3)


def make_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "w1": rng.uniform(-1.2, 1.2, (4, 3, 3, 3)).astype(np.float32),  # some saturate
        "b1": rng.uniform(-1, 1, 4).astype(np.float32),
        "w2": rng.uniform(-0.5, 0.5, (2, 4, 3, 3)).astype(np.float32),
    }


def write_fixed_network(folder: Path, io_type: Literal["io_stream", "io_parallel"] = "io_stream") -> Path:
    """conv 3x3 -> ReLU -> conv 3x3 with stride 2; input `images` `(N, 3, 8, 8)`, output `out` `(N, 2, 4, 4)`."""
    nodes = [
        node("Conv", ["images", "w1", "b1"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], "r"),
        node("Conv", ["r", "w2"], "out", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    ]
    graph = write_graph(folder / "tiny.fpga.onnx", nodes, make_weights(), {"out": 4}, SHAPE)
    network = FixedNetwork(
        graph_file=graph.name,
        graph_sha256=hashlib.sha256(graph.read_bytes()).hexdigest(),
        precision="int8",
        io_type=io_type,
        inputs=(Port(name="images", shape=SHAPE, type=IMAGES),),
        outputs=(Port(name="out", shape=(2, 4, 4), type=RESULT),),
        layers=(
            FixedLayer(name="a_Conv", result=FIRST_SUM, weight=FIRST, bias=FIRST_BIAS, sum=FIRST_SUM),
            FixedLayer(name="r_Relu", result=RELU),
            FixedLayer(name="out_Conv", result=RESULT, weight=SECOND, sum=SECOND_SUM),
        ),
        calibration_images=1,
    )
    path = folder / "tiny.fpga.json"
    write_network(network, path)
    return path


def compute_whole(images: np.ndarray) -> np.ndarray:
    """The network in whole numbers. Args: images: `(N, 3, 8, 8)`. Returns: float64 `(N, 2, 4, 4)`, multiples of 1/8."""
    weights = make_weights()
    x = round_to_whole(images, 4, -128, 127)
    w1 = round_to_whole(weights["w1"], 5, -32, 31)
    b1 = round_to_whole(weights["b1"], 9, -1024, 1023)
    a = convolve_whole(x, w1, 1) + b1[None, :, None, None]
    r = np.clip((np.maximum(a, 0) + 16) >> 5, 0, 127)  # 9 bits behind the point to 4, ties upwards
    w2 = round_to_whole(weights["w2"], 5, -16, 15)
    c = convolve_whole(r, w2, 2)
    return np.clip((c + 32) >> 6, -32, 31) / 8  # 9 bits behind the point to 3


def round_to_whole(values: np.ndarray, fraction: int, low: int, high: int) -> np.ndarray:
    return np.clip(np.floor(values.astype(np.float64) * 2**fraction + 0.5), low, high).astype(np.int64)


def convolve_whole(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    size = (x.shape[2] - 1) // stride + 1
    out = np.zeros((len(x), len(w), size, size), np.int64)
    for row in range(size):
        for column in range(size):
            window = padded[:, :, row * stride : row * stride + 3, column * stride : column * stride + 3]
            out[:, :, row, column] = np.einsum("nchw,ochw->no", window, w)
    return out
