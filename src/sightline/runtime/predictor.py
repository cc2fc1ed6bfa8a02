"""From pictures to annotations: prepare, infer, decode, all as the Model's or Artifact's manifest says.

`predict` answers one batch; `predict_stream` keeps every core busy over many pictures: worker threads read and prepare ahead
and decode behind while the session's streams infer, in order and with bounded memory.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, SightlineError, Unsupported
from sightline.core.folders import MANIFEST_NAME, read_manifest, verify_files
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest, Precision, Task
from sightline.imaging.heads import decode_outputs
from sightline.imaging.preprocessing import place_batch, prepare_batch
from sightline.imaging.reading import decode_image, read_image
from sightline.imaging.resizing import Placement
from sightline.runtime.backend import Session, SessionOptions, Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.ordered import map_in_order

MODEL_GRAPH = "model.onnx"
DEFAULT_ENGINE = "openvino"  # for a Model folder, which names no engine
LARGEST_BATCH = 32  # more pictures than this in one `predict` are run in several batches, so memory stays bounded

Value = TypeVar("Value")
Picture = np.ndarray | bytes | Path  # decoded uint8 (H, W, 3) RGB, a picture file's bytes, or its path


class Predictor:
    """A network that takes pictures and answers with annotations in their own pixels. May be called from several threads.

    Attributes:
        manifest: of the folder it was opened from.
        name, task, categories, input, decode: the manifest's.
        engine, precision, streams, threads, batch: how it runs here; batch is how many pictures of a stream share an inference.
    """

    def __init__(
        self,
        manifest: ModelManifest | ArtifactManifest,
        session: Session,
        engine: str,
        options: SessionOptions,
        batch: int = 1,
    ) -> None:
        self.manifest = manifest
        self.name: str = manifest.name
        self.task: Task = manifest.task
        self.categories = Categories(manifest.categories)
        self.input: InputSpec = manifest.input
        self.decode: DecodeSpec = manifest.decode
        self.engine = engine
        self.precision: Precision = options.precision
        self.streams = options.streams
        self.threads = options.threads
        self.batch = batch
        self._session = session
        self._pixels = options.pixels
        self._pool = ThreadPoolExecutor(options.streams * options.threads, thread_name_prefix="predictor")

    def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each picture, best first.

        Args:
            images: uint8 `(H, W, 3)` RGB, of any sizes.
            confidence_threshold: 0..1; None takes the manifest's.
        """
        answers: list[list[Annotation]] = []
        for first in range(0, len(images), LARGEST_BATCH):
            batch, placements = self._place(images[first : first + LARGEST_BATCH])
            answers += self._decode(self.predict_raw(batch), placements, confidence_threshold)
        return answers

    def predict_stream(
        self, images: Iterable[Picture], confidence_threshold: float | None = None
    ) -> Generator[list[Annotation], None, None]:
        """Annotations of each picture, in order, while later ones are read, prepared and inferred.

        Args:
            images: arrays, encoded bytes or paths; reading and decoding happens in worker threads.
            confidence_threshold: 0..1; None takes the manifest's.

        Raises: whatever reading a picture raises, at its place in the order; what is in flight then ends quietly.
        """
        waiting: deque[list[Placement]] = deque()  # of the batches between preparing and decoding, in order

        def read_inputs() -> Generator[Tensors, None, None]:
            ahead = self.streams * self.batch + 2
            with closing(map_in_order(self._pool, self._prepare, images, ahead)) as prepared:
                for group in take_groups(prepared, self.batch):
                    waiting.append([placement for _, placements in group for placement in placements])
                    parts = [part for part, _ in group]
                    yield {self.input.name: parts[0] if len(parts) == 1 else np.concatenate(parts)}

        def pair_outputs() -> Generator[tuple[Tensors, list[Placement]], None, None]:
            with closing(self._session.stream(read_inputs())) as results:
                for outputs in results:
                    yield outputs, waiting.popleft()

        def decode(pair: tuple[Tensors, list[Placement]]) -> list[list[Annotation]]:
            return self._decode(*pair, confidence_threshold)

        def flatten() -> Generator[list[Annotation], None, None]:
            with closing(map_in_order(self._pool, decode, pair_outputs(), 2)) as batches:
                for answers in batches:
                    yield from answers

        return flatten()

    def predict_raw(self, batch: np.ndarray) -> Tensors:
        """Raw outputs by name for a batch of `imaging.preprocessing`: float32 of `prepare_batch`, or uint8 of `place_batch`."""
        return self._session.infer({self.input.name: batch})

    def close(self) -> None:
        """End the worker threads and free the engine's memory."""
        self._pool.shutdown()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prepare(self, picture: Picture) -> tuple[np.ndarray, list[Placement]]:
        return self._place([open_picture(picture)])

    def _place(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, list[Placement]]:
        """Pictures for the session: uint8 where it normalises by this very input spec, else the prepared tensor."""
        return place_batch(images, self.input) if self._pixels == self.input else prepare_batch(images, self.input)

    def _decode(self, outputs: Tensors, placements: list[Placement], threshold: float | None) -> list[list[Annotation]]:
        return decode_outputs(self.decode, outputs, placements, self.categories, threshold)


