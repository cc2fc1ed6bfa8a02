"""Artifacts with tiny real graphs: one whose answers can be told by hand, and one whose bits depend on every pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, Task

CATEGORIES = ("dark", "bright")
SIDE = 32


def write_artifact_around(folder: Path, graph: Any, **fields: Any) -> Path:
    """An Artifact folder of a graph made by `onnx.helper`; `fields` stand in for those of the manifest below."""
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    manifest: dict[str, Any] = {
        "name": folder.name,
        "model_id": "m" * 64,
        "categories": CATEGORIES,
        "device": "cpu",
        "engine": "onnxruntime",
        "precision": "fp32",
        "graph_file": "model.onnx",
        "streams": 1,
        "threads": 1,
        "created_at": "2026-11-21T00:00:00+00:00",
        "files": hash_files(folder),
    }
    write_manifest(folder, ArtifactManifest(**{**manifest, **fields}))
    return folder


def write_halves(folder: Path, task: Task = "detection", **fields: Any) -> Path:
    """Finds one box over the left half of each picture, `bright` at 0.5 when its mean is above 0.5, else `dark`.

    With the task "semantic" its label map has that category on the left half and the other one on the right.
    """
    is_mean_high = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),  # (N, 1, 1, 1)
        helper.make_node("Greater", ["mean", "half"], ["is_high"]),
        helper.make_node("Cast", ["is_high"], ["high"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "high"], ["low"]),
    ]
    weights = {"half": np.float32(0.5), "one": np.float32(1)}
    if task == "detection":
        nodes = [
            helper.make_node("Concat", ["low", "high"], ["both"], axis=3),  # (N, 1, 1, 2)
            helper.make_node("Mul", ["both", "half"], ["halved"]),
            helper.make_node("Squeeze", ["halved", "axis"], ["scores"]),  # (N, 1, 2)
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Squeeze", ["nothing", "axis"], ["start"]),  # (N, 1, 1)
            helper.make_node("Add", ["start", "box"], ["boxes"]),  # (N, 1, 4)
        ]
        weights |= {"axis": np.array([1]), "zero": np.float32(0), "box": np.array([[[0, 0, 0.5, 1]]], np.float32)}
        outputs = {"scores": ["N", 1, 2], "boxes": ["N", 1, 4]}
        decode = DecodeSpec(head="scored_boxes", outputs=("scores", "boxes"), confidence_threshold=0.25)
    else:
        left = np.zeros((1, 1, SIDE, SIDE), np.float32)
        left[..., : SIDE // 2] = 1
        nodes = [
            helper.make_node("Mul", ["high", "left"], ["on_left"]),
            helper.make_node("Mul", ["low", "right"], ["on_right"]),
            helper.make_node("Add", ["on_left", "on_right"], ["labels"]),
        ]
        weights |= {"left": left, "right": 1 - left}
        outputs = {"labels": ["N", 1, SIDE, SIDE]}
        decode = DecodeSpec(head="label_map", outputs=("labels",))
    graph = make_graph([*is_mean_high, *nodes], outputs, weights, SIDE)
    spec = InputSpec(width=SIDE, height=SIDE, resize="stretch")
    return write_artifact_around(folder, graph, task=task, input=spec, decode=decode, **fields)


def write_convolutions(folder: Path, seed: int = 0, side: int = 64, **fields: Any) -> Path:
    """A classifier of ten categories: three convolutions, a global mean, a matrix product, all of random weights."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=16),
        helper.make_node("HardSwish", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"], kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["c3"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["logits"], transB=1),
    ]
    weights = {"w1": draw(16, 3, 3, 3), "b1": draw(16), "w2": draw(16, 1, 3, 3), "w3": draw(48, 16, 1, 1)}
    weights |= {"w4": 10 * draw(10, 48), "b4": draw(10)}
    graph = make_graph(nodes, {"logits": ["N", 10]}, weights, side)
    spec = InputSpec(width=side, height=side, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    return write_artifact_around(
        folder,
        graph,
        task="classification",
        categories=tuple(f"category {index}" for index in range(10)),
        input=spec,
        decode=DecodeSpec(head="softmax", outputs=("logits",), confidence_threshold=0.0),
        **fields,
    )


def make_graph(nodes: list[Any], outputs: dict[str, list[Any]], weights: dict[str, Any], side: int) -> Any:
    """A graph with the input `images` `(N, 3, side, side)`."""
    return helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
