"""From pictures to annotations: prepare, infer, decode, all as the Model's or Artifact's manifest says.

`predict` answers a picture or a list; `predict_stream` keeps all cores busy over many pictures: worker threads read and prepare
ahead and decode behind while the session's streams infer, in order and with bounded memory.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar, overload

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput, SightlineError, Unsupported
from sightline.core.folders import MANIFEST_NAME, read_kind, read_manifest, verify_files
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest, Precision, Task
from sightline.core.settings import read_settings
from sightline.imaging.files.reading import decode_image, read_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.preprocessing import place_batch, prepare_batch
from sightline.imaging.resizing import Placement
from sightline.runtime.backend import Session, SessionOptions, Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.ordered import map_in_order

MODEL_GRAPH = "model.onnx"
DEFAULT_ENGINE = "openvino"  # for a Model folder, which names no engine
LARGEST_BATCH = 32  # more pictures than this in one `predict` are run in several batches, so memory stays bounded

Value = TypeVar("Value")
# Decoded uint8 (H, W, 3) RGB, a picture file's bytes, or its path.
Picture = np.ndarray | bytes | bytearray | memoryview | str | os.PathLike[str]
ENCODED_TYPES = (bytes, bytearray, memoryview)
PICTURE_TYPES = (np.ndarray, *ENCODED_TYPES, str, os.PathLike)
PICTURE_WORDS = "a path, encoded bytes or a uint8 (H, W, 3) RGB array"


class Predictor:
    """A network that takes pictures and answers with annotations in their own pixels. May be called from several threads.

    Close it, or use `with`. It belongs to the process that opened it: another one, forked or not, opens its own.

    Attributes:
        folder, manifest: what it was opened from; folder is None for a candidate that is in no folder yet.
        name, task, categories, input, decode: as in the manifest.
        max_pixels: largest picture that it decodes.
        engine, precision, streams, threads, batch: how it runs here; batch is how many pictures of a stream share an inference.
    """

    def __init__(
        self,
        manifest: ModelManifest | ArtifactManifest,
        session: Session,
        engine: str,
        options: SessionOptions,
        batch: int = 1,
        *,
        folder: Path | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.folder = folder
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
        self.max_pixels = max_pixels or read_settings().max_image_pixels
        self._session = session
        self._opened_by = os.getpid()
        self._pixels = options.pixels
        self._pool = ThreadPoolExecutor(options.streams * options.threads, thread_name_prefix="predictor")

    def __repr__(self) -> str:
        device = self.manifest.device if isinstance(self.manifest, ArtifactManifest) else load_backend(self.engine).device
        folder = None if self.folder is None else self.folder.name
        facts = {"task": self.task, "engine": self.engine, "device": device, "precision": self.precision, "folder": folder}
        return f"Predictor({self.name!r}, {', '.join(f'{name}={value!r}' for name, value in facts.items())})"

    @overload
    def predict(self, images: Picture, confidence_threshold: float | None = None) -> list[Annotation]: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[Picture], confidence_threshold: float | None = None) -> list[list[Annotation]]: ...

    def predict(
        self, images: Picture | Iterable[Picture], confidence_threshold: float | None = None
    ) -> list[Annotation] | list[list[Annotation]]:
        """Annotations, best first: a list for one picture, a list of lists for several.

        Args:
            images: a path, encoded bytes, or a `uint8 (H, W, 3)` RGB array; or a list of them, of any sizes.
            confidence_threshold: drop predictions below it, 0..1; None takes the manifest's own.

        Raises: NotFound; UnreadableImage; ImageTooLarge for a picture of more than `max_pixels`; InvalidInput for something
            that is no picture, and for a threshold out of range; Conflict in a process that was forked after it was opened.
        """
        check_confidence(confidence_threshold)
        self._check_process()
        if isinstance(images, PICTURE_TYPES):
            return self._predict_batch([images], confidence_threshold)[0]
        answers: list[list[Annotation]] = []
        for batch in take_groups(iterate_pictures(images), LARGEST_BATCH):
            answers += self._predict_batch(batch, confidence_threshold)
        return answers

    def predict_stream(
        self, images: Iterable[Picture], confidence_threshold: float | None = None
    ) -> Generator[list[Annotation], None, None]:
        """Annotations of each picture, in order, while later pictures are read, prepared and inferred.

        Args:
            images: as `predict` takes them; worker threads read and decode them.
            confidence_threshold: drop predictions below it, 0..1; None takes the manifest's own.

        Raises: what reading a picture raises, at that picture's place in the order; what is in flight then ends quietly.
        """
        check_confidence(confidence_threshold)
        self._check_process()
        pictures = iterate_pictures(images)
        waiting: deque[list[Placement]] = deque()  # of the batches between preparing and decoding, in order

        def read_inputs() -> Generator[Tensors, None, None]:
            ahead = self.streams * self.batch + 2
            with closing(map_in_order(self._pool, self._prepare, pictures, ahead)) as prepared:
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
        """Raw outputs by name, not decoded.

        Args:
            batch: pictures resized as `input` says: either float32, normalised and laid out as it says too; or uint8
                `(N, H, W, 3)` RGB (one channel for "GRAY"), which are normalised here.
        """
        self._check_process()
        return self._session.infer({self.input.name: batch})

    def close(self) -> None:
        """End the worker threads and free the engine's memory."""
        self._pool.shutdown()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise Unsupported(f"{self!r} cannot be sent to another process nor copied; load it there, once, by its name or folder")

    def _check_process(self) -> None:
        """Threads of pool and engine stay with the process that opened them: a forked one would wait for them for ever."""
        if self._opened_by != os.getpid():
            raise Conflict(f"{self!r} was opened before this process was forked; load it in this process, once")

    def _predict_batch(self, pictures: Sequence[Picture], threshold: float | None) -> list[list[Annotation]]:
        batch, placements = self._place(self._open_all(pictures))
        return self._decode(self.predict_raw(batch), placements, threshold)

    def _open_all(self, pictures: Sequence[Picture]) -> list[np.ndarray]:
        if len(pictures) == 1 or all(isinstance(picture, np.ndarray) for picture in pictures):
            return [self._open(picture) for picture in pictures]
        return list(map_in_order(self._pool, self._open, pictures, len(pictures)))

    def _open(self, picture: Picture) -> np.ndarray:
        return open_picture(picture, self.max_pixels)

    def _prepare(self, picture: Picture) -> tuple[np.ndarray, list[Placement]]:
        return self._place([self._open(picture)])

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


