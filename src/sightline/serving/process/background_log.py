"""A log handler that never holds up who logs: lines go to a bounded queue, and a thread writes them.

The event loop logs, and standard error may be a pipe that nobody reads: a handler that wrote there itself would stop the whole
server once the pipe is full. What the reader does not follow is dropped, and the next line that it takes says how much.
"""

import logging
import os
import queue
import threading
from contextlib import suppress

STANDARD_ERROR = 2
MAX_WAITING = 1000
CLOSE_S = 1.0


class BackgroundHandler(logging.Handler):
    """Writes to a file descriptor from a thread of its own, past Python's buffers: their locks could hold up the process's end.

    Args:
        descriptor: where lines go; it stays open.
        most: lines that may wait.
    """

    def __init__(self, descriptor: int = STANDARD_ERROR, most: int = MAX_WAITING) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(most)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, or count it as dropped."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, as far as the reader takes it at once; the interpreter calls it at its end."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(CLOSE_S)
        super().close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            self._write(line)
            if dropped:
                self._write(f"{dropped} lines of the log were dropped: standard error is read too slowly")

    def _write(self, line: str) -> None:
        rest = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return  # there is nowhere to say that standard error is gone
