"""A session of PyTorch: kernels are captured for the first few shapes of the inputs, and launched anew for all others."""

import functools
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from sightline.core.errors import Exhausted, InvalidInput
from sightline.runtime.backend import (
    LayerRow,
    SessionOptions,
    Tensors,
    TensorType,
    check_open,
    check_profiled,
    convert_inputs,
)
from sightline.runtime.backends.cuda.joining import join_kernels
from sightline.runtime.backends.cuda.layer_times import LayerTimes
from sightline.runtime.backends.cuda.network import TorchNetwork, Values
from sightline.runtime.backends.cuda.pixels import PixelInput
from sightline.runtime.backends.cuda.slots import Arrays, Body, CapturedSlot, Slots, view_array
from sightline.runtime.in_flight import InFlight
from sightline.runtime.ordered import map_in_order

SETTINGS = threading.Lock()  # of PyTorch, which all threads of the process share
PlanKey = tuple[tuple[tuple[int, ...], ...], bool]  # shapes of the inputs; whether they are pictures


class TorchSession:
    """An opened ONNX graph.

    Args:
        graph: `.onnx` file.
        options: `threads` says nothing here: each stream has a thread that waits for the device.
        device: a CUDA GPU; on the CPU, where nothing is captured, the same steps run for the tests.
        joins: let TorchInductor write the kernels that are captured.
    """

    def __init__(self, graph: Path, options: SessionOptions, device: torch.device, joins: bool = False) -> None:
        self._options, self._device, self._joins = options, device, joins
        with explain_errors(f"open {graph}"):
            self._network = TorchNetwork(graph, options.precision, device)
        self.input_names = tuple(value.name for value in self._network.inputs)
        self.output_names = tuple(value.name for value in self._network.outputs)
        self._types = {value.name: read_dtype(value) for value in self._network.inputs}
        self._pixels = self._make_pixels()
        self._slots: dict[PlanKey, Slots] = {}
        self._captured_shapes = options.fixed_shapes if device.type == "cuda" else 0
        if options.profile or (options.plans_any_size and self._has_free_sizes()):
            self._captured_shapes = 0
        self._times = LayerTimes(device)
        self._lock = threading.Lock()
        self._in_flight = InFlight()
        self._pool = ThreadPoolExecutor(options.streams, thread_name_prefix="torch")

    @property
    def plan_count(self) -> int:
        """Kinds and shapes of inputs that kernels are captured for; they share the weights."""
        return max(1, len(self._slots))

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        """Element types and shapes of the inputs and outputs."""
        check_open(self._network is not None)
        return self._network.inputs, self._network.outputs

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Run one batch. Raises: InvalidInput on wrong names, types or shapes; Exhausted when the device's memory is."""
        with self._in_flight:
            is_pixels = self._pixels is not None and self._is_pixels(inputs)
            arrays = dict(inputs) if is_pixels else convert_inputs(inputs, self._types, self._options.pixels)
            self._check_shapes(arrays, is_pixels)
            with explain_errors("run this input"):
                slots = self._find_slots(arrays, is_pixels)
                if slots is None:
                    return self._launch(arrays, is_pixels)
                with slots.use(arrays) as slot:
                    return slot.run(arrays)

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        """Run many batches, in order; one more than `streams` is taken, so that no stream waits for the reader."""
        return map_in_order(self._pool, self.infer, inputs, self._options.streams + 1)

    def layers(self) -> list[LayerRow]:
        """Layers and their median time, launched one by one and not captured: each has a clock of its own before and behind."""
        check_profiled(self._options.profile, self._times.inference_count)
        return self._times.list_rows()

    def close(self) -> None:
        """Wait for what is in flight and free memory, the device's too."""
        self._pool.shutdown()
        self._in_flight.close()
        with SETTINGS:  # not while another session captures
            while self._slots:
                self._slots.popitem()[1].close()
            self._network = None  # type: ignore[assignment] # what is in flight has ended, and `check_open` tells later callers
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _make_pixels(self) -> PixelInput | None:
        """What normalises pictures on the device; None where no spec was given, or the network takes integers itself."""
        spec = self._options.pixels
        if spec is None or self.input_names != (spec.name,) or np.dtype(self._types[spec.name]).kind != "f":
            return None
        return PixelInput(spec, self._device)

    def _is_pixels(self, inputs: Mapping[str, np.ndarray]) -> bool:
        return tuple(inputs) == self.input_names and inputs[self.input_names[0]].dtype == np.uint8

    def _has_free_sizes(self) -> bool:
        return any(-1 in value.shape[1:] for value in self._network.inputs)

    def _check_shapes(self, arrays: Tensors, is_pixels: bool) -> None:
        """Raises: InvalidInput for shapes that the graph does not state."""
        for value in self._network.inputs:
            stated, shape = value.shape, arrays[value.name].shape
            if is_pixels and self._options.pixels is not None and self._options.pixels.layout == "NCHW" and len(shape) == 4:
                shape = (shape[0], shape[3], *shape[1:3])
            if len(stated) != len(shape) or any(size not in (-1, given) for size, given in zip(stated, shape, strict=True)):
                words = ["?" if size < 0 else str(size) for size in stated]
                raise InvalidInput(
                    f"expected {value.name!r} of shape [{','.join(words)}], got {shape}; prepare it by the Model's input spec"
                )

    def _find_slots(self, arrays: Tensors, is_pixels: bool) -> Slots | None:
        """The slots for these shapes; None for what comes after the first few. What the network refuses counts as none."""
        key = tuple(array.shape for array in arrays.values()), is_pixels
        with self._lock:
            self._slots = {shapes: slots for shapes, slots in self._slots.items() if not slots.has_failed}
            if key not in self._slots and len(self._slots) < self._captured_shapes:
                write = functools.partial(self._write, is_pixels=is_pixels)
                self._slots[key] = Slots(write, self._capture, self._options.streams)
            return self._slots.get(key)

    def _prepare(self, values: Values, is_pixels: bool) -> Values:
        if not is_pixels:
            return values
        assert self._pixels is not None
        return {name: self._pixels.normalise(value) for name, value in values.items()}

    def _write(self, arrays: Arrays, is_pixels: bool) -> Body:
        """What launches the kernels for inputs of these shapes."""
        with self._settings():
            prepared = self._prepare(self._move(arrays), is_pixels)
            network, _ = self._network.bind(prepared)
            # Joined without what prepares pictures: tensors and pictures then need the same kernels, compiled once.
            run = join_kernels(network.run, prepared) if self._joins else network.run
        return lambda values: run(self._prepare(values, is_pixels))

    def _capture(self, body: Body, arrays: Arrays) -> CapturedSlot:
        with self._settings():
            return CapturedSlot(body, arrays, self._device)

    def _launch(self, arrays: Arrays, is_pixels: bool) -> Tensors:
        """Launch every kernel anew."""
        with self._settings():
            prepared = self._prepare(self._move(arrays), is_pixels)
            network, outputs = self._network.bind(prepared)
            if self._options.profile:
                outputs = self._times.run(network, prepared)
            return {name: value.to("cpu", copy=True).numpy() for name, value in outputs.items()}

    def _move(self, arrays: Arrays) -> Values:
        return {name: view_array(array).to(self._device) for name, array in arrays.items()}

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """How PyTorch computes inside; its settings are the process's, so one thread at a time changes and restores them.

        FP32 is FP32: cuDNN would round the inputs of its convolutions to TF32. Half precision takes the fastest kernel.
        """
        exact = self._options.precision == "fp32"
        flags = {"enabled": True, "benchmark": not exact, "deterministic": False, "allow_tf32": not exact}
        with SETTINGS, torch.no_grad(), torch.backends.cudnn.flags(**flags):
            yield


def read_dtype(value: TensorType) -> np.dtype[np.generic]:
    """Element type of an input as numpy has it."""
    return np.dtype(np.float32 if value.dtype == "bfloat16" else value.dtype)


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """Raises: Exhausted when the device's memory is; InvalidInput for what else PyTorch refuses.

    A failure of the device itself is nobody's input, and no later call in this process succeeds: it stays as it is.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise Exhausted(
            f"PyTorch cannot {what}: the GPU's memory is used up; use smaller batches or fewer streams, or free it from others"
        ) from error
    except torch.AcceleratorError:
        raise
    except RuntimeError as error:
        raise InvalidInput(f"PyTorch cannot {what}: {' '.join(str(error).split())}") from error
