"""What a job and its runner tell each other: files in `jobs/ID` of the workspace, so that either may die and be started again.

order.json       what to do and with which cores; written by the runner before each start
process.json     which process does it; written by that process, which holds `lock` for as long as it lives
progress.jsonl   log.txt      how it goes on
end.json         how it ended; written once, by the process: without it the process died
making/          what a job works on and leaves to a restart; removed when the job has ended
"""

import codecs
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sightline.core.folders import write_file_atomic
from sightline.jobs.events import JobEvent, read_events
from sightline.jobs.leases import Lease
from sightline.jobs.marks import ProcessMark

JOBS_NAME = "jobs"
Record = TypeVar("Record", bound=msgspec.Struct)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job.

    Attributes:
        kind, arguments: the verb and what it is called with.
        author: who asked for it.
        is_restart: a process of this job died, or was ended with its server, and this one goes on.
        is_stopped: it was asked to stop and keep the best before this start.
    """

    id: str
    kind: str
    arguments: dict[str, Any]
    author: str
    lease: Lease
    is_restart: bool = False
    is_stopped: bool = False


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a job made.

    Attributes:
        shelf: "models", "artifacts", "deployments", "reports" or "datasets".
        id: of what lies on the shelf; of a Deployment the number of its version.
        facts: numbers and words worth showing beside it.
    """

    shelf: str
    name: str
    id: str
    facts: dict[str, float | int | str] = {}


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended by itself: with what it made, or with one line that says why not."""

    made: Made | None = None
    error: str | None = None


class JobFolder:
    """The files of one job.

    Args: root: of the workspace.
    """

    def __init__(self, root: Path, job_id: str) -> None:
        self.path = root / JOBS_NAME / job_id
        self.progress, self.log, self.making = self.path / "progress.jsonl", self.path / "log.txt", self.path / "making"

    def write_order(self, order: Order) -> None:
        """Say what the next process of this job shall do; nothing of the one before it is left to be taken for its own."""
        self._file("process.json").unlink(missing_ok=True)
        write_file_atomic(self._file("order.json"), msgspec.json.encode(order))

    def read_order(self) -> Order | None:
        """What the last start was."""
        return self._read("order.json", Order)

    def write_mark(self, mark: ProcessMark) -> None:
        """Say which process does the job; call while holding the lock."""
        write_file_atomic(self._file("process.json"), msgspec.json.encode(mark))

    def read_mark(self) -> ProcessMark | None:
        """Which process did, or does, the job."""
        return self._read("process.json", ProcessMark)

    def write_end(self, end: End) -> None:
        """Say how the job ended."""
        write_file_atomic(self._file("end.json"), msgspec.json.encode(end))

    def read_end(self) -> End | None:
        """How the job ended; None while it runs, and when its process died."""
        return self._read("end.json", End)

    def read_events(self) -> list[JobEvent]:
        """What the job told so far, thinned."""
        return read_events(self.progress)

    def read_log(self, offset: int, limit: int) -> tuple[str, int, bool]:
        """A part of the log. Returns: text, the offset behind it, and whether that is the end now."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(min(offset, size))
                content = file.read(limit)
                decoder = codecs.getincrementaldecoder("utf-8")("replace")
                text = decoder.decode(content)
                behind = file.tell() - len(decoder.getstate()[0])  # half of a character comes with the next part
                return text, behind, file.tell() == size
        except FileNotFoundError:
            return "", 0, True

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the job's lock, if no other process does. Gives: whether it is held now."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self._file("lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def clear(self) -> None:
        """Remove what only a restart would need."""
        shutil.rmtree(self.making, ignore_errors=True)

    def remove(self) -> None:
        """Remove the whole folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.path / name

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        try:
            return msgspec.json.decode(self._file(name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
