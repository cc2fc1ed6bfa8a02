"""One server runs a workspace's jobs: a lock keeps a second one out, and a mark tells jobs whether theirs still lives."""

import fcntl
from pathlib import Path
from typing import BinaryIO

import msgspec

from sightline.core.errors import Conflict
from sightline.core.folders import write_file_atomic
from sightline.jobs.folder import JOBS_NAME
from sightline.jobs.marks import ProcessMark, mark_own_process

LOCK_NAME, MARK_NAME = "server.lock", "server.json"


class ServerLock:
    """Held by the process that runs a workspace's jobs, until `release`; the system opens it however the process ends.

    Raises: Conflict while another process holds it.
    """

    def __init__(self, root: Path) -> None:
        folder = root / JOBS_NAME
        folder.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = (folder / LOCK_NAME).open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            holder = read_server_mark(root)
            who = f"process {holder.pid}" if holder is not None else "another process"
            raise Conflict(f"{root} is served by {who} already; end that one, or choose another `workspace`") from None
        write_file_atomic(folder / MARK_NAME, msgspec.json.encode(mark_own_process()))

    def release(self) -> None:
        """Let another process have it."""
        self._file.close()


def read_server_mark(root: Path) -> ProcessMark | None:
    """The process that runs, or ran, a workspace's jobs."""
    try:
        return msgspec.json.decode((root / JOBS_NAME / MARK_NAME).read_bytes(), type=ProcessMark)
    except FileNotFoundError:
        return None
