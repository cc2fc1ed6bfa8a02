"""One run at a time in a folder: a lock that the system opens however its holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sightline.core.errors import Conflict

LOCK_NAME = ".lock"


@contextmanager
def lock_folder(folder: Path, refusal: str) -> Iterator[None]:
    """Hold a folder, made where it is absent; at the end it goes if nothing was put there.

    Raises: Conflict with the words of `refusal` while another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_NAME).open("a") as lock:
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
