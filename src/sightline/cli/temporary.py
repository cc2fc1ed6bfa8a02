"""A place of its own for a run's temporary files, so that what a killed run left there goes with the next run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core.temporary import lock_folder, remove_abandoned

PREFIX = "sightline-run-"


@contextmanager
def temporary_place() -> Iterator[None]:
    """Have all of Python's temporary files made in one folder, which is removed at the end; where none can be made, as ever."""
    before = tempfile.tempdir
    try:
        root = Path(tempfile.gettempdir())
        remove_abandoned(root, PREFIX)
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
