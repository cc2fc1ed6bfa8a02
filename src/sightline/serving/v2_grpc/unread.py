"""Answers that clients do not read: counted with those over HTTP, and cut off with their connection when they are late.

The library sends an answer as the client's windows allow, waits for ever when they do not, and has no way to give a call up
from here. So the whole connection is ended: see `connections`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

READ_TIMEOUT_S = 30.0  # as for answers over HTTP
MIN_READ_BYTES_PER_S = 64 * 1024  # on average, beyond that time; only the end of sending shows, and not how far it has come
LARGE_BYTES = 64 * 1024  # what is smaller is not counted

CountUnread = Callable[[Any, int], object]


class Unread:
    """Answers of one call that its client has not read.

    Args:
        cut: ends the client's connection.
        count: told of the bytes that there are; `Edge.count_unread` is one, which calls `abort` when others need the room.

    Attributes:
        is_cut: the connection was ended because of them.
    """

    __slots__ = ("_bytes", "_count", "_counted", "_cut", "_is_over", "is_cut")

    def __init__(self, cut: Callable[[], None], count: CountUnread) -> None:
        self._cut, self._count = cut, count
        self._bytes = self._counted = 0
        self._is_over = self.is_cut = False

    def add(self, size_bytes: int) -> None:
        """An answer of so many bytes is there."""
        self._change(size_bytes)

    @contextmanager
    def sending(self, size_bytes: int) -> Iterator[None]:
        """Send an answer within the block, which ends when it is read; where that takes too long, the connection ends."""
        due_s = READ_TIMEOUT_S + size_bytes / MIN_READ_BYTES_PER_S
        timer = asyncio.get_running_loop().call_later(due_s, self.abort)
        try:
            yield
        finally:
            timer.cancel()
            if self._counted:  # who has just read is not among those who have read nothing for longest
                self._counted = 0
                self._count(self, 0)
            self._change(-size_bytes)

    def abort(self) -> None:
        """End the connection; nothing counts any more."""
        self.is_cut = True
        self.close()
        self._cut()

    def close(self) -> None:
        """The call has ended."""
        self._change(-self._bytes)
        self._is_over = True

    def _change(self, size_bytes: int) -> None:
        if self._is_over:
            return
        self._bytes += size_bytes
        counted = self._bytes if self._bytes > LARGE_BYTES else 0
        if counted != self._counted:
            self._counted = counted
            self._count(self, counted)
