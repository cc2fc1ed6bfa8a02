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

    Attributes:
        dropped: frames that gave way.
    """

    def __init__(self, drop: DropPolicy, most: int) -> None:
        self.dropped = 0
        self._drop = drop
        self._most = most
        self._frames: deque[T] = deque()
        self._asked = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: T) -> None:
        """Add a frame, or drop one."""
        with self._changed:
            if self._drop == "none":
                self._changed.wait_for(lambda: len(self._frames) < self._most or self._is_closed)
            elif len(self._frames) >= self._most:
                self.dropped += 1
                if self._drop == "newest":
                    return
                self._frames.popleft()
            self._frames.append(frame)
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
            frame = self._frames.popleft()
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

    @property
    def _is_empty(self) -> bool:
        return self._is_closed and not self._frames
