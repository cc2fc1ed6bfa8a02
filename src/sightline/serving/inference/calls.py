"""What a protocol asks for (`Call`) and what it is handed to write its answer from (`Inferred`).

Protocols differ in how pictures and tensors travel and in how answers are written; between the two everything is the same. A
protocol gives `write_answer`, which runs on the thread that inferred: the event loop neither decodes, infers nor encodes.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from sightline.core.categories import Categories
from sightline.core.manifests import DecodeSpec, InputSpec, Precision, Task
from sightline.imaging.resizing import Placement


class Upload(msgspec.Struct, frozen=True):
    """An encoded picture as it came: the client's name for it, for messages, and its bytes."""

    name: str
    content: bytes | memoryview


class Inferred(msgspec.Struct, frozen=True, kw_only=True):
    """One call's rows of an execution.

    Attributes:
        outputs: tensor name -> array, batch axis first, only this call's rows.
        placements: how each picture lies in the network's input; empty for a call with tensors.
        images: the decoded pictures `uint8 (H, W, 3)` RGB; empty unless the call keeps them.
        decode_s, infer_s: time of preparing this call's pictures, and of the inference it shared.
    """

    outputs: Mapping[str, np.ndarray]
    placements: tuple[Placement, ...] = ()
    images: tuple[np.ndarray, ...] = ()
    decode_s: float = 0.0
    infer_s: float = 0.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, free of its protocol: either pictures or tensors, never both.

    Attributes:
        model: name in the repository.
        version: number as text; "" lets the version policy choose.
        pictures: encoded pictures, prepared here by the model's input spec; a row each.
        images: decoded pictures `uint8 (H, W, 3)` RGB instead of encoded ones (video frames, arrays).
        tensors: input name -> array, batch axis first, as the graph takes them.
        write_answer: makes the protocol's answer; runs on the inferring thread, may raise SightlineError.
        keep_images: whether `write_answer` needs the decoded pictures.
        tenant, priority, timeout_s, hastens: as in `scheduling.work.Work`.
    """

    model: str
    write_answer: Callable[["ServedFacts", Inferred], Any]
    version: str = ""
    pictures: tuple[Upload, ...] = ()
    images: tuple[np.ndarray, ...] = ()
    tensors: Mapping[str, np.ndarray] | None = None
    keep_images: bool = False
    tenant: str = ""
    priority: int = 0
    timeout_s: float | None = None
    hastens: bool = True


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of a graph.

    Attributes:
        datatype: in the words of the Open Inference Protocol: "FP32", "UINT8", "INT64", "BYTES", ...
        shape: -1 stands for a free dimension; the batch axis is first.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


class ServedFacts(msgspec.Struct, frozen=True, kw_only=True, dict=True):  # a dict for what is computed once
    """What is known of one version of a served model; protocols describe and write answers from it.

    Attributes:
        name, version: in the repository; the version is a number from 1.
        task, categories: what answers mean; task "raw" has tensors only.
        input, decode: how pictures are prepared and outputs decoded; None for a graph of raw tensors.
        inputs, outputs: tensors of the graph.
        max_batch: rows of one request at most.
        labels: as in `inference.source.ModelSource`.
        is_batched: the first axis of all tensors is the batch; False: requests pass through whole, and count as one row.
        device, engine, precision, streams, threads: how it runs here.
        model_id, artifact_id: of the folders it was made from; "" for a plain graph file.
    """

    name: str
    version: int
    task: Task
    categories: tuple[str, ...]
    input: InputSpec | None
    decode: DecodeSpec | None
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    max_batch: int
    device: str
    engine: str
    precision: Precision
    streams: int
    threads: int
    model_id: str = ""
    artifact_id: str = ""
    is_batched: bool = True
    labels: Mapping[str, tuple[str, ...]] = {}

    @cached_property
    def table(self) -> Categories:
        """The categories with their indices. Kept here, for a cache by names would hash a thousand of them for each answer."""
        return Categories(self.categories)
