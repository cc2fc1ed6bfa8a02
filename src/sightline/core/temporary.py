"""Folders that last as long as whoever made them: what a killed process left is removed by the next one.

A lock on the folder says that its maker is alive, and the system opens it however that ends. systemd's cleaning of /tmp leaves
locked folders alone, too.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder(root: Path, prefix: str) -> Iterator[Path]:
    """A new folder inside `root`, which is removed at the end; so are those of the prefix whose makers are no more.

    Raises: OSError where none can be made.
    """
    remove_abandoned(root, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    lock = lock_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned(root: Path, prefix: str) -> None:
    """Remove the folders of this user's processes that are no more."""
    for place in root.glob(f"{prefix}*"):
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
        # It may have been removed, by a process that took it for abandoned, between opening and locking.
        if found.st_uid == os.getuid() and os.path.samestat(found, folder.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
