"""A predictor with known answers, an Artifact for it, and a real server on a loopback port over them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest, Task
from sightline.core.settings import Settings
from sightline.imaging.masks import encode_mask
from sightline.serving.server import create_app, format_url, open_listener

CATEGORIES = ("dark", "bright")


class FakePredictor:
    """Finds one box over the left half of each picture, `bright` when its mean is above 127; blocks while `gate` is closed."""

    def __init__(self, task: Task = "detection") -> None:
        self.task: Task = task
        self.categories = Categories(CATEGORIES)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        self.entered.release()
        assert self.gate.wait(30)
        found = [self._find(image) for image in images]
        limit = 0.25 if confidence_threshold is None else confidence_threshold
        return [[one for one in annotations if (one.confidence or 0) >= limit] for annotations in found]

    def _find(self, image: np.ndarray) -> list[Annotation]:
        height, width = image.shape[:2]
        category = CATEGORIES[int(image.mean() > 127)]
        box = (0.0, 0.0, width / 2, float(height))
        mask = np.zeros((height, width), dtype=bool)
        mask[:, : width // 2] = True
        rle = encode_mask(mask) if self.task == "semantic" else None
        return [Annotation(category=category, box_xyxy=box, mask=rle, confidence=0.5, origin="model")]


def write_artifact(folder: Path, task: Task = "detection", graph: bytes = b"graph") -> Path:
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


def make_open(predictor: FakePredictor) -> Callable[[Path], FakePredictor]:
    """Opens any Artifact as the fake, but one whose graph is `broken`."""

    def open_fake(folder: Path) -> FakePredictor:
        if (folder / "model.onnx").read_bytes() == b"broken":
            raise InvalidInput("the graph cannot be opened")
        return predictor

    return open_fake


@contextmanager
def run_server(
    repository: Path, predictor: FakePredictor, settings: Settings | None = None, max_waiting: int = 64
) -> Iterator[str]:
    """Serve from a thread of this process; gives the URL."""
    app = create_app(
        repository,
        settings or Settings(threads=2),
        open_artifact=make_open(predictor),
        max_waiting=max_waiting,
        check_every_s=0.0,
    )
    listener = open_listener("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield format_url(listener)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


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
