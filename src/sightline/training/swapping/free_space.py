"""Which stretches of a file are free: first fit, neighbours grow together."""

from bisect import bisect_left

BLOCK_BYTES = 4096  # stretches begin and end at pages, as reading and writing past the page cache wants it


class FreeSpace:
    """Free stretches below the end of a file that grows when none fits.

    Attributes: end_bytes: where the last taken stretch ends.
    """

    def __init__(self) -> None:
        self.end_bytes = 0
        self._offsets: list[int] = []  # of the free stretches, rising; no two touch, none ends at the end
        self._sizes: list[int] = []

    def take(self, nbytes: int) -> int:
        """The offset of a stretch of so many bytes, rounded up to whole blocks; the lowest that fits."""
        size = round_up_block(nbytes)
        for index, free in enumerate(self._sizes):
            if free >= size:
                offset = self._offsets[index]
                self._offsets[index] += size
                self._sizes[index] -= size
                if not self._sizes[index]:
                    del self._offsets[index], self._sizes[index]
                return offset
        self.end_bytes += size
        return self.end_bytes - size

    def give(self, offset: int, nbytes: int) -> None:
        """A stretch that was taken is free again."""
        size = round_up_block(nbytes)
        index = bisect_left(self._offsets, offset)
        if index < len(self._offsets) and offset + size == self._offsets[index]:
            size += self._sizes[index]
            del self._offsets[index], self._sizes[index]
        if index and self._offsets[index - 1] + self._sizes[index - 1] == offset:
            index -= 1
            offset = self._offsets[index]
            size += self._sizes[index]
            del self._offsets[index], self._sizes[index]
        if offset + size == self.end_bytes:
            self.end_bytes = offset
        else:
            self._offsets.insert(index, offset)
            self._sizes.insert(index, size)


def round_up_block(nbytes: int) -> int:
    """The bytes of so many whole blocks."""
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES
