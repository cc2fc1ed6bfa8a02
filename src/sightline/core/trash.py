"""What was removed lies in the workspace's `trash`, in the folders that it had: moving it back brings it back.

    workspace/trash/20261128-140501/models/parts/3f0a.../

The one idea: removing is one rename, so nothing is half removed, and nothing is lost until somebody empties the trash.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folder_lock import lock_folder
from sightline.core.folders import explain_disk_errors, sync_path
from sightline.core.shelving import STAGING_NAME
from sightline.core.workspace import LATEST_NAME, NAME_PATTERN, NAME_RULE, Shelf, Workspace

TRASH_NAME = "trash"
HELD = (STAGING_NAME, ".freezing")  # folders beside those of a name that who makes one keeps locked


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved. Attributes: trash: where it lies now; place: where it was, and belongs."""

    trash: Path
    place: Path


def find_removable(workspace: Workspace, shelf: Shelf, reference: str) -> list[Path]:
    """The folders that a `NAME` (all of them) or a `NAME@ID-PREFIX` (one) stands for. Raises: NotFound, InvalidInput.

    Damaged ones count, too: they are what people want to be rid of.
    """
    name, at, prefix = reference.partition("@")
    if not NAME_PATTERN.fullmatch(name) or (at and not prefix):
        raise InvalidInput(f"expected NAME or NAME@ID, a name of {NAME_RULE}, got {reference!r}; sightline show lists them")
    folders = [folder for folder in workspace.list(shelf, name) if folder.name.startswith(prefix)]
    if not folders:
        known = ", ".join(workspace.names(shelf)) or "none"
        raise NotFound(f"no {shelf[:-1]} {reference!r} in {workspace.root}; there is {known}")
    if at and len(folders) > 1:
        raise InvalidInput(f"{reference!r} fits {', '.join(folder.name for folder in folders)}; give more of the id")
    return folders


def move_to_trash(workspace: Workspace, shelf: Shelf, folders: list[Path], now: datetime) -> Removed:
    """Move folders of one name that `find_removable` found: one, or all that there are, then the name with them.

    Where the name stood for what goes, it stands for the newest that stays.

    Raises: Conflict while something is made under this name; InvalidInput, Exhausted where the disk refuses.
    """
    home = folders[0].parent
    for busy in (home / name for name in HELD if (home / name).is_dir()):
        with lock_folder(busy, f"something is being made under the name {home.name!r} now; wait for it and try again"):
            pass
    left = [folder for folder in workspace.list(shelf, home.name) if folder not in folders]
    place = folders[0] if left else home
    with explain_disk_errors(workspace.root / TRASH_NAME):
        target = make_drawer(workspace, now) / place.relative_to(workspace.root)
        target.parent.mkdir(parents=True)
        if left and (home / LATEST_NAME).read_text().strip() == place.name:
            workspace.set_latest(left[-1])
        place.rename(target)
        for folder in (target.parent, place.parent):
            sync_path(folder)
    return Removed(trash=target, place=place)


def make_drawer(workspace: Workspace, now: datetime) -> Path:
    """A new folder of the trash for one removal, named after the time."""
    stem, number = workspace.root / TRASH_NAME / f"{now:%Y%m%d-%H%M%S}", 1
    while True:
        drawer = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        try:
            drawer.mkdir(parents=True)
            return drawer
        except FileExistsError:
            number += 1
