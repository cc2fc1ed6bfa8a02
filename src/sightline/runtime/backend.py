"""The seam between Sightline and an inference engine: a Backend opens a graph file into a Session, a Session infers.

Everything an engine may differ in is in `SessionOptions`; everything else (preparing pictures, decoding outputs, queues) lives
above and never asks which engine it has. `reference` defines what is correct; one conformance suite runs every back end in
`backends/table.py` against it.
"""

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import InputSpec, Precision
from sightline.imaging.preprocessing import is_identity, normalise_batch

Tensors = dict[str, np.ndarray]  # tensor name -> array, batch first


class SessionOptions(msgspec.Struct, frozen=True):
    """How a graph is run.

    Attributes:
        precision: arithmetic of the layers that are free to choose. An INT8 graph states its own quantised layers.
        streams: inferences in flight; more than one raises throughput and latency.
        threads: threads for each stream.
        profile: record the time of every layer (slows inference); `Session.layers` needs it. Only with one stream.
        pixels: how a picture becomes the input that it names. The session then also takes, in place of that float tensor, the
            uint8 pictures of `imaging.preprocessing.place_batch`, and normalises them itself, inside the network where the
            engine can.
        fixed_shapes: this many of the first input shapes get a plan of their own where the engine gains by it; each holds its
            own copy of the packed weights.
        plans_any_size: a graph that leaves more than its batch free gets one plan for all sizes, made when it is opened, and
            none for single ones: no inference waits for the engine to plan, and a graph that it cannot run is refused at once.
        plan_folder: where an engine that can keeps its plans and finds them again, of `plan_store.open_plan_folder`; None: each
            session plans for itself.
    """

    precision: Precision = "fp32"
    streams: int = 1
    threads: int = 2
    profile: bool = False
    pixels: InputSpec | None = None
    fixed_shapes: int = 3
    plans_any_size: bool = False
    plan_folder: Path | None = None


class TensorType(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of a graph: its element type in numpy's words ("float32"), and its shape, -1 where it is free.

    Arrays of "bfloat16" are float32, since numpy has no such type.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


class LayerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One layer as the engine really runs it, after fusion.

    Attributes:
        name: the engine's name of it.
        source_layers: names of the graph's nodes that were fused into it.
        kind: operator: "Convolution", "QLinearConv", ...
        primitive: the kernel that ran, in the engine's words: "brgemm_avx512_I8", "CPUExecutionProvider".
        precision: arithmetic it ran in: "int8", "fp16", "bf16", "fp32", or another type's name.
        time_us: typical time of one inference since the session was opened, microseconds.
        share: part of the sum over all layers, 0..1.
        device: where it ran, in a network that several devices share; else None.
    """

    name: str
    source_layers: tuple[str, ...]
    kind: str
    primitive: str
    precision: str
    time_us: float
    share: float
    device: str | None = None


class Session(Protocol):
    """An opened graph. `infer` may be called from several threads."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    @property
    def plan_count(self) -> int:
        """Plans that it holds now, each with its own copy of the packed weights; inputs of a new kind or shape may add some."""

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and of the outputs, as the graph states them."""

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch; the returned arrays are the caller's to keep. Raises: InvalidInput on wrong names, types or shapes."""

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches with `streams` in flight; results come in the order of the inputs, memory stays bounded."""

    def layers(self) -> list[LayerRow]:
        """Layers as they ran, in order. Raises: InvalidInput unless opened with `profile=True` and used at least once."""

    def close(self) -> None:
        """Wait for what is in flight and free the engine's memory; the session cannot be used afterwards, only closed again."""


class Backend(Protocol):
    """An inference engine on one kind of device."""

    name: str
    device: str
    graph_suffixes: tuple[str, ...]

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Arithmetic this machine runs in hardware with this engine."""

    def missing(self) -> str | None:
        """What must be installed before `open` can work, as one line, or None when nothing is missing."""

    def absent(self) -> str | None:
        """The device that this machine lacks, as one line, or None. Asked only when nothing is missing."""

    def describe_device(self) -> dict[str, object]:
        """What tells this machine's device from others of its kind, beside the facts of the host."""

    def open(self, graph: Path, options: SessionOptions) -> Session:
        """Open a graph file. Raises: NotFound, Unsupported, InvalidInput."""


class RunsOnCpu:
    """A part of back ends that run on the CPU, be it to emulate another device."""

    def absent(self) -> str | None:
        """Nothing is."""
        return None

    def describe_device(self) -> dict[str, object]:
        """Nothing: the host's facts describe the CPU."""
        return {}


def check_openable(backend: Backend, graph: Path, options: SessionOptions) -> None:
    """Refuse what a back end does not declare, before the engine sees it. Raises: NotFound, Unsupported, InvalidInput."""
    if not graph.is_file():
        raise NotFound(f"expected a graph file, got {graph}, which is not there; compile or export the Model again")
    if graph.suffix not in backend.graph_suffixes:
        raise Unsupported(f"{backend.name} opens {' or '.join(backend.graph_suffixes)}, got {graph.name}; use another engine")
    if options.precision not in backend.precisions:
        raise Unsupported(f"{backend.name} runs {', '.join(backend.precisions)}, got {options.precision}; use another engine")
    if options.streams < 1 or options.threads < 1:
        raise InvalidInput(f"expected at least 1 stream and 1 thread, got {options.streams} and {options.threads}")
    if options.profile and options.streams > 1:
        raise InvalidInput(f"expected one stream to profile layers, got {options.streams}; open a session of its own for it")


def convert_inputs(
    inputs: Mapping[str, np.ndarray], types: Mapping[str, type | np.dtype[Any] | None], pixels: InputSpec | None
) -> Tensors:
    """The inputs in the graph's order and element types, contiguous. Raises: InvalidInput for other names or no numbers.

    Args:
        types: element type of each input by name; None leaves an input as it is.
        pixels: as in `SessionOptions`: uint8 pictures under its name are normalised here.
    """
    inputs = normalise_pixels(inputs, pixels)
    if set(inputs) != set(types):
        raise InvalidInput(f"expected inputs {sorted(types)}, got {sorted(inputs)}; name them as the graph does")
    try:
        return {name: _lay_out(inputs[name], kind) for name, kind in types.items()}
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected inputs of numbers, got {error}; prepare pictures with imaging.preprocessing") from error


def _lay_out(values: np.ndarray, kind: type | np.dtype[Any] | None) -> np.ndarray:
    """Contiguous, a scalar still without an axis, and of its own: OpenVINO's binding takes none that is read-only."""
    array = np.asarray(values, dtype=kind, order="C")
    return array if array.ndim else array.copy()


def normalise_pixels(inputs: Mapping[str, np.ndarray], pixels: InputSpec | None) -> Mapping[str, np.ndarray]:
    """The inputs with uint8 pictures `(N, H, W, C)` made the float tensor that `pixels` describes."""
    if pixels is None or pixels.name not in inputs or inputs[pixels.name].dtype != np.uint8 or is_identity(pixels):
        return inputs
    return {**inputs, pixels.name: normalise_batch(inputs[pixels.name], pixels)}


def check_open(is_open: bool) -> None:
    """Refuse to use a closed session. Raises: InvalidInput."""
    if not is_open:
        raise InvalidInput("expected an open session, got one that was closed; open the graph again")


def check_profiled(profile: bool, inference_count: int) -> None:
    """Check that there is a profile to read. Raises: InvalidInput."""
    if not profile or inference_count == 0:
        raise InvalidInput(
            f"layers are known after an inference with profile=True, got profile={profile} and {inference_count} inferences; "
            "open the session with SessionOptions(profile=True) and infer once"
        )
