"""Make a folder under a steady hidden name in the workspace, then put it on its shelf under its id.

The hidden place is the same for every run under one name, so that an interrupted training is found again by its resume; a lock
keeps a second run under that name out.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sightline.core.errors import InvalidInput
from sightline.core.folder_lock import lock_folder
from sightline.core.folders import put_unless_whole
from sightline.core.manifests import FrozenManifest, compute_manifest_id
from sightline.core.workspace import Shelf, Workspace, check_name

STAGING_NAME = ".making"


@contextmanager
def stage(workspace: Workspace, shelf: Shelf, name: str | None) -> Iterator[Path]:
    """Give the folder to be made, `SHELF/NAME/.making/NAME`.

    Raises: InvalidInput without a fit name; Conflict while another run makes one of this name.
    """
    if name is None:
        raise InvalidInput(f"expected a name for what is made in the workspace {workspace.root}, got none; give it as name=")
    staging = workspace.root / shelf / check_name(name) / STAGING_NAME
    refusal = f"another run is making {name!r} in {shelf} now; wait for it or choose another name"
    try:
        with lock_folder(staging, refusal):
            remove_leftovers(staging, name)
            yield staging / name
    finally:
        with suppress(OSError):  # not empty: it holds what this run, or an earlier one, made or left to go on with
            staging.parent.rmdir()


def remove_leftovers(staging: Path, name: str) -> None:
    """What runs left that were killed: half made, made but not shelved, or failed. Call with the lock; checkpoints stay."""
    for path in staging.iterdir():
        if path.name in (name, f"{name}.failed", f"{name}.old") or path.name.startswith(f".{name}."):
            shutil.rmtree(path, ignore_errors=True)


def shelve(folder: Path, workspace: Workspace, shelf: Shelf, manifest: FrozenManifest, name: str | None = None) -> Path:
    """Move a made folder to `SHELF/NAME/ID` and let its name stand for it.

    The same thing made twice is kept once; what lies there damaged gives way.

    Args: name: by default the folder's.
    """
    target = workspace.place(shelf, name or folder.name, compute_manifest_id(manifest))
    if not put_unless_whole(folder, target, manifest):
        shutil.rmtree(folder)
    workspace.set_latest(target)
    return target
