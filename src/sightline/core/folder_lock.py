"""One run at a time in a folder: a lock that the system opens however its holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sightline.core.errors import Conflict

LOCK_NAME = ".lock"


def _open_lock(folder: Path) -> IO[str]:
    """The file that is locked. A run that ends takes the folder away, perhaps just after it was made here: then once more."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return (folder / LOCK_NAME).open("a")


@contextmanager
def lock_folder(folder: Path, refusal: str) -> Iterator[None]:
    """Hold a folder, made where it is absent; at the end it goes if nothing was put there.

    Raises: Conflict with the words of `refusal` while another run holds it.
    """
    with _open_lock(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_gone = os.fstat(lock.fileno()).st_nlink == 0  # a run that ended took it away between opening and locking
        except BlockingIOError:
            is_gone = True
        if is_gone:
            raise Conflict(refusal)
        try:
            yield
        finally:
            # A run that took the folder away has no lock in it: what lies there by then is another run's.
            is_ours = os.fstat(lock.fileno()).st_nlink > 0
            if is_ours and [path.name for path in folder.iterdir()] == [LOCK_NAME]:
                (folder / LOCK_NAME).unlink()
                with suppress(OSError):  # another run has just begun there
                    folder.rmdir()
