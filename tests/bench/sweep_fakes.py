"""A Model whose right answers are known by construction, and pictures for it: the class is the strongest colour's number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image

SIDE = 16
NAMES = ("red", "green", "blue", "dark", "pale", "other")
COLOURS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250), "dark": (0, 0, 0)}
# Logits of (mean red, mean green, mean blue), each 0..1: the three colours, then black, then two that never win.
SLOPES = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8], [-9, -9, -9], [0, 0, 0], [0, 0, 0]], np.float32)
OFFSETS = np.array([0, 0, 0, 1, -40, -50], np.float32)


def write_model(folder: Path, task: str = "classification", names: Sequence[str] = NAMES, precision: str = "fp32") -> Path:
    """A Model folder: one 3 x 3 convolution that passes the colours on, a mean over the picture, a linear layer."""
    folder.mkdir(parents=True)
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1] = 1
    weights = {"kernel": kernel, "slopes": SLOPES[: len(names)], "offsets": OFFSETS[: len(names)]}
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["a"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"], "pool"),
        helper.make_node("Flatten", ["b"], ["c"], "flatten"),
        helper.make_node("Gemm", ["c", "slopes", "offsets"], ["logits"], "linear", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(names)])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    manifest = ModelManifest(
        name="colours",
        task=task,  # type: ignore[arg-type]
        network="test",
        categories=tuple(names),
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=DecodeSpec(head="softmax", outputs=("logits",), parameters={"top": 1}),
        parameter_count=1,
        precision=precision,  # type: ignore[arg-type]
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def write_artifact(folder: Path, precision: str = "fp32", engine: str = "onnxruntime") -> Path:
    """The same network as an Artifact."""
    write_model(folder)
    (folder / "manifest.json").unlink()
    manifest = ArtifactManifest(
        name="colours",
        model_id="a" * 64,
        task="classification",
        categories=NAMES,
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        device="cpu",
        engine=engine,
        precision=precision,  # type: ignore[arg-type]
        graph_file="model.onnx",
        streams=2,
        threads=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def make_pictures(folder: Path, rows: Sequence[tuple[str, str, str | None]], names: Sequence[str] = NAMES) -> DatasetVersion:
    """A version of (split, colour, label) rows; each picture is a little different."""
    blobs = BlobStore(folder / "blobs")
    with VersionWriter(folder / "version", "colours", Categories(names), blobs) as writer:
        for number, (split, colour, label) in enumerate(rows):
            image = np.full((SIDE, SIDE, 3), COLOURS[colour], np.uint8)
            image[0, 0] = number
            writer.add(
                Item(
                    blob=blobs.put_bytes(encode_image(image, "png")),
                    file_name=f"{number}.png",
                    width=SIDE,
                    height=SIDE,
                    split=split,
                    annotations=(Annotation(category=label),) if label is not None else (),
                )
            )
        return writer.close()
