"""A Model that is right without training and a DatasetVersion to compile it with, made in a second: random convolutions, and a
last layer solved by least squares on pictures of three textures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.preprocessing import prepare_batch
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

NAMES = ("bars", "blobs", "plain")
SIDE = 24
SPEC = InputSpec(name="images", width=SIDE, height=SIDE, mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0), resize="stretch")


def draw_picture(category: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 `(24, 24, 3)`: stripes, soft blobs, or neither, each under noise."""
    image = np.full((SIDE, SIDE), rng.uniform(90, 160))
    if category == "bars":
        image += 45 * np.sign(np.sin(np.arange(SIDE) * rng.uniform(0.9, 1.5) + rng.uniform(0, 6)))[None, :]
    if category == "blobs":
        image += 60 * cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 2) * 4
    image = image[:, :, None] + rng.normal(0, 28, (SIDE, SIDE, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def make_version(folder: Path, train: int = 60, val: int = 150, seed: int = 0) -> DatasetVersion:
    """Labelled pictures of the three categories in two splits."""
    rng = np.random.default_rng(seed)

    def draw(index: int) -> tuple[np.ndarray, tuple[Annotation, ...]]:
        category = NAMES[index % 3]
        return draw_picture(category, rng)[:, :, ::-1], (Annotation(category=category),)

    return write_version(folder, "textures", NAMES, {"train": train, "val": val}, draw)


def write_version(
    folder: Path,
    name: str,
    categories: Sequence[str],
    counts: Mapping[str, int],
    draw: Callable[[int], tuple[np.ndarray, tuple[Annotation, ...]]],
) -> DatasetVersion:
    """A DatasetVersion of drawn pictures.

    Args: counts: pictures of each split; draw: picture RGB and annotations by number in its split.
    """
    blobs = BlobStore(folder / "blobs")
    writer = VersionWriter(folder / "version", name, Categories(categories), blobs)
    for split, index in ((split, index) for split, count in counts.items() for index in range(count)):
        image, annotations = draw(index)
        height, width = image.shape[:2]
        writer.add(
            Item(
                blob=blobs.put_bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()),
                file_name=f"{split}/{index}.png",
                width=width,
                height=height,
                split=split,
                annotations=annotations,
            )
        )
    return writer.close()


def make_model(folder: Path, version: DatasetVersion, spec: InputSpec = SPEC) -> Path:
    """A Model folder; its network is fitted with `SPEC`, and its manifest states `spec`."""
    rng = np.random.default_rng(1)
    weights = {
        "w1": (rng.normal(size=(16, 3, 3, 3)) / 3).astype(np.float32),
        "w2": (rng.normal(size=(32, 16, 3, 3)) / 9).astype(np.float32),
    }
    folder.mkdir(parents=True)
    write_network(folder / "features.onnx", weights, None)
    items = list(version.items("train"))
    batch, _ = prepare_batch([version.read_image(item) for item in items], SPEC)
    session = load_backend("reference").open(folder / "features.onnx", SessionOptions())
    features = session.infer({"images": batch})["features"]
    session.close()
    (folder / "features.onnx").unlink()
    targets = np.eye(3)[[NAMES.index(item.annotations[0].category) for item in items]]
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    normal = np.c_[(features - centre) / spread, np.ones(len(items))]
    solved = np.linalg.solve(normal.T @ normal + 0.3 * np.eye(normal.shape[1]), normal.T @ targets)
    slope = 8 * solved[:-1] / spread[:, None]
    weights |= {"w3": slope.T.astype(np.float32), "b3": (8 * solved[-1] - centre @ slope).astype(np.float32)}
    write_network(folder / "model.onnx", weights, "logits")
    manifest = ModelManifest(
        name="textures",
        task="classification",
        network="test",
        categories=NAMES,
        input=spec,
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        parameter_count=sum(value.size for value in weights.values()),
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def write_network(path: Path, weights: dict[str, np.ndarray], last: str | None) -> None:
    """Two convolutions and a pool; with `last` a linear layer above."""
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["a"], "conv1", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu1"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "conv2", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"], "relu2"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], "pool"),
        helper.make_node("Flatten", ["e"], ["features"], "flatten"),
    ]
    if last:
        nodes.append(helper.make_node("Gemm", ["features", "w3", "b3"], [last], "linear", transB=1))
    graph = helper.make_graph(
        nodes,
        "textures",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(last or "features", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
