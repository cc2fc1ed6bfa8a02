"""The swapper: autograd's hooks, the budget, and what is written and read when.

Backward reads what forward saved in reverse order, so the future is known: what was saved first is written to the file first
(Belady's rule: evict what is needed last), what was saved last stays in memory, and while backward comes down, the storages
below it are read ahead as far as the budget goes. Nothing is computed twice, and no bit differs.
"""

import itertools
import queue
import threading
import time
import weakref
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from sightline.core.errors import Exhausted, InvalidInput, SightlineError
from sightline.training.swapping.heap import keep_freed_blocks, return_freed_blocks
from sightline.training.swapping.saved import SavedStorage, SavedView, StayingTensor, make_view, view_bytes
from sightline.training.swapping.spill_file import Extent, SpillFile
from sightline.training.swapping.statistics import SwapStatistics

SMALLEST_BYTES = 64 << 10  # below it, keeping books costs more than the memory
WRITING_SHARE = 0.25  # of the budget, for what is on its way to the file
PLAIN = (Tensor, nn.Parameter)
CHANGED = "a tensor that backward needs was changed in place after forward had saved it"

StorageKey = tuple[int, int]  # which storage, and the tensor's version: bytes that change are another's
Jobs = queue.SimpleQueue["tuple[weakref.ref[SavedStorage], int] | None"]


