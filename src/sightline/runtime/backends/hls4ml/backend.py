"""The FPGA emulator: hls4ml's C++ of a fixed-point network, run bit for bit as the hardware would compute it.

It says what the numbers will be, not how fast: a layer has no time here. The C++ keeps the rows of a picture in static buffers,
so a library runs one picture at a time, whoever asks.
"""

import ctypes
import importlib.util
import threading
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import InvalidInput, MissingPackage
from sightline.core.manifests import Precision
from sightline.core.settings import read_settings
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
from sightline.runtime.backends.hls4ml.build import PROJECT_NAME, describe_compiler, find_library
from sightline.runtime.backends.hls4ml.layers import Plan, make_plan
from sightline.runtime.backends.hls4ml.network import FixedNetwork, Port, read_network
from sightline.runtime.devices import name_node
from sightline.runtime.ordered import map_in_order

_LOCKS: dict[Path, threading.Lock] = {}  # one for each library of this process
_LOCKS_LOCK = threading.Lock()


class EmulatedSession:
    """An opened fixed-point network."""

    plan_count = 1  # the library

    def __init__(self, graph: Path, options: SessionOptions, cache: Path) -> None:
        self._network, content = read_network(graph)
        if options.precision != self._network.precision:
            raise InvalidInput(f"expected precision {self._network.precision} of {graph.name}, got {options.precision}")
        model = _parse_graph(content, graph)
        self._plan = make_plan(self._network, model)
        self._kinds = {name_node(node): node.op_type for node in model.graph.node}
        library = find_library(self._network, content, self._plan, cache)
        with _LOCKS_LOCK:
            self._lock = _LOCKS.setdefault(library, threading.Lock())
        self._function = _load_function(library)
        self._options = options
        self._is_open = True
        self._inference_count = 0
        self.input_names = tuple(port.name for port in self._network.inputs)
        self.output_names = tuple(port.name for port in self._network.outputs)
        self._pool = ThreadPoolExecutor(options.streams, thread_name_prefix="hls4ml")
        self._run([np.zeros(port.size, np.float32) for port in self._network.inputs])  # reads its weights the first time

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and outputs: float32 outside, whatever the emulation computes in."""
        described = [
            tuple(TensorType(name=port.name, dtype="float32", shape=(-1, *port.shape)) for port in ports)
            for ports in (self._network.inputs, self._network.outputs)
        ]
        return described[0], described[1]

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch, picture by picture. Raises: InvalidInput on wrong names, types or shapes."""
        check_open(self._is_open)
        arrays = convert_inputs(inputs, dict.fromkeys(self.input_names, np.float32), self._options.pixels)
        count = self._check_shapes(arrays)
        laid_out = [_put_channels_last(arrays[port.name]) for port in self._network.inputs]
        rows = [self._run([array[index].reshape(-1) for array in laid_out]) for index in range(count)]
        self._inference_count += 1
        return {
            port.name: _put_channels_first([row[place] for row in rows], port, self._plan, place)
            for place, port in enumerate(self._network.outputs)
        }

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches, in order; the library takes them one after the other."""
        return map_in_order(self._pool, self.infer, inputs, self._options.streams + 1)

    def layers(self) -> list[LayerRow]:
        """A row for each node, with the type of its result as its kernel's name; times are 0, since emulation has none."""
        check_profiled(self._options.profile, self._inference_count)
        return describe_layers(self._network, self._kinds)

    def close(self) -> None:
        """Wait for what is in flight; the library stays in the process."""
        self._pool.shutdown()
        self._is_open = False

    def _check_shapes(self, arrays: Tensors) -> int:
        """Number of pictures. Raises: InvalidInput."""
        for port in self._network.inputs:
            if arrays[port.name].shape[1:] != port.shape or arrays[port.name].ndim != len(port.shape) + 1:
                shape = ("N", *port.shape)
                raise InvalidInput(f"expected {port.name!r} of shape {shape}, got {arrays[port.name].shape}")
        counts = {len(array) for array in arrays.values()}
        if len(counts) != 1:
            raise InvalidInput(f"expected inputs of as many pictures each, got {sorted(counts)}")
        return counts.pop()

    def _run(self, vectors: list[np.ndarray]) -> list[np.ndarray]:
        """One picture: flat float32 inputs, channels last, to flat float32 outputs."""
        results = [np.zeros(port.size, np.float32) for port in self._network.outputs]
        vectors = [np.ascontiguousarray(vector) for vector in vectors]
        with self._lock:
            self._function(*(array.ctypes.data_as(ctypes.c_void_p) for array in (*vectors, *results)))
        return results


class Hls4mlBackend(RunsOnCpu):
    """hls4ml's bit-accurate emulation of an FPGA, on the CPU."""

    name = "hls4ml"
    device = "fpga-emulator"
    precisions: tuple[Precision, ...] = ("int8", "int16")
    graph_suffixes: tuple[str, ...] = (".json",)

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def missing(self) -> str | None:
        """What must be installed, or None."""
        if not importlib.util.find_spec("hls4ml") or not importlib.util.find_spec("onnx"):
            return "the FPGA emulation needs hls4ml; pip install 'sightline[fpga]'"
        try:
            describe_compiler()
        except MissingPackage as error:
            return str(error)
        return None

    def open(self, graph: Path, options: SessionOptions) -> EmulatedSession:
        """Open a fixed-point network's `.json`; the first time on a machine it is compiled: seconds to minutes.

        Raises: NotFound, Unsupported, InvalidInput, CorruptFile, Exhausted, Conflict.
        """
        check_openable(self, graph, options)
        return EmulatedSession(graph, options, self._cache or read_settings().cache.expanduser() / "fpga-emulator")


def describe_layers(network: FixedNetwork, kinds: Mapping[str, str]) -> list[LayerRow]:
    """Layer rows of a network. Args: kinds: operator of each node by its name."""
    rows = []
    for layer in network.layers:
        weight = f", weights {layer.weight.text}" if layer.weight else ""
        rows.append(
            LayerRow(
                name=layer.name,
                source_layers=(layer.name,),
                kind=kinds[layer.name],
                primitive=f"{layer.result.text}{weight}",
                precision=network.precision,
                time_us=0.0,
                share=0.0,
            )
        )
    return rows


def _parse_graph(content: bytes, path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise InvalidInput(f"cannot open the graph of {path}: {' '.join(str(error).split())}; compile it again") from error
    return model


def _load_function(library: Path) -> Any:
    function = getattr(ctypes.CDLL(str(library)), f"{PROJECT_NAME}_float")
    function.restype = None
    return function


def _put_channels_last(batch: np.ndarray) -> np.ndarray:
    """`(N, C, H, W)` -> `(N, H, W, C)`; vectors stay."""
    return batch.transpose(0, 2, 3, 1) if batch.ndim == 4 else batch


def _put_channels_first(rows: list[np.ndarray], port: Port, plan: Plan, place: int) -> np.ndarray:
    """The batch of an output in the graph's layout, from flat rows with channels last."""
    tensor = plan.outputs[place]
    picture = tensor.picture or (tensor.shape if len(tensor.shape) == 3 else None)
    batch = np.stack(rows) if rows else np.zeros((0, port.size), np.float32)
    if picture is not None:
        batch = batch.reshape(-1, *picture).transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    return np.ascontiguousarray(batch).reshape(-1, *port.shape)
