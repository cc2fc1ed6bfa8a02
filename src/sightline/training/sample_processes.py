"""Batches made in processes, for a GPU that learns faster than the interpreter's lock lets threads prepare.

The processes are forked when the first batch has been made, so they share the data set's tables with the training process and
nothing is sent to them but step numbers. Step s is made by process s modulo their number, which writes the tensors into memory
that all share; the answer on its pipe says where they lie. That memory belongs to no file system (containers give /dev/shm
little room) and is pinned where it is copied to a GPU.
"""

import ctypes
import mmap
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import msgspec
import numpy as np
import torch
from torch import Tensor

from sightline.core import errors
from sightline.core.errors import Exhausted, SightlineError
from sightline.training.sampling import AHEAD, BatchPlan, ProgressAt
from sightline.training.tasks.task import Batch
from sightline.training.worker_messages import find_public_type

MOST_PROCESSES = 16
ALIGNMENT = 64  # bytes
TARGETS_GROWTH = 4  # times the first batch's targets that a slot has room for; what is larger goes through the pipe
TARGETS_BYTES = 64 << 10  # room for targets at least
END_S = 5.0  # that a process may take to end whose pipe has ended
PR_SET_PDEATHSIG, STDERR = 1, 2


class Request(msgspec.Struct, frozen=True, array_like=True):
    """To a process: the batch to make, and the slot of shared memory to write it to."""

    step: int
    progress: float
    slot: int


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """Where a tensor lies: its dtype and shape as numpy has them, and the offset in its slot; None: in the answer itself."""

    dtype: str
    shape: tuple[int, ...]
    offset: int | None
    content: bytes = b""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """From a process: images and targets, or the error that making them met and its class in `core.errors`."""

    tensors: list[Placed] = []
    mixed: float = 0.0
    error: str | None = None
    error_type: str = ""


