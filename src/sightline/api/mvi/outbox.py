"""Archives that are sent as they are written."""

import io
from typing import Any


class Outbox(io.RawIOBase):
    """A file that gives away what is written to it."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        """It only is."""
        return True

    def write(self, data: Any) -> int:
        """Keep it until it is taken."""
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        """What came since the last time."""
        taken, self._waiting = bytes(self._waiting), bytearray()
        return taken
