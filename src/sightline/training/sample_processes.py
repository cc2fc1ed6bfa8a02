"""Batches made in processes, for a GPU that learns faster than the interpreter's lock lets threads prepare.

The processes are forked when the first batch has been made, so nothing is sent to them but step numbers, and they share what
the training process holds but for Python objects, which are copied as they are touched. Step s is made by process s modulo
their number, which writes the tensors into memory that all share; the answer on its pipe says where they lie. That memory
belongs to no file system (containers give /dev/shm little room) and is pinned where it is copied to a GPU.
"""

import mmap
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import msgspec
import numpy as np
import torch
from torch import Tensor

from sightline.core.errors import Exhausted, SightlineError, find_public_type, make_public
from sightline.core.processes import describe_exit, end_with_parent
from sightline.core.settings import read_settings
from sightline.training.sampling import AHEAD, BatchPlan, ProgressAt
from sightline.training.tasks.task import Batch

MOST_PROCESSES = 16
MEMORY_SHARE = 0.25  # of the machine's, that batches may take; fewer processes make them where they are large
BATCHES_IN_MAKING = 3  # times a batch that a process holds while it makes one: samples, their stack, what is blended
CPU_CLOCK_OF_PROCESS = 2  # Linux: the clock of process p has the number (~p << 3) | 2
ALIGNMENT = 64  # bytes
SPARE_BYTES = 1 << 20  # that a batch's targets may be larger than the first one's; what has no room goes through the pipe
END_S, POLL_S = 5.0, 0.01  # how long a process may take to end whose pipe has ended, and how often that is looked at
STDERR = 2


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
    """From a process: images and targets, or the error that making them met.

    Attributes:
        error_type: class in `core.errors`; "" for any other, whose traceback is the error then.
    """

    tensors: list[Placed] = []
    mixed: float = 0.0
    error: str | None = None
    error_type: str = ""