class SlotMemory:
    """Memory that this process and those forked later share, in slots of equal size.

    Args:
        slots: how many.
        slot_bytes: of each; pages that nobody writes to take no memory.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self.slot_bytes = -(-slot_bytes // ALIGNMENT) * ALIGNMENT
        self._bytes = np.frombuffer(mmap.mmap(-1, slots * self.slot_bytes), np.uint8)
        self._is_pinned = False

    def pin(self) -> None:
        """Let a GPU copy from here by itself. Where the driver refuses, copies take longer and are the same."""
        status = torch.cuda.cudart().cudaHostRegister(self._bytes.ctypes.data, self._bytes.nbytes, 0)
        self._is_pinned = int(status) == 0

    def unpin(self) -> None:
        """Undo `pin`."""
        if self._is_pinned:
            torch.cuda.cudart().cudaHostUnregister(self._bytes.ctypes.data)
            self._is_pinned = False

    def write(self, slot: int, tensors: Sequence[Tensor]) -> list[Placed]:
        """Put CPU tensors into a slot one after another; those without room there are carried along."""
        placed, end = [], 0
        for array in (tensor.numpy() for tensor in tensors):
            start = -(-end // ALIGNMENT) * ALIGNMENT
            if start + array.nbytes > self.slot_bytes:
                placed.append(Placed(array.dtype.str, array.shape, None, array.tobytes()))
                continue
            end = start + array.nbytes
            self._view(slot, start, array.dtype.str, array.shape)[...] = array
            placed.append(Placed(array.dtype.str, array.shape, start))
        return placed

    def read(self, slot: int, placed: Placed) -> Tensor:
        """A tensor that was written, valid until the slot is written to again."""
        if placed.offset is None:
            return torch.from_numpy(np.frombuffer(bytearray(placed.content), placed.dtype).reshape(placed.shape))
        return torch.from_numpy(self._view(slot, placed.offset, placed.dtype, placed.shape))

    def _view(self, slot: int, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.ndarray(shape, dtype, self._bytes.data, slot * self.slot_bytes + offset)


def choose_processes(device: torch.device) -> int:
    """How many suit a device: beside a GPU all cores but the one that steers it; on a CPU none, which has no core to spare."""
    return 0 if device.type == "cpu" else max(1, min(MOST_PROCESSES, len(os.sched_getaffinity(0)) - 1))


class _Helper(NamedTuple):
    """A process and our end of its pipe."""

    process: BaseProcess
    pipe: Connection


class ForkedBatches:
    """A `BatchSource` whose batches are made in forked processes, each a whole batch.

    Args:
        plan: what is in the batches.
        processes: >= 1.
        is_pinned: whether batches are copied to a GPU.
        ahead: batches that each process prepares before they are asked for.
    """

    def __init__(self, plan: BatchPlan, processes: int, is_pinned: bool = False, ahead: int = AHEAD) -> None:
        self._plan, self._count, self._is_pinned, self._slots = plan, processes, is_pinned, processes * ahead
        self._helpers: list[_Helper] = []
        self._memory = SlotMemory(1, 1)  # until the first batch says how much is needed
        self._first_step = 0
        self._targets_type: type[Any] = Tensor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for helper in self._helpers:  # they hold nothing that could be lost
            helper.process.kill()
            helper.pipe.close()
        for helper in self._helpers:
            helper.process.join()
        self._memory.unpin()

    def take(self, step: int, progress: float, progress_at: ProgressAt) -> Batch:
        """See `BatchSource`. The first batch is made here: it tells how much memory a batch takes.

        Raises: what making the batch raised; Exhausted when a process died.
        """
        if not self._helpers:
            batch = self._plan.make_batch(step, progress)
            self._start(step, batch)
            for later in range(step + 1, step + 1 + self._slots):
                self._ask(later, progress_at(later))
            return batch
        if step - 1 > self._first_step:  # the slot of the batch before is free now
            self._ask(step - 1 + self._slots, progress_at(step - 1 + self._slots))
        answer = self._hear(step)
        images, *targets = [self._memory.read(self._slot(step), placed) for placed in answer.tensors]
        is_one = issubclass(self._targets_type, Tensor)
        return Batch(images, targets[0] if is_one else self._targets_type._make(targets), answer.mixed)

    def _start(self, step: int, batch: Batch) -> None:
        self._first_step, self._targets_type = step, type(batch.targets)
        images, *targets = _list_tensors(batch)
        target_bytes = sum(tensor.nbytes + ALIGNMENT for tensor in targets)
        self._memory = SlotMemory(self._slots, images.nbytes + TARGETS_GROWTH * target_bytes + TARGETS_BYTES)
        with _without_threads_of_opencv():
            for number in range(self._count):
                self._fork(number)
        if self._is_pinned:
            self._memory.pin()

    def _fork(self, number: int) -> None:
        context = get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(self._plan, self._memory, theirs, os.getpid()), name=f"samples-{number}", daemon=True
        )
        with warnings.catch_warnings():  # the child takes no lock that another thread may have held: it only computes
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            process.start()
        theirs.close()
        self._helpers.append(_Helper(process, ours))

    def _slot(self, step: int) -> int:
        return (step - self._first_step - 1) % self._slots

    def _helper(self, step: int) -> _Helper:
        return self._helpers[(step - self._first_step - 1) % self._count]

    def _ask(self, step: int, progress: float) -> None:
        helper = self._helper(step)
        try:
            helper.pipe.send_bytes(msgspec.msgpack.encode(Request(step, progress, self._slot(step))))
        except OSError as error:
            raise _describe_death(helper.process) from error

    def _hear(self, step: int) -> Answer:
        helper = self._helper(step)
        try:
            answer = msgspec.msgpack.decode(helper.pipe.recv_bytes(), type=Answer)
        except (EOFError, OSError) as error:
            raise _describe_death(helper.process) from error
        if answer.error is not None:
            raise getattr(errors, answer.error_type, SightlineError)(answer.error)
        return answer


@contextmanager
def _without_threads_of_opencv() -> Iterator[None]:
    """A forked process would wait for ever for the threads of a pool that it does not have."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _list_tensors(batch: Batch) -> list[Tensor]:
    targets = batch.targets
    return [batch.images, *([targets] if isinstance(targets, Tensor) else targets)]


def _describe_death(process: BaseProcess) -> Exhausted:
    process.join(END_S)
    code = process.exitcode
    reason = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    hint = "; perhaps out of memory: lower prefetch_processes or cache_bytes" if code == -signal.SIGKILL else ""
    return Exhausted(f"a process that prepares samples died by {reason}{hint}; resume the training")


def _serve(plan: BatchPlan, memory: SlotMemory, pipe: Connection, parent: int) -> None:
    """A process's life: make the batches that are asked for, until the pipe ends or the parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        return
    _let_go_of_files(pipe.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process says when to end
    torch.set_num_threads(1)
    while True:
        try:
            request = msgspec.msgpack.decode(pipe.recv_bytes(), type=Request)
            pipe.send_bytes(msgspec.msgpack.encode(_answer(plan, memory, request)))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _let_go_of_files(kept: int) -> None:
    """What the parent has open, the folder's lock and the ends of pipes above all, must not stay open with us when it dies.

    The numbers stay taken: objects that own one may yet close it.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > STDERR and number not in (kept, nothing):
            with suppress(OSError):  # of the listing itself, which is closed by now
                os.fstat(number)
                os.dup2(nothing, number)


def _answer(plan: BatchPlan, memory: SlotMemory, request: Request) -> Answer:
    try:
        batch = plan.make_batch(request.step, request.progress)
    except SightlineError as error:
        return Answer(error=str(error), error_type=find_public_type(error))
    return Answer(memory.write(request.slot, _list_tensors(batch)), batch.mixed)
