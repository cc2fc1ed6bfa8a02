"""Several devices as one: a network in segments, each in the engine of its device, run one after the other.

A JSON file lists the segments in order; their files lie beside it. Tensors go from one segment to the next by name, as FP32
arrays, and are dropped when no later segment reads them.
"""

import threading
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.core.manifests import Precision
from sightline.runtime.backend import (
    Backend,
    LayerRow,
    RunsOnCpu,
    Session,
    SessionOptions,
    Tensors,
    TensorType,
    check_open,
    check_openable,
    check_profiled,
    normalise_pixels,
)
from sightline.runtime.ordered import map_in_order

SUFFIX = ".hetero.json"
MAX_FILE_BYTES = 16 << 20


class Segment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the network.

    Attributes:
        file: beside the list; what the engine opens.
        device: where it runs.
        engine: back end that runs it.
        precision: of its arithmetic.
        inputs, outputs: names of the tensors it reads and gives on.
    """

    file: str
    device: str
    engine: str
    precision: Precision
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class HeteroNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hetero", tag_field="kind"):
    """The segments in the order they run, and the names of the network's own inputs and outputs."""

    format_version: int = 1
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    segments: tuple[Segment, ...]


def write_hetero(network: HeteroNetwork, path: Path) -> None:
    """Write the list; the files of the segments must lie beside it. Raises: InvalidInput when it does not fit together."""
    check_network(network, path)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(network), indent=1))


def read_hetero(path: Path) -> HeteroNetwork:
    """Read a list of segments. Raises: InvalidInput."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"cannot open {path}: {path.stat().st_size} bytes are too many for a list of segments")
    try:
        network = msgspec.json.decode(path.read_bytes(), type=HeteroNetwork)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot open {path} as a list of segments: {error}; compile the Model again") from error
    check_network(network, path)
    return network


def check_network(network: HeteroNetwork, path: Path) -> None:
    """Raises: InvalidInput unless every tensor is there when it is read and every file lies beside the list."""
    known = set(network.inputs)
    for segment in network.segments:
        is_list = segment.file.endswith(SUFFIX)
        if Path(segment.file).name != segment.file or segment.engine == HeteroBackend.name or is_list:
            raise InvalidInput(f"cannot open {path}: expected a file beside it and one engine, got {segment.file!r}")
        known = _add_outputs(known, segment, path)
    if not network.segments or not set(network.outputs) <= known:
        raise InvalidInput(f"cannot open {path}: no segment makes {sorted(set(network.outputs) - known)}; compile again")


def _add_outputs(known: set[str], segment: Segment, path: Path) -> set[str]:
    if missing := set(segment.inputs) - known:
        raise InvalidInput(f"cannot open {path}: {segment.file} reads {sorted(missing)}, which nothing makes before it")
    return known | set(segment.outputs)


class HeteroSession:
    """An opened list of segments."""

    def __init__(self, graph: Path, options: SessionOptions, engines: Mapping[str, Backend]) -> None:
        self._network, self._options = read_hetero(graph), options
        self._sessions: list[Session] = []
        self._inference_count = 0
        self._is_open = True
        self._lock = threading.Lock()
        try:
            for segment in self._network.segments:
                self._sessions.append(_open_segment(segment, graph, options, engines[segment.engine]))
        except BaseException:
            self._close_sessions()
            raise
        self.input_names = self._network.inputs
        self.output_names = self._network.outputs
        self._needed = [self._read_after(place) for place in range(len(self._network.segments))]
        self._pool = ThreadPoolExecutor(options.streams, thread_name_prefix="hetero")

    @property
    def plan_count(self) -> int:
        """Plans of all segments together."""
        return sum(session.plan_count for session in self._sessions)

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and outputs, as the segments that read and make them state them."""
        check_open(self._is_open)
        read: dict[str, TensorType] = {}
        made: dict[str, TensorType] = {}
        for session in reversed(self._sessions):  # the first reader of an input and the first maker of an output count
            inputs, outputs = session.describe_tensors()
            read |= {tensor.name: tensor for tensor in inputs}
            made |= {tensor.name: tensor for tensor in outputs}
        return tuple(read[name] for name in self.input_names), tuple(made[name] for name in self.output_names)

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch through all segments. Raises: InvalidInput on wrong names, types or shapes."""
        check_open(self._is_open)
        if set(inputs) != set(self.input_names):
            raise InvalidInput(f"expected inputs {sorted(self.input_names)}, got {sorted(inputs)}; name them as the graph does")
        tensors: Tensors = dict(normalise_pixels(inputs, self._options.pixels))
        for segment, session, needed in zip(self._network.segments, self._sessions, self._needed, strict=True):
            tensors |= session.infer({name: tensors[name] for name in segment.inputs})
            tensors = {name: value for name, value in tensors.items() if name in needed}
        with self._lock:
            self._inference_count += 1
        return {name: tensors[name] for name in self.output_names}

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches, in order; each stream takes its batch through all segments."""
        return map_in_order(self._pool, self.infer, inputs, self._options.streams + 1)

    def layers(self) -> list[LayerRow]:
        """Layers of all segments in order; a share is of all time that was measured, and an emulated layer has none."""
        check_profiled(self._options.profile, self._inference_count)
        parts = zip(self._network.segments, self._sessions, strict=True)
        rows = [(segment.device, row) for segment, session in parts for row in session.layers()]
        total = sum(row.time_us for _, row in rows) or 1.0
        return [msgspec.structs.replace(row, share=row.time_us / total, device=device) for device, row in rows]

    def close(self) -> None:
        """Wait for what is in flight and close every segment."""
        self._pool.shutdown()
        self._is_open = False
        self._close_sessions()

    def _close_sessions(self) -> None:
        for session in self._sessions:
            session.close()

    def _read_after(self, place: int) -> set[str]:
        """Tensors that a later segment or the caller reads."""
        later = self._network.segments[place + 1 :]
        return {name for segment in later for name in segment.inputs} | set(self._network.outputs)


class HeteroBackend(RunsOnCpu):
    """Segments of a network on several devices, one after the other."""

    name = "hetero"
    device = "hetero"
    precisions: tuple[Precision, ...] = ("int8", "int16", "bf16", "fp32")
    graph_suffixes: tuple[str, ...] = (".json",)

    def missing(self) -> str | None:
        """Nothing of its own; what a segment's engine needs is said when it is opened."""
        return None

    def open(self, graph: Path, options: SessionOptions) -> HeteroSession:
        """Open a list of segments; each runs in the precision that the list states.

        Raises: NotFound, Unsupported, MissingPackage, InvalidInput.
        """
        from sightline.runtime.backends.table import load_backend  # the table names this back end too

        check_openable(self, graph, options)
        engines = {segment.engine for segment in read_hetero(graph).segments}
        return HeteroSession(graph, options, {name: load_backend(name) for name in engines})


def _open_segment(segment: Segment, graph: Path, options: SessionOptions, engine: Backend) -> Session:
    """Open one segment. Raises: InvalidInput when its file has other inputs or outputs than the list states."""
    of_segment = msgspec.structs.replace(options, precision=segment.precision, pixels=None)  # normalised before the first
    session = engine.open(graph.with_name(segment.file), of_segment)
    if set(session.input_names) != set(segment.inputs) or not set(segment.outputs) <= set(session.output_names):
        session.close()
        raise InvalidInput(
            f"cannot open {graph}: expected {segment.file} from {segment.inputs} to {segment.outputs}, "
            f"got {session.input_names} to {session.output_names}; compile the Model again"
        )
    return session
