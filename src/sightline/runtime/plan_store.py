"""Plans that an engine compiled, kept on this machine, so that a network which was planned here once opens without it.

    folder = open_plan_folder(settings.cache)
    SessionOptions(..., plan_folder=folder)

A plan holds native data that its engine trusts: so the folder is private to its owner, as is each file in it, a plan lies under
the hash of all that went into it, and one that is not what was kept under that name is not used.
"""

import hashlib
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sightline.core.errors import Conflict
from sightline.core.folders import make_private_folder, write_file_atomic
from sightline.runtime.cache_room import MOST_BYTES, make_room

FOLDER_NAME = "plans"
SUFFIX = ".plan"
MOST_PLAN_BYTES = MOST_BYTES // 16
DIGEST_BYTES = hashlib.sha256().digest_size  # behind the plan in its file

logger = logging.getLogger("sightline.runtime")
_makers: "WeakValueDictionary[Path, Any]" = WeakValueDictionary()  # a lock for each plan that a thread makes
_makers_lock = threading.Lock()


def open_plan_folder(cache: Path) -> Path | None:
    """Where plans lie in the folder of what can be made again; None, and a line in the log, where it cannot be had."""
    try:
        folder = cache.expanduser().absolute() / FOLDER_NAME
        make_private_folder(folder.parent)
        make_private_folder(folder)
    except (Conflict, OSError, RuntimeError) as error:  # the last: there is no home
        logger.info("compiled plans are not kept: %s", error)
        return None
    return folder


class PlanStore:
    """The plans in a folder. For any thread and process.

    Args:
        folder: of `open_plan_folder`.
        most_bytes, most_plan_bytes: of all plans together, and of one.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES, most_plan_bytes: int = MOST_PLAN_BYTES) -> None:
        self._folder = folder
        self._most_bytes, self._most_plan_bytes = most_bytes, most_plan_bytes

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Be the only thread of this process that makes a plan, so that others find what it made."""
        path = self._locate(key)
        with _makers_lock:
            lock = _makers.get(path)
            if lock is None:
                lock = _makers[path] = threading.Lock()
        with lock:
            yield

    def find(self, key: str) -> bytes | None:
        """A plan; None when none is whole and ours. Args: key: a hash of all that went into it, in hexadecimal."""
        path = self._locate(key)
        try:
            content = _read_private(path)
        except OSError:
            return None
        plan = content[:-DIGEST_BYTES]
        if _sign(key, plan) != content[-DIGEST_BYTES:]:
            logger.warning("the compiled plan %s is damaged or another's, and is made again", path)
            self.drop(key)
            return None
        with suppress(OSError):  # a disk that is read only
            os.utime(path)
        return plan

    def keep(self, key: str, plan: bytes) -> bool:
        """Write a plan. Returns: False where it is not there afterwards; the log says why, and the next session plans anew."""
        if len(plan) > self._most_plan_bytes:
            logger.info("a compiled plan of %d MB is not kept: more than %d", len(plan) >> 20, self._most_plan_bytes >> 20)
            return False
        try:
            make_private_folder(self._folder)  # it may be removed at any time
            write_file_atomic(self._locate(key), plan + _sign(key, plan), rights=0o600, durable=False)
        except (Conflict, OSError) as error:
            logger.info("compiled plans are not kept: %s", error)
            return False
        make_room(self._folder.iterdir(), self._most_bytes)  # also what a process left that was killed while it wrote
        return True

    def drop(self, key: str) -> None:
        """Remove a plan."""
        with suppress(OSError):
            self._locate(key).unlink()

    def _locate(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"


def _sign(key: str, plan: bytes) -> bytes:
    digest = hashlib.sha256(key.encode())
    digest.update(plan)
    return digest.digest()


def _read_private(path: Path) -> bytes:
    """A file that its owner alone may write to, who is this process's user. Raises: OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
            raise PermissionError(f"{path} is not this user's own")
        return file.read()