def check_confidence(threshold: float | None) -> None:
    """Raises: InvalidInput for a threshold outside 0..1; None is the model's own."""
    if threshold is not None and not 0 <= threshold <= 1:  # NaN neither
        raise InvalidInput(f"expected a confidence threshold in 0..1, got {threshold}; 0.5 is a common choice")


def iterate_pictures(images: Iterable[Picture]) -> Iterator[Picture]:
    """Each of several pictures. Raises: InvalidInput for what holds none: a file, too, would give its lines."""
    try:
        if hasattr(images, "read"):
            raise TypeError
        return iter(images)
    except TypeError:
        raise InvalidInput(f"expected {PICTURE_WORDS}, or a list of them, got {type(images).__name__}") from None


def open_picture(picture: Picture, max_pixels: int) -> np.ndarray:
    """The picture as uint8 `(H, W, 3)` RGB, read when it is a path, decoded when it is bytes.

    Raises: InvalidInput for what is no picture; as `imaging.reading.read_image`.
    """
    if isinstance(picture, np.ndarray):
        return picture
    if isinstance(picture, ENCODED_TYPES):
        return decode_image(bytes(picture), max_pixels)
    if isinstance(picture, (str, os.PathLike)):
        return read_image(Path(picture), max_pixels)
    raise InvalidInput(f"expected {PICTURE_WORDS}, got {type(picture).__name__}")


def open_predictor(
    folder: Path,
    engine: str | None = None,
    streams: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    fixed_shapes: int | None = None,
    plan_folder: Path | None = None,
    max_pixels: int | None = None,
) -> Predictor:
    """Open an Artifact or a Model folder after checking its files against their hashes.

    Args:
        folder: holds the manifest; its kind decides.
        engine: None takes the Artifact's own, or OpenVINO for a Model (FP32, or INT8 when it came quantised).
        streams, threads, batch: None takes the Artifact's tuned values, or one stream on all threads and single pictures for a
            Model; streams and threads only as many as the settings have threads.
        fixed_shapes: how many input shapes get a plan of their own; None takes the usual number.
        plan_folder: as in `SessionOptions`.
        max_pixels: largest picture that is decoded; None takes that of the settings.

    Raises: NotFound, CorruptFile, InvalidInput; Unsupported when the engine cannot open the Artifact's file.
    """
    manifest, settings = read_runnable_manifest(folder), read_settings()
    verify_files(folder, manifest.files)
    if isinstance(manifest, ArtifactManifest):
        engine = engine or manifest.engine
        tuned, tuned_batch, graph = (manifest.streams, manifest.threads), manifest.batch, folder / manifest.graph_file
    else:
        engine = engine or DEFAULT_ENGINE
        tuned, tuned_batch, graph = (1, settings.threads), 1, folder / MODEL_GRAPH
    threads = threads or min(tuned[1], max(1, settings.threads // (streams or 1)))
    streams = streams or min(tuned[0], max(1, settings.threads // threads))
    plain = SessionOptions(manifest.precision, streams, threads, pixels=manifest.input, plan_folder=plan_folder)
    options = msgspec.structs.replace(plain, fixed_shapes=fixed_shapes or plain.fixed_shapes)
    session = load_backend(engine).open(graph, options)
    try:
        check_graph(session, manifest)
    except Unsupported:
        session.close()
        raise
    return Predictor(manifest, session, engine, options, batch or tuned_batch, folder=folder, max_pixels=max_pixels)


def read_runnable_manifest(folder: Path) -> ModelManifest | ArtifactManifest:
    """The manifest of a Model or Artifact folder. Raises: NotFound, InvalidInput for another kind."""
    if not (folder / MANIFEST_NAME).is_file():
        return read_manifest(folder, ModelManifest)  # raises NotFound with its own words
    kind = read_kind(folder)
    if kind == "artifact":
        return read_manifest(folder, ArtifactManifest)
    if kind == "model":
        return read_manifest(folder, ModelManifest)
    raise InvalidInput(f"expected a Model or an Artifact, got a {kind} in {folder}; compile or train first")


def check_graph(session: Session, manifest: ModelManifest | ArtifactManifest) -> None:
    """Check that the graph has the tensors its manifest names. Raises: Unsupported."""
    if session.input_names != (manifest.input.name,) or not set(manifest.decode.outputs) <= set(session.output_names):
        raise Unsupported(
            f"manifest names input {manifest.input.name!r} and outputs {list(manifest.decode.outputs)}, the graph has "
            f"{list(session.input_names)} and {list(session.output_names)}; export the Model again"
        )