class SlotMemory:
    """Memory that this process and those forked later share, in slots of equal size.

    Args:
        slots: how many.
        slot_bytes: of each.

    Raises: Exhausted when the system refuses so much.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self.slot_bytes = -(-slot_bytes // ALIGNMENT) * ALIGNMENT
        try:
            self._bytes = np.frombuffer(mmap.mmap(-1, slots * self.slot_bytes), np.uint8)
        except OSError as error:
            raise self._refuse("the system") from error
        self._is_pinned = False

    def pin(self) -> None:
        """Let a GPU copy from here by itself: takes the memory now, all of it. Raises: Exhausted."""
        if int(torch.cuda.cudart().cudaHostRegister(self._bytes.ctypes.data, self._bytes.nbytes, 0)) != 0:
            raise self._refuse("the GPU's driver")
        self._is_pinned = True

    def _refuse(self, who: str) -> Exhausted:
        return Exhausted(f"{who} refuses the memory of the next batches; lower prefetch_processes or batch_size")

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
    return 0 if device.type == "cpu" else max(1, min(MOST_PROCESSES, read_settings().threads - 1))


class _Helper(NamedTuple):
    """A process and our end of its pipe."""

    pid: int
    pipe: Connection


class ForkedBatches:
    """A `BatchSource` whose batches are made in forked processes, each a whole batch.

    Args:
        plan: what is in the batches.
        processes: >= 1; fewer where their batches would take more than `MEMORY_SHARE` of the memory.
        is_pinned: whether batches are copied to a GPU.
        ahead: batches that each process prepares before they are asked for.
    """

    def __init__(self, plan: BatchPlan, processes: int, is_pinned: bool = False, ahead: int = AHEAD) -> None:
        self._plan, self._count, self._is_pinned, self._ahead = plan, processes, is_pinned, ahead
        self._slots = processes * ahead
        self._helpers: list[_Helper] = []
        self._ended_cpu_s = 0.0
        self._memory: SlotMemory | None = None
        self._first_step = 0
        self._targets_type: type[Any] = Tensor

    def __enter__(self) -> Self:
        return self

    @property
    def cpu_s(self) -> float:
        """What the processes have computed until now, CPU-seconds."""
        clocks = [(~helper.pid << 3) | CPU_CLOCK_OF_PROCESS for helper in self._helpers]
        return self._ended_cpu_s + sum(time.clock_gettime(clock) for clock in clocks)

    def __exit__(self, *_: object) -> None:
        self._ended_cpu_s = self.cpu_s
        for helper in self._helpers:  # they hold nothing that could be lost
            os.kill(helper.pid, signal.SIGKILL)
            helper.pipe.close()
        for helper in self._helpers:
            os.waitpid(helper.pid, 0)
        self._helpers = []
        if self._memory is not None:
            self._memory.unpin()

    def take(self, step: int, progress: float, progress_at: ProgressAt) -> Batch:
        """See `BatchSource`. The first batch is made here: it tells how much memory a batch takes.

        Raises: the SightlineError that making the batch raised, RuntimeError with the traceback of any other; Exhausted when a
            process died, or there is no memory or process for it.
        """
        if self._memory is None:
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
        slot_bytes = sum(tensor.nbytes + ALIGNMENT for tensor in _list_tensors(batch)) + SPARE_BYTES
        most_bytes = int(MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self._count = max(1, min(self._count, most_bytes // (slot_bytes * (self._ahead + BATCHES_IN_MAKING))))
        self._slots = self._count * self._ahead
        self._memory = SlotMemory(self._slots, slot_bytes)
        with _without_threads_of_opencv():
            for _ in range(self._count):
                self._fork(self._memory)
        if self._is_pinned:
            self._memory.pin()

    def _fork(self, memory: SlotMemory) -> None:
        parent = os.getpid()
        with _undisturbed() as restore:
            try:
                ours, theirs = Pipe()
                pid = os.fork()
            except OSError as error:
                raise Exhausted(f"no further process to prepare samples: {error}; lower prefetch_processes") from error
            if pid == 0:
                code = 1
                try:
                    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process says when to end
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    restore()
                    _serve(self._plan, memory, theirs, parent)
                    code = 0
                finally:  # nothing of what the parent was about to do
                    if code:
                        traceback.print_exc()
                    os._exit(code)
            self._helpers.append(_Helper(pid, ours))
        theirs.close()

    def _slot(self, step: int) -> int:
        return (step - self._first_step - 1) % self._slots

    def _helper(self, step: int) -> _Helper:
        return self._helpers[(step - self._first_step - 1) % self._count]

    def _ask(self, step: int, progress: float) -> None:
        helper = self._helper(step)
        try:
            helper.pipe.send_bytes(msgspec.msgpack.encode(Request(step, progress, self._slot(step))))
        except OSError as error:
            raise self._describe_death(helper) from error

    def _hear(self, step: int) -> Answer:
        helper = self._helper(step)
        try:
            answer = msgspec.msgpack.decode(helper.pipe.recv_bytes(), type=Answer)
        except (EOFError, OSError) as error:
            raise self._describe_death(helper) from error
        if answer.error is None:
            return answer
        if answer.error_type:
            raise make_public(answer.error_type, answer.error)
        raise RuntimeError(f"in a process that prepares samples:\n{answer.error}")

    def _describe_death(self, helper: _Helper) -> Exhausted:
        """How a process ended whose pipe has ended; it is none of ours any more."""
        deadline = time.monotonic() + END_S
        while (ended := os.waitpid(helper.pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(helper.pid, signal.SIGKILL)
            time.sleep(POLL_S)
        self._helpers.remove(helper)
        helper.pipe.close()
        reason = describe_exit(os.waitstatus_to_exitcode(ended[1]), "prefetch_processes or cache_bytes")
        return Exhausted(f"a process that prepares samples died by {reason}; resume the training")


@contextmanager
def _undisturbed() -> Iterator[Callable[[], object]]:
    """No signal's handler raises in between, where a process would run on as its parent or be forgotten; and no warning.

    Python warns of locks that other threads may hold; what a forked process does waits for none of them.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))

    def restore() -> object:
        return signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            yield restore
    finally:
        restore()


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


def _serve(plan: BatchPlan, memory: SlotMemory, pipe: Connection, parent: int) -> None:
    """A process's life: make the batches that are asked for, until the pipe ends or the parent dies."""
    end_with_parent()
    if os.getppid() != parent:  # it died before that
        return
    _let_go_of_files(pipe.fileno())
    torch.set_num_threads(1)
    while True:
        try:
            request = msgspec.msgpack.decode(pipe.recv_bytes(), type=Request)
        except (EOFError, ConnectionResetError):
            return
        answer = msgspec.msgpack.encode(_answer(plan, memory, request))
        try:
            pipe.send_bytes(answer)
        except (BrokenPipeError, ConnectionResetError):
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
    except Exception:  # noqa: BLE001  # the border of a process: whatever it is, the training process raises it
        return Answer(error=traceback.format_exc())
    return Answer(memory.write(request.slot, _list_tensors(batch)), batch.mixed)
