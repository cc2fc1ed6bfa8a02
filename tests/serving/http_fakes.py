"""Models that look at pictures but need no engine, behind the real service and a slot thread, for tests of the edge."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np

from sightline.core.errors import NotFound, QueueFull
from sightline.core.manifests import DecodeSpec, InputSpec, Task
from sightline.runtime.backend import Session, SessionOptions, TensorType
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.content_encoding import Decompressor
from sightline.serving.http.predict.endpoint import PredictEndpoint
from sightline.serving.http.predict.requests import FetchImage
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.service import InferenceService, Observer
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import Executable, Work

CATEGORIES = ("dark", "bright")
SIZE = 32
DECODES = {
    "detection": DecodeSpec(head="scored_boxes", outputs=("scores", "boxes")),
    "semantic": DecodeSpec(head="label_map", outputs=("labels",)),
}


class LookingSession:
    """Finds one box over the left half of each picture, `bright` at 0.5 when its mean is above 127, else `dark`; its label map
    has that category on the left and the other one on the right."""

    input_names = ("images",)
    plan_count = 1

    def __init__(self, task: Task) -> None:
        self.output_names = DECODES[task].outputs
        self.calls = 0

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        inputs = (TensorType(name="images", dtype="float32", shape=(-1, 3, SIZE, SIZE)),)
        return inputs, tuple(TensorType(name=name, dtype="float32", shape=(-1, 1, 4)) for name in self.output_names)

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        pixels = inputs["images"]  # (N, H, W, 3) uint8
        found = (pixels.mean(axis=(1, 2, 3)) > 127).astype(int)
        if self.output_names == ("labels",):
            labels = np.repeat(found[:, None, None], SIZE, axis=1).repeat(SIZE, axis=2)
            labels[:, :, SIZE // 2 :] = 1 - found[:, None, None]
            return {"labels": labels.astype(np.float32)}
        scores = np.zeros((len(pixels), 1, 2), np.float32)
        scores[np.arange(len(pixels)), 0, found] = 0.5
        return {"scores": scores, "boxes": np.tile(np.array([0, 0, 0.5, 1], np.float32), (len(pixels), 1, 1))}

    def close(self) -> None:
        pass


def make_endpoint(
    service: InferenceService, max_bytes: int, fetch_image: FetchImage | None = None, edge: Edge | None = None
) -> PredictEndpoint:
    """`POST /predict/{name}`. Args: edge: counts its bodies; None: one of its own."""
    hold = (edge or Edge()).hold
    return PredictEndpoint(service, max_bytes, hold, Decompressor(max_bytes, hold), fetch_image)


def make_model(name: str = "parts", task: Task = "detection", max_pixels: int = 50_000_000, version: int = 3) -> ServedModel:
    """A model that is open."""

    def open_session(source: ModelSource, options: SessionOptions) -> Session:
        return cast(Session, LookingSession(task))

    source = ModelSource(
        name=name,
        version=version,
        graph=Path("none"),
        engine="looking",
        precision="fp32",
        streams=1,
        threads=1,
        task=task,
        categories=CATEGORIES,
        input=InputSpec(width=SIZE, height=SIZE, resize="stretch"),
        decode=DECODES[task],
        model_id="m" * 64,
    )
    model = ServedModel(source, 1, max_pixels, open_session)
    model.open()
    return model


class TableHost:
    """Models by name."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.models = {model.name: model for model in models}
        self.held = 0

    def acquire(self, name: str, version: str = "") -> Any:
        if name not in self.models or version not in ("", "3"):
            raise NotFound(f"no model {name[:100]!r} of version {version[:100] or 'any'}; GET /v2/repository/index lists them")
        self.held += 1
        return self.models[name]

    def release(self, served: Any) -> None:
        self.held -= 1


class OneSlot:
    """A scheduler with one slot. While `is_held`, works wait; a full queue refuses the third."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="slot")
        self.waiting: list[Work] = []
        self.cancelled: list[Work] = []
        self.is_held = False

    def submit(self, work: Work) -> None:
        work.enqueued_s = 1.0
        if not self.is_held:
            self.pool.submit(self._run, work)
        elif len(self.waiting) >= 2:
            raise QueueFull("the queue of 'parts' is full; send the request again in a moment", retry_after_s=2.5)
        else:
            self.waiting.append(work)

    def check_room(self, executable: Executable, tenant: str = "", priority: int = 0) -> None:
        """It is for `submit` to say."""

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    def let_go(self) -> None:
        self.is_held = False
        for work in self.waiting:
            self.pool.submit(self._run, work)

    def _run(self, work: Work) -> None:
        work.started_s = 1.5
        work.executable.execute([work], True)


class Bench:
    """A service over fake models; `close` it."""

    def __init__(self, *models: ServedModel, observers: Sequence[Observer] = ()) -> None:
        self.host = TableHost(models or (make_model(), make_model("road", "semantic")))
        self.scheduler = OneSlot()
        self.service = InferenceService(self.host, self.scheduler, observers)

    def close(self) -> None:
        self.scheduler.pool.shutdown()
