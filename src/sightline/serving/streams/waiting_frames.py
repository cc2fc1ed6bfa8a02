"""Decoded frames that wait until the server asks for one, with the policy for when too many do."""

import threading
from collections import deque
from typing import Generic, TypeVar

from sightline.serving.streams.messages import DropPolicy

T = TypeVar("T")


class WaitingFrames(Generic[T]):
    """A short queue between the decoding thread and the sending thread; a frame leaves only when it was asked for.

    Args:
        drop: what gives way when the queue is full: the "oldest", the "newest", or "none": then `put` waits.
        most: frames that may wait.
        most_bytes: that they may take together; one may wait whatever it takes.

    Attributes:
        dropped: frames that gave way.
    """

    def __init__(self, drop: DropPolicy, most: int, most_bytes: int) -> None:
        self.dropped = 0
        self._drop = drop
        self._most = most
        self._most_bytes = most_bytes
        self._frames: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._asked = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: T, size_bytes: int) -> None:
        """Add a frame of this size, or drop some."""
        with self._changed:
            if self._drop == "none":
                self._changed.wait_for(lambda: self._has_room(size_bytes) or self._is_closed)
            while self._drop != "none" and not self._has_room(size_bytes):
                self.dropped += 1
                if self._drop == "newest":
                    return
                self._remove_oldest()
            self._frames.append((frame, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()

    def ask(self, count: int) -> None:
        """Allow so many more frames to leave."""
        with self._changed:
            self._asked += count
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """The oldest frame once it was asked for; None when that did not happen in time or nothing comes any more."""
        with self._changed:
            self._changed.wait_for(lambda: (self._frames and self._asked) or self._is_empty, timeout_s)
            if not (self._frames and self._asked):
                return None
            self._asked -= 1
            frame = self._remove_oldest()
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """No more frames will be put in."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_finished(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._is_empty

    def _has_room(self, size_bytes: int) -> bool:
        count = len(self._frames)
        return not count or (count < self._most and self._bytes + size_bytes <= self._most_bytes)

    def _remove_oldest(self) -> T:
        frame, size_bytes = self._frames.popleft()
        self._bytes -= size_bytes
        return frame

    @property
    def _is_empty(self) -> bool:
        return self._is_closed and not self._frames
