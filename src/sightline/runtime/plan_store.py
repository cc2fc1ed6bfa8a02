"""Plans that an engine compiled, kept on this machine, so that a network which was planned here once opens without it.

    folder = open_plan_folder(settings.cache)
    SessionOptions(..., plan_folder=folder)

A plan holds native data that its engine trusts: so the folder is private to its owner, a plan lies under the hash of all that
went into it, and one that is not whole is not used. Files are mapped, not read: an engine packs most of a plan into memory of
its own, and then the file takes none. A kept plan is never written to again, it may only be replaced or removed.
"""

import hashlib
import logging
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from sightline.core.errors import Conflict
from sightline.core.folders import make_private_folder, write_file_atomic

FOLDER_NAME = "plans"
SUFFIX = ".plan"
MOST_BYTES = 2 * 1024**3  # of all plans; those that were not used for the longest time go first
DIGEST_BYTES = hashlib.sha256().digest_size  # behind the plan in its file

logger = logging.getLogger("sightline.runtime")
_makers: "WeakValueDictionary[Path, Any]" = WeakValueDictionary()  # a lock for each plan that a thread looks for
_makers_lock = threading.Lock()


def open_plan_folder(cache: Path) -> Path | None:
    """Where plans lie in the folder of what can be made again; None, and a line in the log, where it cannot be had."""
    try:
        folder = cache.expanduser().absolute() / FOLDER_NAME
        make_private_folder(folder)
    except (Conflict, OSError, RuntimeError) as error:  # the last: there is no home
        logger.info("compiled plans are not kept: %s", error)
        return None
    return folder


class KeptPlan:
    """A plan's file, mapped. It must live as long as what the engine makes of it, which reads its constants there.

    Attributes:
        content: uint8 `(N,)`; to be read only.
    """

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped = mapped
        self.content = np.frombuffer(mapped, np.uint8, max(0, len(mapped) - DIGEST_BYTES))

    @property
    def is_whole(self) -> bool:
        """Whether it is what was kept."""
        return hashlib.sha256(self.content.data).digest() == self._mapped[len(self.content) :]

    def leave_memory(self) -> None:
        """Take no memory for what nobody reads any more; whoever reads it again finds it in the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


class PlanStore:
    """The plans in a folder. For any thread and process.

    Args:
        folder: of `open_plan_folder`.
        most_bytes: of all plans together.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Be the only thread of this process that looks for a plan and makes it, so that others find what it made."""
        path = self._locate(key)
        with _makers_lock:
            lock = _makers.get(path)
            if lock is None:
                lock = _makers[path] = threading.Lock()
        with lock:
            yield

    def find(self, key: str) -> KeptPlan | None:
        """A plan; None when none is whole. Args: key: a hash of all that went into the plan, in hexadecimal."""
        path = self._locate(key)
        try:
            with path.open("rb") as file:
                # Private and writable, as an engine's tensors want it, though nobody writes.
                mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
            os.utime(path)
        except (OSError, ValueError):  # not there, or empty
            return None
        plan = KeptPlan(mapped)
        if not plan.is_whole:
            logger.warning("the compiled plan %s is damaged and is made again", path)
            return None
        return plan

    def keep(self, key: str, plan: memoryview) -> None:
        """Write a plan. Where that cannot be, the log says why, and the next session plans for itself."""
        if len(plan) > self._most_bytes:
            return
        try:
            write_file_atomic(self._locate(key), bytes(plan) + hashlib.sha256(plan).digest(), rights=0o600, durable=False)
            self._make_room()
        except OSError as error:
            logger.info("a compiled plan is not kept: %s", error)

    def _locate(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _make_room(self) -> None:
        used = []
        for path in self._folder.iterdir():  # also what a process left that was killed while it wrote
            with suppress(OSError):  # another process has just removed it
                facts = path.stat()
                used.append((facts.st_mtime_ns, facts.st_size, path))
        total_bytes = sum(size_bytes for _, size_bytes, _ in used)
        for _, size_bytes, path in sorted(used):
            if total_bytes <= self._most_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= size_bytes
