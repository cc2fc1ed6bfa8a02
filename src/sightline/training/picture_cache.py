"""Decoded pictures in memory that this process and those forked later share, so that each picture is decoded once for all.

Who has room is known before the first picture is decoded: a picture's place does not depend on who reads it first. Two that
decode the same picture at once write the same bytes to the same place.
"""

import mmap
import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import Exhausted


class PictureCache:
    """Places for the first pictures that fit.

    Args:
        sizes: bytes of each picture, in order; read no further than the room goes.
        count: how many pictures there are.
        capacity_bytes: memory for all, at most; pages are taken when they are first written.

    Raises: Exhausted when the system refuses so much.
    """

    def __init__(self, sizes: Iterable[int], count: int, capacity_bytes: int) -> None:
        self._starts = np.zeros(count + 1, np.int64)  # the next one's start is the end; nothing in between: no place
        end = 0
        for index, size in enumerate(sizes):
            if end + size > capacity_bytes:
                break
            end += size
            self._starts[index + 1] = end
        self._starts = np.maximum.accumulate(self._starts)
        # A memory barrier, not mutual exclusion: a forked process has a lock of its own. Whoever sees that a picture is there
        # sees its bytes, too, even on processors that reorder writes.
        self._order = threading.Lock()
        try:
            self._bytes = np.frombuffer(mmap.mmap(-1, max(1, end)), np.uint8)
            self._is_there = np.frombuffer(mmap.mmap(-1, max(1, count)), np.uint8)
        except OSError as error:
            raise Exhausted(f"expected {end} bytes of memory for decoded pictures, got none; lower cache_bytes") from error

    def find(self, index: int) -> NDArray[np.uint8] | None:
        """The bytes of a picture that was put here, not to be written to; None when it was not."""
        with self._order:
            is_there = bool(self._is_there[index])
        with self._order:
            return self._bytes[self._starts[index] : self._starts[index + 1]] if is_there else None

    def put(self, index: int, *parts: NDArray[np.uint8]) -> None:
        """Keep a picture, its parts one after another, if it has a place of just their size."""
        place = self._bytes[self._starts[index] : self._starts[index + 1]]
        if not 0 < len(place) == sum(part.size for part in parts):
            return
        with self._order:
            np.concatenate([part.reshape(-1) for part in parts], out=place)
        with self._order:
            self._is_there[index] = 1
