"""The access log: one JSON object a line for each request, written by a thread of its own a few times a second.

The event loop only appends to a list, so that neither a slow disk nor a full pipe holds up a request; when the disk cannot
follow, lines are dropped and the next line says how many. Everything a client sent stands in JSON strings, where a line break
is `\\n`: no request can forge a line.
"""

import datetime
import errno
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import msgspec

from sightline.core.errors import InvalidInput
from sightline.serving.http.request_record import RequestRecord

FLUSH_EVERY_S = 0.25
RETRY_EVERY_S = 1.0  # while it cannot be written
CLOSE_S = 5.0  # a pipe that nobody reads must not hold up the end
MAX_PENDING = 20_000
MAX_PATH = 500  # characters of a path that are logged

logger = logging.getLogger("sightline.serving")


class AccessLog:
    """Writes records as JSON lines. Close it: what is pending is then written.

    Args:
        path: file to append to; made again when it has been renamed away (log rotation). None: standard error.
        wall_clock: seconds since 1970.

    Raises: InvalidInput for a file that cannot be written.
    """

    def __init__(self, path: Path | None = None, wall_clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall_clock = wall_clock
        self._pending: list[tuple[float, RequestRecord]] = []
        self._dropped = 0
        self._block, self._written = b"", 0  # lines that are being written, and how many bytes of them are
        self._stop = threading.Event()
        self._is_failing = False
        self._stream = FileIO(sys.stderr.fileno(), "a", closefd=False) if path is None else self._open(path)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, record: RequestRecord) -> None:
        """Take a record of a request that has ended; on the event loop."""
        if len(self._pending) >= MAX_PENDING:
            self._dropped += 1
        else:
            self._pending.append((self._wall_clock(), record))

    def close(self) -> None:
        """Write what is pending and end the thread; a reader that takes nothing is not waited for."""
        self._stop.set()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._stream.close()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(RETRY_EVERY_S if self._is_failing else FLUSH_EVERY_S)
            try:
                self._flush()
                self._is_failing = False
            except (OSError, ValueError) as error:  # a full disk, or a bad moment of a rotation, must not end the log for ever
                if not self._is_failing:
                    logger.error("the access log cannot be written; its lines wait until it can: %s", error)
                self._is_failing = True

    def _flush(self) -> None:
        self._write_block()  # what was left the last time
        if self._pending:
            self._block = self._take_pending()
            self._write_block()

    def _take_pending(self) -> bytes:
        count = len(self._pending)  # what comes meanwhile is for the next time
        lines = [encode_record(record, ended_s) for ended_s, record in self._pending[:count]]
        dropped = self._dropped
        if dropped:
            lines.append(msgspec.json.encode({"time": _format_time(self._wall_clock()), "dropped": dropped}))
        del self._pending[:count]
        self._dropped -= dropped
        return b"\n".join(lines) + b"\n"

    def _write_block(self) -> None:
        """Write what is left of the block. Raises: OSError; what was written until then is not written again."""
        if not self._block:
            return
        self._follow_rotation()
        view = memoryview(self._block)
        while self._written < len(view):
            self._written += self._write_some(view[self._written :])
        self._block, self._written = b"", 0

    def _write_some(self, rest: memoryview) -> int:
        """Bytes that were taken. Raises: OSError; BlockingIOError for a full pipe that does not block and that nobody reads."""
        taken = self._stream.write(rest)
        if not taken:
            room = select.poll()
            room.register(self._stream.fileno(), select.POLLOUT)
            room.poll(RETRY_EVERY_S * 1000)
            taken = self._stream.write(rest)
        if not taken:
            raise BlockingIOError(errno.EAGAIN, "its reader takes nothing")
        return taken

    def _follow_rotation(self) -> None:
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(self._path.stat(), os.fstat(self._stream.fileno()))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            before, self._stream = self._stream, FileIO(self._path, "a")
            self._written = self._block.rfind(b"\n", 0, self._written) + 1  # half a line stays behind; here it stands whole
            before.close()

    @staticmethod
    def _open(path: Path) -> FileIO:
        try:
            return FileIO(path, "a")
        except OSError as error:
            raise InvalidInput(f"cannot write the access log {path}: {error.strerror}; name another file") from error


def encode_record(record: RequestRecord, ended_s: float) -> bytes:
    """A record as one line of JSON, without the line break.

    Args:
        ended_s: when the request ended, seconds since 1970.
    """
    fields = {
        "time": _format_time(ended_s),
        "id": record.request_id,
        "remote": record.remote,
        "tenant": record.tenant,
        "method": record.method,
        "path": record.path[:MAX_PATH],
        "status": record.status,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "duration_ms": round(record.duration_s * 1000, 3),
    }
    if record.model:
        fields |= {
            "model": record.model,
            "queue_ms": round(record.queue_s * 1000, 3),
            "decode_ms": round(record.decode_s * 1000, 3),
            "infer_ms": round(record.infer_s * 1000, 3),
        }
    return msgspec.json.encode(fields)


def _format_time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
