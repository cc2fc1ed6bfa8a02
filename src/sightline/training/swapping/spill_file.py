"""The file that storages are written to and read from again: it has no name, and is gone with its process.

It is read and written past the page cache where the file system can (`O_DIRECT`): whoever needs the file has no memory to spare
for copies of it, and a transfer then costs a tenth of the processor time. Buffers begin at a page and are whole pages.
"""

import fcntl
import mmap
import os
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.training.swapping.free_space import BLOCK_BYTES, FreeSpace, round_up_block

CHUNK_BYTES = 8 << 20  # copied and written at a time; the interpreter's lock is free while the system writes


class Extent(NamedTuple):
    """A stretch of the file, in bytes."""

    offset: int
    nbytes: int


class SpillFile:
    """See the module. One thread writes and one reads; either may forget.

    Args: folder: of a disk, not of a file system in memory.
    Raises: OSError when no file can be made there.

    Attributes: size_bytes: the file at its longest.
    """

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `close`
        self._chunk = mmap.mmap(-1, CHUNK_BYTES)
        self._bypass_page_cache()
        self._space = FreeSpace()
        self._lock = Lock()
        self._spare: deque[mmap.mmap] = deque(maxlen=1)  # memory of a block that was read, and is not needed any more
        self.size_bytes = 0

    def _bypass_page_cache(self) -> None:
        """Where the file system cannot, the file goes through the page cache, which is slower and as correct."""
        descriptor = self._file.fileno()
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        with suppress(AttributeError):  # systems other than Linux
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
                self._write_chunk(BLOCK_BYTES, 0)  # some take the flag, and refuse what is written then
            except OSError:
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)

    def write(self, data: "memoryview[int]") -> Extent:
        """Write a block of bytes. Raises: OSError, with nothing taken, when the disk is full or fails."""
        with self._lock:
            extent = Extent(self._space.take(data.nbytes), data.nbytes)
            self.size_bytes = max(self.size_bytes, self._space.end_bytes)
        try:
            for start in range(0, extent.nbytes, CHUNK_BYTES):
                part = data[start : start + CHUNK_BYTES]
                self._chunk[: part.nbytes] = part
                self._write_chunk(round_up_block(part.nbytes), extent.offset + start)
        except OSError:
            self.free(extent)
            raise
        return extent

    def _write_chunk(self, nbytes: int, offset: int) -> None:
        done = 0
        with memoryview(self._chunk) as chunk:
            while done < nbytes:
                done += os.pwrite(self._file.fileno(), chunk[done:nbytes], offset + done)

    def read(self, extent: Extent) -> NDArray[np.uint8]:
        """A block in memory of its own, which a later one gets when nobody has the array any more. Raises: OSError."""
        nbytes, done = round_up_block(extent.nbytes), 0
        memory = self._take_memory(nbytes)
        with memoryview(memory) as target:
            while done < nbytes:
                count = os.preadv(self._file.fileno(), [target[done:]], extent.offset + done)
                if not count:
                    raise OSError(f"expected {nbytes} bytes at {extent.offset} of the spill file, got {done}")
                done += count
        block = np.frombuffer(memory, np.uint8, extent.nbytes)
        weakref.finalize(block, self._spare.append, memory)
        return block

    def _take_memory(self, nbytes: int) -> mmap.mmap:
        """The memory that was given back last, if it is as large: the system need not clear its pages again."""
        with suppress(IndexError):
            if len(spare := self._spare.pop()) == nbytes:
                return spare
        memory = mmap.mmap(-1, nbytes)
        with suppress(AttributeError, OSError):  # systems other than Linux, kernels without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)  # a page fault for 2 MB instead of one for 4 kB
        return memory

    def drop_spare(self) -> None:
        """Give back the memory that waits for a block to be read."""
        self._spare.clear()

    def free(self, extent: Extent) -> None:
        """Forget a block; its place is used again."""
        with self._lock:
            self._space.give(extent.offset, extent.nbytes)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
        self._chunk.close()
