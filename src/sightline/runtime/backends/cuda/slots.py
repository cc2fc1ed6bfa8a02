"""What runs a network for inputs of one shape: a CUDA graph that replays the kernels of one inference.

A network launches a hundred kernels or more, some of which take less time than their launch: captured in a CUDA graph they
start one after the other without the CPU. A slot owns its buffers, so each inference in flight has one of its own.
"""

import gc
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import numpy as np
import torch

from sightline.runtime.backends.cuda.network import Values

Body = Callable[[Values], Values]
Arrays = Mapping[str, np.ndarray]
WARM_UPS = 2  # cuDNN chooses its kernels in the first run; nothing may be chosen while kernels are captured


def view_array(array: np.ndarray) -> torch.Tensor:
    """A tensor over the array's memory, or over a copy: PyTorch has none that may not be written or that run backwards."""
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


class CapturedSlot:
    """Replays the kernels that one inference launched.

    Args:
        body: launches the kernels; it may neither wait for the device nor read CPU memory. Whoever has it keeps it as long as
            the slot: the kernels go on reading its constants.
        examples: inputs of the shapes and types that it is captured for.
        device: a CUDA GPU.
    """

    def __init__(self, body: Body, examples: Arrays, device: torch.device) -> None:
        self._stream = _take_stream(device)
        # A thread that waits leaves its core to those that decode pictures.
        self._ready = torch.cuda.Event(blocking=True)
        self._staged = {name: view_array(array).clone().pin_memory() for name, array in examples.items()}
        self._graph = torch.cuda.CUDAGraph()
        with torch.no_grad():
            self._inputs = {name: staged.to(device) for name, staged in self._staged.items()}
            self._stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    body(self._inputs)
            self._stream.synchronize()
            with _nothing_collected(), torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outputs = body(self._inputs)
            self._results = {name: torch.empty_like(value, device="cpu").pin_memory() for name, value in self._outputs.items()}

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The outputs, which are the caller's to keep; one inference at a time."""
        for name, staged in self._staged.items():
            staged.copy_(view_array(inputs[name]))
        with torch.no_grad(), torch.cuda.stream(self._stream):
            for name, staged in self._staged.items():
                self._inputs[name].copy_(staged, non_blocking=True)
            self._graph.replay()
            for name, result in self._results.items():
                result.copy_(self._outputs[name], non_blocking=True)
            self._ready.record()
        self._ready.synchronize()
        return {name: result.numpy().copy() for name, result in self._results.items()}

    def close(self) -> None:
        """Let another slot have the stream; nothing may run in this one."""
        _free_streams.append(self._stream)


# Each stream keeps 30 MB that cuBLAS works in, so slots that come after others take theirs.
_free_streams: "list[torch.cuda.Stream]" = []


def _take_stream(device: torch.device) -> torch.cuda.Stream:
    with suppress(IndexError):
        return _free_streams.pop()
    return torch.cuda.Stream(device)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Without Python's garbage collector: a graph or an event of another session that it freed would end the capture."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Slots:
    """The slots of one set of shapes: as many as there are streams, captured when they are needed.

    Args:
        write: makes what launches the kernels for inputs such as these, once; it is kept, and with it the constants that the
            captured kernels read.
        capture: makes a slot of it.
        most: inferences in flight.

    Attributes:
        has_failed: whether none could be made.
    """

    def __init__(self, write: Callable[[Arrays], Body], capture: Callable[[Body, Arrays], CapturedSlot], most: int) -> None:
        self._write, self._capture, self._most = write, capture, most
        self._body: Body | None = None
        self._free: queue.SimpleQueue[CapturedSlot] = queue.SimpleQueue()
        self._made: list[CapturedSlot] = []
        self._lock = threading.Lock()
        self.has_failed = False

    @contextmanager
    def use(self, inputs: Arrays) -> Iterator[CapturedSlot]:
        """A slot that nobody else uses meanwhile; waits for one while all are in use."""
        slot = self._take(inputs)
        try:
            yield slot
        finally:
            self._free.put(slot)

    def _take(self, inputs: Arrays) -> CapturedSlot:
        with suppress(queue.Empty):
            return self._free.get_nowait()
        with self._lock:  # whoever finds too few makes one, and others wait for it rather than capture beside it
            if len(self._made) < self._most:
                return self._make(inputs)
        return self._free.get()

    def _make(self, inputs: Arrays) -> CapturedSlot:
        try:
            self._body = self._body or self._write(inputs)
            self._made.append(self._capture(self._body, inputs))
        finally:
            self.has_failed = not self._made
        return self._made[-1]

    def close(self) -> None:
        """Close all slots, none of which is in use."""
        for slot in self._made:
            slot.close()