def take_groups(values: Iterable[Value], size: int) -> Generator[list[Value], None, None]:
    """Lists of `size` values, the last one shorter; when the next value fails, those before it are given first."""
    group: list[Value] = []
    try:
        for value in values:
            group.append(value)
            if len(group) == size:
                yield group
                group = []
    except SightlineError:
        if group:
            yield group
        raise
    if group:
        yield group


def open_picture(picture: Picture) -> np.ndarray:
    """The picture as uint8 `(H, W, 3)` RGB, read when it is a path, decoded when it is bytes."""
    if isinstance(picture, np.ndarray):
        return picture
    return decode_image(picture) if isinstance(picture, bytes) else read_image(picture)


def open_predictor(
    folder: Path,
    engine: str | None = None,
    streams: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    fixed_shapes: int | None = None,
    plan_folder: Path | None = None,
) -> Predictor:
    """Open an Artifact or a Model folder after checking its files against their hashes.

    Args:
        folder: holds the manifest; its kind decides.
        engine: None takes the Artifact's own, or OpenVINO for a Model (FP32, or INT8 when it came quantised).
        streams, threads, batch: None takes the Artifact's tuned values, or one stream on all cores and single pictures for a
            Model.
        fixed_shapes: how many input shapes get a plan of their own; None takes the usual number.
        plan_folder: as in `SessionOptions`.

    Raises: NotFound, CorruptFile, InvalidInput; Unsupported when the engine cannot open the Artifact's file.
    """
    manifest = read_runnable_manifest(folder)
    verify_files(folder, manifest.files)
    if isinstance(manifest, ArtifactManifest):
        engine = engine or manifest.engine
        plain = SessionOptions(manifest.precision, streams or manifest.streams, threads or manifest.threads)
        graph, tuned_batch = folder / manifest.graph_file, manifest.batch
    else:
        engine = engine or DEFAULT_ENGINE
        plain = SessionOptions(manifest.precision, streams or 1, threads or len(os.sched_getaffinity(0)))
        graph, tuned_batch = folder / MODEL_GRAPH, 1
    options = msgspec.structs.replace(
        plain, pixels=manifest.input, fixed_shapes=fixed_shapes or plain.fixed_shapes, plan_folder=plan_folder
    )
    session = load_backend(engine).open(graph, options)
    try:
        check_graph(session, manifest)
    except Unsupported:
        session.close()
        raise
    return Predictor(manifest, session, engine, options, batch or tuned_batch)


def read_runnable_manifest(folder: Path) -> ModelManifest | ArtifactManifest:
    """The manifest of a Model or Artifact folder. Raises: NotFound, InvalidInput for another kind."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return read_manifest(folder, ModelManifest)  # raises NotFound with its own words
    try:
        kind = msgspec.json.decode(path.read_bytes(), type=_Kind).kind
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is no manifest: {error}") from error
    if kind == "artifact":
        return read_manifest(folder, ArtifactManifest)
    if kind == "model":
        return read_manifest(folder, ModelManifest)
    raise InvalidInput(f"expected a Model or an Artifact, got a {kind} in {folder}; compile or train first")


class _Kind(msgspec.Struct):
    kind: str


def check_graph(session: Session, manifest: ModelManifest | ArtifactManifest) -> None:
    """Check that the graph has the tensors its manifest names. Raises: Unsupported."""
    if session.input_names != (manifest.input.name,) or not set(manifest.decode.outputs) <= set(session.output_names):
        raise Unsupported(
            f"manifest names input {manifest.input.name!r} and outputs {list(manifest.decode.outputs)}, the graph has "
            f"{list(session.input_names)} and {list(session.output_names)}; export the Model again"
        )
