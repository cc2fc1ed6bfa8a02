"""A place of its own for a run's temporary files, so that what a killed run left there goes with the next run.

A lock on the place says that its run is alive, and the system opens it however that run ends. systemd's cleaning of /tmp leaves
locked folders alone, too.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "sightline-run-"


@contextmanager
def temporary_place() -> Iterator[None]:
    """Have all of Python's temporary files made in one folder, which is removed at the end; where none can be made, as ever."""
    before = tempfile.tempdir
    try:
        root = Path(tempfile.gettempdir())
        remove_abandoned(root)
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    except OSError:  # no room, or no right to write; whoever needs a temporary file will be told
        yield
        return
    lock = lock_folder(place)
    tempfile.tempdir = str(place) if lock is not None else before
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned(root: Path) -> None:
    """Remove the places of this user's runs that are no more."""
    for place in root.glob(f"{PREFIX}*"):
        lock = lock_folder(place)
        if lock is not None:
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)


def lock_folder(folder: Path) -> int | None:
    """A descriptor that holds a folder's lock until it is closed; None when it is another user's, locked, or gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        # It may have been removed, by a run that took it for abandoned, between opening and locking.
        if found.st_uid == os.getuid() and os.path.samestat(found, folder.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
