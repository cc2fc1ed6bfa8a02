"""Tiny ONNX graphs whose answers are known exactly, and sources to open them by."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource

COLOURS = ("red", "green", "blue")
ZOO = b"""{"steps": [{"name": "find", "model": "finder"}, {"name": "patches", "of": "find", "crop": {}},
                     {"name": "colour", "of": "patches", "model": "colours"}]}"""
ENLARGED = DecodeSpec(head="picture", outputs=("drawn",), parameters={"range": [0, 1]})


def save(path: Path, nodes: list[Any], inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], **weights: Any) -> Path:
    """Write a graph of float tensors; sizes are numbers or names of free dimensions."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_enlarger(path: Path, height: int | str = "H", width: int | str = "W") -> Path:
    """Sub-pixel super-resolution (Shi et al. 2016) whose convolution repeats each pixel: twice as large, nearest neighbour.

    DepthToSpace takes output pixel (2y + i, 2x + j) of channel c from channel (2i + j) * 3 + c.
    """
    kernel = np.zeros((12, 3, 1, 1), np.float32)
    kernel[np.arange(12), np.arange(12) % 3] = 1
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["deep"]),
        helper.make_node("DepthToSpace", ["deep"], ["drawn"], blocksize=2, mode="DCR"),
    ]
    free = isinstance(height, str) or isinstance(width, str)
    drawn = ["N", 3, "H2", "W2"] if free else ["N", 3, 2 * int(height), 2 * int(width)]
    return save(path, nodes, {"images": ["N", 3, height, width]}, {"drawn": drawn}, kernel=kernel)


def write_channel_means(path: Path) -> Path:
    """Raw tensors: `features` `(N, 3)`, the mean of each channel of `x` `(N, 3, 8, 8)`."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["features"], axes=[2, 3], keepdims=0)]
    return save(path, nodes, {"x": ["N", 3, 8, 8]}, {"features": ["N", 3]})


def write_brightest_channel(path: Path) -> Path:
    """Logits: ten times the mean of each channel of a picture 0..1."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["means", "ten"], ["logits"]),
    ]
    return save(path, nodes, {"images": ["N", 3, 8, 8]}, {"logits": ["N", 3]}, ten=np.float32(10))


def write_tripler(path: Path) -> Path:
    """`logits` = 3 * `features`, `(N, 3)`."""
    nodes = [helper.make_node("Mul", ["features", "three"], ["logits"])]
    return save(path, nodes, {"features": ["N", 3]}, {"logits": ["N", 3]}, three=np.float32(3))


def write_quadrant_finder(path: Path) -> Path:
    """A detector: four boxes, the quadrants of 16 x 16 pixels; the score of each is its mean brightness 0..1, one class."""
    boxes = np.array([[[0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]]], np.float32)
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),  # (N, 3, 2, 2)
        helper.make_node("ReduceMean", ["pooled"], ["bright"], axes=[1], keepdims=0),  # (N, 2, 2)
        helper.make_node("Reshape", ["bright", "column"], ["scores"]),  # (N, 4, 1)
        helper.make_node("Mul", ["scores", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "quadrants"], ["boxes"]),  # (N, 4, 4)
    ]
    return save(
        path, nodes, {"images": ["N", 3, 16, 16]}, {"scores": ["N", 4, 1], "boxes": ["N", 4, 4]},
        column=np.array([0, 4, 1], np.int64), zero=np.float32(0), quadrants=boxes,
    )  # fmt: skip


def make_source(name: str, graph: Path, **changes: Any) -> ModelSource:
    """A plain graph, opened with ONNX Runtime on one thread."""
    plain = {"version": 1, "engine": "onnxruntime", "precision": "fp32", "streams": 1, "threads": 1}
    return ModelSource(name=name, graph=graph, **{**plain, **changes})


def open_and_warm(source: ModelSource) -> ServedModel:
    """The model, opened as a server does it; closed again where that fails."""
    model = ServedModel(source, all_threads=2, max_pixels=10_000)
    try:
        model.open()
        model.warm_up()
    except BaseException:
        model.close()
        raise
    return model


def make_enlarger_source(graph: Path, **changes: Any) -> ModelSource:
    """The super-resolution network, for pictures of any size."""
    spec = InputSpec(width=1, height=1, resize="pad")
    return make_source("enlarger", graph, **{"task": "image", "input": spec, "decode": ENLARGED, **changes})


def paint_quadrants(seed: int) -> tuple[np.ndarray, dict[tuple[int, ...], str]]:
    """A picture of 64 x 48 whose quadrants are black or of one colour, and the box of each that is not."""
    rng = np.random.default_rng(seed)
    image, expected = np.zeros((48, 64, 3), np.uint8), {}
    for left, top in ((0, 0), (32, 0), (0, 24), (32, 24)):
        channel = int(rng.integers(4))
        if channel < 3:
            image[top : top + 24, left : left + 32, channel] = 255
            expected[(left, top, left + 32, top + 24)] = COLOURS[channel]
    return image, expected
