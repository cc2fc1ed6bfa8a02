"""Make a folder under a steady hidden name in the workspace, then put it on its shelf under its id.

The hidden place is the same for every run under one name, so that an interrupted training is found again by its resume; a lock
keeps a second run under that name out.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sightline.core.errors import InvalidInput, SightlineError
from sightline.core.folder_lock import lock_folder
from sightline.core.folders import is_whole, put_unless_whole, read_manifest
from sightline.core.manifests import ArtifactManifest, FrozenManifest, ModelManifest, compute_manifest_id
from sightline.core.workspace import Shelf, Workspace, check_name

STAGING_NAME = ".making"
MADE_MANIFESTS: dict[Shelf, type[ModelManifest | ArtifactManifest]] = {"models": ModelManifest, "artifacts": ArtifactManifest}


@contextmanager
def stage(
    workspace: Workspace, shelf: Shelf, name: str | None, on_leftover: Callable[[Path], None] = lambda folder: None
) -> Iterator[Path]:
    """Give the folder to be made, `SHELF/NAME/.making/NAME`.

    Args: on_leftover: told where what a killed run had made whole, and not shelved, lies on the shelf now.

    Raises: InvalidInput without a fit name; Conflict while another run makes one of this name.
    """
    if name is None:
        raise InvalidInput(f"expected a name for what is made in the workspace {workspace.root}, got none; give it as name=")
    staging = workspace.root / shelf / check_name(name) / STAGING_NAME
    refusal = f"another run is making {name!r} in {shelf} now; wait for it or choose another name"
    try:
        with lock_folder(staging, refusal):
            staged = staging / name
            if (manifest := read_whole(staged, MADE_MANIFESTS[shelf])) is not None:
                on_leftover(shelve(staged, workspace, shelf, manifest))
            remove_leftovers(staging, name)
            yield staged
    finally:
        with suppress(OSError):  # not empty: it holds what this run, or an earlier one, made or left to go on with
            staging.parent.rmdir()


def read_whole(folder: Path, manifest_type: type[ModelManifest | ArtifactManifest]) -> ModelManifest | ArtifactManifest | None:
    """Manifest of a folder that is complete and undamaged, else None."""
    try:
        manifest = read_manifest(folder, manifest_type)
    except (SightlineError, OSError):
        return None
    return manifest if is_whole(folder, manifest) else None


def remove_leftovers(staging: Path, name: str) -> None:
    """Remove what killed runs left: half made, damaged or failed. Call while holding the lock; checkpoints stay."""
    for path in staging.iterdir():
        if path.name in (name, f"{name}.failed", f"{name}.old") or path.name.startswith(f".{name}."):
            shutil.rmtree(path, ignore_errors=True)


def shelve(folder: Path, workspace: Workspace, shelf: Shelf, manifest: FrozenManifest, name: str | None = None) -> Path:
    """Move a made folder to `SHELF/NAME/ID` and let its name stand for it.

    The same thing made twice is kept once; what lies there damaged gives way.

    Args: name: by default the folder's.
    """
    target = workspace.place(shelf, name or folder.name, compute_manifest_id(manifest))
    target.parent.mkdir(parents=True, exist_ok=True)
    if not put_unless_whole(folder, target, manifest):
        shutil.rmtree(folder)
    workspace.set_latest(target)
    return target
