"""Threads that sleep until there is something to do; the one that fell asleep last is woken first.

A `threading.Condition` wakes the one that has slept longest, so that a lone client's requests go round all threads, and each
finds what it used last time gone from its core's caches: the stack, the decoder's buffers, the heap of the thread. Woken in
the opposite order one thread does nearly all of them (measured in docs/decisions/0013).
"""

import threading


class Sleepers:
    """The threads that sleep. Every method is called with the lock held.

    Args:
        lock: let go while a thread sleeps.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._bells: list[threading.Lock] = []  # a locked lock for each, in the order in which they fell asleep

    def __len__(self) -> int:
        return len(self._bells)

    def sleep(self) -> None:
        """Block until woken."""
        bell = threading.Lock()
        bell.acquire()
        self._bells.append(bell)
        self._lock.release()
        try:
            bell.acquire()
        finally:
            self._lock.acquire()

    def wake_last(self) -> None:
        """Wake the one that fell asleep last; there must be one. It does not count any more from now on."""
        self._bells.pop().release()

    def wake_all(self) -> None:
        """Wake every one."""
        while self._bells:
            self.wake_last()
