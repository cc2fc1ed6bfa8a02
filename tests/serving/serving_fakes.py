"""Artifacts for tests that do not look into them, and one with a real graph that tells bright pictures from dark ones."""

from pathlib import Path

import numpy as np

from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest, Task

CATEGORIES = ("dark", "bright")


def write_artifact(folder: Path, task: Task = "detection", graph: bytes = b"graph") -> Path:
    """An Artifact that no engine opens."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph)
    manifest = ArtifactManifest(
        name="parts",
        model_id="m" * 64,
        task=task,
        categories=CATEGORIES,
        input=InputSpec(width=32, height=32),
        decode=DecodeSpec(head="anchor_free", outputs=("out",)),
        device="cpu",
        engine="reference",
        precision="fp32",
        graph_file="model.onnx",
        streams=1,
        threads=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def write_brightness_artifact(folder: Path, kind: str = "artifact") -> Path:
    """A real graph: the logit of `bright` is the mean pixel 0..1 times 20 minus 10, that of `dark` is 0."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    weights = np.array([[0, 20 / 3]] * 3, np.float32)  # (3, 2)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([0, -10], np.float32), "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    shared = {
        "name": "brightness",
        "task": "classification",
        "categories": CATEGORIES,
        "input": InputSpec(width=8, height=8, resize="stretch"),
        "decode": DecodeSpec(head="softmax", outputs=("logits",), confidence_threshold=0.0),
        "created_at": "2026-11-21T00:00:00+00:00",
        "files": hash_files(folder),
    }
    manifest = (
        ModelManifest(network="brightness", parameter_count=8, **shared)
        if kind == "model"
        else ArtifactManifest(
            model_id="b" * 64,
            device="cpu",
            engine="onnxruntime",
            precision="fp32",
            graph_file="model.onnx",
            streams=1,
            threads=1,
            **shared,
        )
    )
    write_manifest(folder, manifest)
    return folder
