"""ONNX Runtime on the CPU.

One `InferenceSession` serves all streams: its `run` is thread-safe, so a stream is a thread of a small pool that calls it.
"""

import importlib.util
import shutil
import statistics
import tempfile
import threading
import weakref
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import Precision
from sightline.runtime.backend import (
    LayerRow,
    RunsOnCpu,
    SessionOptions,
    Tensors,
    TensorType,
    check_open,
    check_openable,
    check_profiled,
    convert_inputs,
)
from sightline.runtime.in_flight import InFlight
from sightline.runtime.ordered import map_in_order

# Folds Pad(0) into a MaxPool that then pads with -inf: 3.4 % error on tiny-YOLOv2 (onnxruntime issue 24737).
WRONG_OPTIMISERS = ["Pad_Fusion"]
NUMPY_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
}
PRECISION_OF_TYPE = {"float": "fp32", "uint8": "int8", "int8": "int8", "bfloat16": "bf16", "float16": "fp16"}


class OnnxRuntimeSession:
    """An opened ONNX graph."""

    plan_count = 1  # for inputs of every shape

    def __init__(self, graph: Path, options: SessionOptions, optimise: bool = True) -> None:
        self._options = options
        self._engine_errors = find_engine_errors()
        profile_folder = Path(tempfile.mkdtemp(prefix="sightline-profile-")) if options.profile else None
        self._remove_profile = weakref.finalize(self, _remove_folder, profile_folder)  # also when opening fails
        try:
            self._session = _open_session(graph, options, optimise, profile_folder)
        except self._engine_errors as error:
            raise InvalidInput(f"ONNX Runtime cannot open {graph}: {' '.join(str(error).split())}") from error
        self._refuse_bf16(graph)
        self._types = {value.name: NUMPY_TYPES.get(value.type) for value in self._session.get_inputs()}
        self.input_names = tuple(self._types)
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self._pool = ThreadPoolExecutor(options.streams, thread_name_prefix="onnxruntime")
        self._in_flight = InFlight()
        self._lock = threading.Lock()
        self._inference_count = 0
        self._rows: list[LayerRow] | None = None

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and outputs."""
        check_open(self._session is not None)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return tuple(map(_describe_tensor, inputs)), tuple(map(_describe_tensor, outputs))

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch. Raises: InvalidInput on wrong names, types or shapes."""
        with self._in_flight:
            feed = convert_inputs(inputs, self._types, self._options.pixels)
            try:
                outputs = self._session.run(self.output_names, feed)
            except self._engine_errors as error:
                raise InvalidInput(f"ONNX Runtime refuses this input: {' '.join(str(error).split())}") from error
        with self._lock:
            self._inference_count += 1
        return dict(zip(self.output_names, outputs, strict=True))

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches, in order; one more than `streams` is taken, so that no stream waits for the reader."""
        return map_in_order(self._pool, self.infer, inputs, self._options.streams + 1)

    def layers(self) -> list[LayerRow]:
        """Layers and their median time. The first call ends the profile: later inferences are not counted in it."""
        check_profiled(self._options.profile, self._inference_count)
        with self._lock:
            if self._rows is None:
                events = msgspec.json.decode(Path(self._session.end_profiling()).read_bytes())
                self._rows = read_layer_rows(events)
        return self._rows

    def _refuse_bf16(self, graph: Path) -> None:
        """Its binding has no arrays of that type. Raises: Unsupported."""
        for value in (*self._session.get_inputs(), *self._session.get_outputs()):
            if value.type == "tensor(bfloat16)":
                raise Unsupported(
                    f"expected {graph.name} to take and give types of numpy, got bfloat16 {value.name!r}; use openvino"
                )

    def close(self) -> None:
        """Wait for what is in flight and free memory."""
        self._pool.shutdown()
        self._in_flight.close()
        self._session = None
        self._remove_profile()


class OnnxRuntimeBackend(RunsOnCpu):
    """ONNX Runtime with its own graph optimisations."""

    name = "onnxruntime"
    device = "cpu"
    precisions: tuple[Precision, ...] = ("int8", "fp32")
    graph_suffixes: tuple[str, ...] = (".onnx",)

    def missing(self) -> str | None:
        """What must be installed, or None."""
        return None if importlib.util.find_spec("onnxruntime") else "ONNX Runtime is not installed; pip install onnxruntime"

    def open(self, graph: Path, options: SessionOptions) -> OnnxRuntimeSession:
        """Open an `.onnx` file. Raises: NotFound, Unsupported, InvalidInput."""
        check_openable(self, graph, options)
        return OnnxRuntimeSession(graph, options)


def find_engine_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a graph or an input it cannot take, be it on opening or on running."""
    import onnxruntime

    state = onnxruntime.capi.onnxruntime_pybind11_state
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return tuple(getattr(state, name) for name in names)


def _describe_tensor(value: Any) -> TensorType:
    known = NUMPY_TYPES.get(value.type)
    dtype = np.dtype(known).name if known else str(value.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorType(name=value.name, dtype=dtype, shape=shape)


def _remove_folder(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _open_session(graph: Path, options: SessionOptions, optimise: bool, profile_folder: Path | None) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    # Concurrent runs share one pool of threads; with one thread a stream they need none.
    settings.intra_op_num_threads = 1 if options.threads == 1 else options.threads * options.streams
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # what fails is raised; it would also write each bad input in red to standard error
    # Idle threads would otherwise spin on cores that decode pictures meanwhile.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    levels = onnxruntime.GraphOptimizationLevel
    settings.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if profile_folder is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile_folder / "layers")
    return onnxruntime.InferenceSession(
        graph, settings, providers=["CPUExecutionProvider"], disabled_optimizers=WRONG_OPTIMISERS if optimise else None
    )


def read_layer_rows(events: list[dict[str, Any]]) -> list[LayerRow]:
    """Layer rows from the events of a profile: median time of each node over the inferences recorded."""
    times: dict[str, list[float]] = {}
    nodes: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(float(event["dur"]))
            nodes[name] = event["args"]
    medians = {name: statistics.median(values) for name, values in times.items()}
    total = sum(medians.values()) or 1.0
    return [
        LayerRow(
            name=name,
            source_layers=(name,),
            kind=nodes[name]["op_name"],
            primitive=nodes[name].get("provider", ""),
            precision=_find_precision(nodes[name]),
            time_us=median,
            share=median / total,
        )
        for name, median in medians.items()
    ]


def _find_precision(node: dict[str, Any]) -> str:
    """Type of the node's first input: what the kernel computes with (a QuantizeLinear reads float, a QLinearConv uint8)."""
    shapes: list[dict[str, Any]] = node.get("input_type_shape", [])
    types = [name for shape in shapes for name in shape]
    return PRECISION_OF_TYPE.get(types[0], types[0]) if types else "none"
