"""Count what runs in a session, so that closing it can wait: an engine's memory must not go while another thread uses it."""

import threading
from types import TracebackType

from sightline.runtime.backend import check_open


class InFlight:
    """Enter it around an inference; `close` lets no further one in and waits for those inside. For any number of threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._is_open = True

    def __enter__(self) -> None:
        """Raises: InvalidInput after `close`."""
        with self._changed:
            check_open(self._is_open)
            self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._count -= 1
            if not self._count and not self._is_open:
                self._changed.notify_all()

    def close(self) -> None:
        """Wait for the end of all inside. Not from inside: that would wait for itself."""
        with self._changed:
            self._is_open = False
            self._changed.wait_for(lambda: not self._count)
