"""Make a folder under a steady hidden name in the workspace, then put it on its shelf under its id.

The hidden place is the same for every run under one name, so that an interrupted training is found again by `--resume`; a lock
keeps a second run under that name out.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.core.manifests import Manifest
    from sightline.core.workspace import Shelf, Workspace

STAGING_NAME = ".making"
LOCK_NAME = ".lock"


@contextmanager
def stage(workspace: "Workspace", shelf: "Shelf", name: str) -> Iterator[Path]:
    """Give the folder to be made, `SHELF/NAME/.making/NAME`. Raises: Conflict while another run makes one of this name."""
    from sightline.core.errors import Conflict
    from sightline.core.workspace import check_name

    staging = workspace.root / shelf / check_name(name) / STAGING_NAME
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / LOCK_NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_gone = os.fstat(lock.fileno()).st_nlink == 0  # a run that ended took it away between opening and locking
        except BlockingIOError:
            is_gone = True
        if is_gone:
            raise Conflict(f"another run is making {name!r} in {shelf} now; wait for it or choose another name")
        remove_leftovers(staging, name)
        try:
            yield staging / name
        finally:
            remove_empty(staging)


def remove_leftovers(staging: Path, name: str) -> None:
    """What runs left that were killed: half made, made but not shelved, or failed. Call with the lock; checkpoints stay."""
    for path in staging.iterdir():
        if path.name in (name, f"{name}.failed") or path.name.startswith(f".{name}."):
            shutil.rmtree(path, ignore_errors=True)


def remove_empty(staging: Path) -> None:
    """Take back the folders of a run that left nothing to go on with, so that its name does not stand for nothing."""
    if [path.name for path in staging.iterdir()] != [LOCK_NAME]:
        return
    with suppress(OSError):  # the name's own folder is not empty: it holds what earlier runs made
        (staging / LOCK_NAME).unlink()
        staging.rmdir()
        staging.parent.rmdir()


def shelve(folder: Path, workspace: "Workspace", shelf: "Shelf", manifest: "Manifest") -> Path:
    """Move a made folder to `SHELF/NAME/ID` and let its name stand for it; the same thing made twice is kept once."""
    from sightline.core.manifests import compute_manifest_id

    target = workspace.place(shelf, folder.name, compute_manifest_id(manifest))
    if target.exists():
        shutil.rmtree(folder)
    else:
        folder.rename(target)
    workspace.set_latest(target)
    return target