class ActivationSwapper:
    """Keeps what forward saves for backward within a budget of memory, and the rest in a file. For any module on a CPU.

        with ActivationSwapper(network, budget_bytes=500 << 20, folder="scratch") as swapper:
            for images, targets in batches:
                with swapper.saving():
                    loss = criterion(network(images), targets)
                loss.backward()

    Results are the same to the last bit. Parameters and buffers, storages below 64 KiB, and what is not a plain tensor on the
    CPU stay in memory. A tensor that is changed in place before backward needs it raises as it does without a swapper. Changes
    that autograd does not see, through `.data` or NumPy, are not seen here: what was saved before one is not saved again.

    The budget is for saved tensors. Beside it there must be room for weights, gradients, the optimiser, and the tensors of one
    operation. Until it is closed, freed blocks of 1 MiB and more go back to the system in this process. That costs page faults,
    and fewer with `THP_MEM_ALLOC_ENABLE=1` in the environment before PyTorch allocates its first tensor.

    Args:
        network: whose parameters and buffers are in memory anyway.
        budget_bytes: for saved tensors, those on their way to the file and back among them; at least 1.
        folder: where the file is made: on a disk with room for all that a step saves, not on a file system in memory.

    Attributes:
        statistics: see there.

    Raises:
        OSError: no file can be made there.
        Exhausted: in forward or backward, the disk is full or fails.
        RuntimeError: in backward, a saved tensor was changed in place.
    """

    def __init__(self, network: nn.Module, budget_bytes: int, folder: Path | str) -> None:
        if budget_bytes < 1:
            raise InvalidInput(f"expected a budget of at least 1 byte for saved tensors, got {budget_bytes}")
        self._network = network
        self._resident: set[int] = set()  # storages of its parameters and buffers
        self._budget, self._writing_limit = budget_bytes, int(budget_bytes * WRITING_SHARE)
        self._folder = Path(folder)
        self._file = SpillFile(self._folder)
        self._changed = threading.Condition()  # guards all that follows
        self._storages: dict[int, weakref.ref[SavedStorage]] = {}  # by number; autograd alone decides how long they live
        self._dead: deque[int] = deque()  # numbers of those that it let go of, still in the books
        self._keys: dict[int, StorageKey] = {}
        self._by_key: dict[StorageKey, tuple[StorageWeakRef, int]] = {}
        self._kept: OrderedDict[int, int] = OrderedDict()  # number -> bytes, of what is in memory, in the order of coming there
        self._extents: dict[int, Extent] = {}  # of what was written, whether it is in memory again or not
        self._in_file: list[int] = []  # numbers of what is in the file alone, rising
        self._kept_bytes = self._writing_bytes = self._reading_bytes = 0
        self._numbers = itertools.count()
        self._failure: SightlineError | None = None
        self.statistics = SwapStatistics()
        self._to_write, self._to_read = Jobs(), Jobs()
        self._threads = [
            threading.Thread(target=self._work, args=(jobs, do), name=f"activations-{name}", daemon=True)
            for name, jobs, do in (("writer", self._to_write, self._write), ("reader", self._to_read, self._read))
        ]
        for thread in self._threads:
            thread.start()
        return_freed_blocks()

    def __enter__(self) -> "ActivationSwapper":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def saving(self) -> saved_tensors_hooks:
        """A context for a forward pass and its loss; a step may have several."""
        tensors = itertools.chain(self._network.parameters(), self._network.buffers())
        self._resident = {tensor.untyped_storage()._cdata for tensor in tensors if _has_storage(tensor)}
        return saved_tensors_hooks(self._pack, self._unpack)

    def close(self) -> None:
        """End the threads and give the disk space back; graphs that still need the file cannot be used any more."""
        with self._changed:
            self._failure = InvalidInput("the swapper was closed before backward had run; call backward within its `with`")
            self._changed.notify_all()
        for jobs in (self._to_write, self._to_read):
            jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._file.close()
        keep_freed_blocks()

    # -- autograd's hooks

    def _pack(self, tensor: Tensor) -> StayingTensor | SavedView:
        """Forward saves a tensor."""
        if not self._is_swapped(tensor):
            return StayingTensor(tensor, tensor._version)
        with self._changed:
            self._settle()
            saved = self._find(tensor) or self._add(tensor)
            self._make_room()
            if self._writing_bytes > self._writing_limit:  # a slow disk slows forward down instead of filling memory
                self.statistics.forward_waits_s += self._wait(lambda: self._writing_bytes <= self._writing_limit)
        return make_view(saved, tensor)

    def _unpack(self, packed: StayingTensor | SavedView) -> Tensor:
        """Backward needs a tensor."""
        if isinstance(packed, StayingTensor):
            if packed.tensor._version != packed.version:
                raise RuntimeError(CHANGED)
            return packed.tensor
        saved = packed.storage
        with self._changed:
            self._settle()
            if saved.is_changed():
                raise RuntimeError(CHANGED)
            if saved.place == "file":
                self._start_reading(saved)
            self._read_ahead(saved.number)
            if saved.place == "reading":
                self.statistics.backward_waits_s += self._wait(lambda: self._is_back(saved))
            self._drop_used(saved.number)
            return packed.rebuild()

    def _is_back(self, saved: SavedStorage) -> bool:
        """Whether a storage that backward waits for is in memory; another thread's may have taken its room meanwhile."""
        if saved.place == "file":
            self._start_reading(saved)
        return saved.place != "reading"

    def _is_swapped(self, tensor: Tensor) -> bool:
        if not _has_storage(tensor):
            return False
        storage = tensor.untyped_storage()
        return storage.nbytes() >= SMALLEST_BYTES and storage._cdata not in self._resident

    def _wait(self, is_over: Callable[[], bool]) -> float:
        """Wait for the file. Returns: for how long, seconds. Raises: what went wrong there."""
        begin = time.perf_counter()
        self._changed.wait_for(lambda: is_over() or self._failure is not None)
        if not is_over() and self._failure is not None:
            raise self._failure
        return time.perf_counter() - begin

    # -- the books; whoever calls holds the lock

    def _settle(self) -> None:
        """Take what autograd let go of out of the books. Raises: what went wrong with the file."""
        if self._failure is not None:
            raise self._failure
        while self._dead:
            number = self._dead.popleft()
            del self._storages[number]
            key = self._keys.pop(number)
            if key in self._by_key and self._by_key[key][1] == number:  # else a later storage came to have the key
                del self._by_key[key]
            self._kept_bytes -= self._kept.pop(number, 0)
            if number in self._extents:
                self._file.free(self._extents.pop(number))
                self._take_from_file(number)

    def _take_from_file(self, number: int) -> None:
        """Strike a number from the list of what is in the file alone, if it stands there."""
        index = bisect_left(self._in_file, number)
        if index < len(self._in_file) and self._in_file[index] == number:
            del self._in_file[index]

    def _find(self, tensor: Tensor) -> SavedStorage | None:
        """The storage behind a tensor, where it was saved before and has not changed since."""
        _, number = self._by_key.get(_key_of(tensor), (None, -1))
        saved = self._storages[number]() if number >= 0 else None
        # Tensors with a counter of their own, as `.data` is, may come to the same version by another way.
        return None if saved is None or saved.is_changed() else saved

    def _add(self, tensor: Tensor) -> SavedStorage:
        saved, key = SavedStorage(next(self._numbers), tensor), _key_of(tensor)
        number = saved.number
        self._storages[number] = weakref.ref(saved, lambda _: self._dead.append(number))
        self._keys[number] = key
        self._by_key[key] = StorageWeakRef(tensor.untyped_storage()), number  # while it is held, no other storage is `key[0]`
        self._keep(saved)
        self._file.drop_spare()  # it is for backward
        self.statistics.saved_storages += 1
        self.statistics.saved_bytes += saved.nbytes
        return saved

    def _keep(self, saved: SavedStorage) -> None:
        saved.place = "memory"
        self._kept[saved.number] = saved.nbytes
        self._kept_bytes += saved.nbytes

    def _make_room(self) -> None:
        """Have what was saved first written to the file, until what stays is within the budget."""
        held = self._kept_bytes + self._writing_bytes + self._reading_bytes
        self.statistics.largest_kept_bytes = max(self.statistics.largest_kept_bytes, held)
        while self._kept and self._kept_bytes + self._reading_bytes > self._budget - self._writing_limit:
            number, nbytes = self._kept.popitem(last=False)
            self._kept_bytes -= nbytes
            saved = self._storages[number]()
            if saved is None:
                continue
            if number in self._extents:
                self._leave_in_file(saved)
            else:
                saved.place = "writing"
                self._writing_bytes += nbytes
                self._to_write.put((weakref.ref(saved), nbytes))

    def _drop_used(self, current: int) -> None:
        """Backward is done with higher numbers: where a graph is retained, those that the file has make room."""
        if self._kept_bytes + self._reading_bytes <= self._budget:
            return
        for number in [number for number in self._kept if number > current and number in self._extents]:
            self._kept_bytes -= self._kept.pop(number)
            if (saved := self._storages[number]()) is not None:
                self._leave_in_file(saved)

    def _leave_in_file(self, saved: SavedStorage) -> None:
        saved.place = "file"
        saved.drop_bytes()
        insort(self._in_file, saved.number)

    def _read_ahead(self, current: int) -> None:
        """Start to read what backward needs after the current number, as far as the budget goes."""
        while index := bisect_left(self._in_file, current):
            saved = self._storages[self._in_file[index - 1]]()
            if saved is None:
                del self._in_file[index - 1]
                continue
            if self._kept_bytes + self._writing_bytes + self._reading_bytes + saved.nbytes > self._budget:
                return
            self._start_reading(saved)

    def _start_reading(self, saved: SavedStorage) -> None:
        saved.place = "reading"
        self._take_from_file(saved.number)
        self._reading_bytes += saved.nbytes
        self._to_read.put((weakref.ref(saved), saved.nbytes))

    # -- the two threads

    def _work(self, jobs: Jobs, do: Callable[[SavedStorage | None, int], None]) -> None:
        """A thread's life. It holds a storage only while it works on it: autograd alone decides how long one lives."""
        while (job := jobs.get()) is not None:
            reference, nbytes = job
            try:
                do(reference(), nbytes)
            except Exception as error:  # noqa: BLE001 - who waits for a thread that is gone waits for ever
                self._fail(error)

    def _write(self, saved: SavedStorage | None, nbytes: int) -> None:
        """Move a storage to the file. Args: saved: None when autograd let go of it meanwhile."""
        extent = None if saved is None else self._file.write(view_bytes(saved.tensor))
        with self._changed:
            self._writing_bytes -= nbytes
            if saved is not None and extent is not None:
                self.statistics.written_bytes += nbytes
                self.statistics.file_bytes = self._file.size_bytes
                self._extents[saved.number] = extent
                self._leave_in_file(saved)
            self._changed.notify_all()

    def _read(self, saved: SavedStorage | None, nbytes: int) -> None:
        """Bring a storage back. Args: saved: as for `_write`."""
        memory = None if saved is None else self._file.read(self._extents[saved.number])
        with self._changed:
            self._reading_bytes -= nbytes
            if saved is not None and memory is not None:
                self.statistics.read_bytes += nbytes
                saved.put_back(torch.from_numpy(memory))  # which keeps the memory
                self._keep(saved)
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        what = str(error) or type(error).__name__
        with self._changed:
            self._failure = Exhausted(
                f"saved tensors cannot be kept in a file in {self._folder}: {what}; free space there, or give them more memory"
            )
            self._changed.notify_all()


def _has_storage(tensor: Tensor) -> bool:
    """Whether a tensor is nothing but a view of bytes in memory."""
    if type(tensor) not in PLAIN or tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_nested:
        return False
    return not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor._is_zerotensor())


def _key_of(tensor: Tensor) -> StorageKey:
    return tensor.untyped_storage()._cdata, tensor._version
