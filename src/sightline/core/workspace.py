"""The workspace: one folder where names stand for DatasetVersions, Models, Artifacts, Deployments and Reports.

    workspace/
      blobs/sha256/ab/abcdef...          pictures, by content
      datasets/NAME/VERSION_ID/          manifest.json + items.parquet; `latest` names the newest
      models/NAME/MODEL_ID/              artifacts/NAME/ARTIFACT_ID/              reports/NAME/REPORT_ID/
      deployments/NAME/1/                a copy of the Artifact; the model repository of `sightline serve`

Whatever a verb takes can be given as a path to such a folder, as `NAME` (the newest), or as `NAME@ID-PREFIX`.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from sightline.core.errors import Conflict, CorruptFile, InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME, compute_file_hash, write_file_atomic

StrPath = str | os.PathLike[str]  # how a caller may give a path; inside, paths are `Path`
Shelf = Literal["datasets", "models", "artifacts", "reports"]
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_RULE = "letters, digits, '.', '_' or '-' (at most 100, a letter or a digit first)"
LATEST_NAME = "latest"
ID_LENGTH = 16  # hex digits of the id used as folder name
ID_PATTERN = re.compile(f"[0-9a-f]{{{ID_LENGTH}}}")
MAX_LISTED = 8  # ids that a message names


def check_name(name: str) -> str:
    """Return `name` if it is fit for a folder and a URL. Raises: InvalidInput."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidInput(f"expected a name of {NAME_RULE}, got {name!r}")
    return name


def find_shelved_name(folder: Path, shelf: Shelf, manifest_id: str) -> str | None:
    """The name that the folder with this id has on a workspace's shelf; None for a folder elsewhere."""
    place = folder.absolute()
    is_shelved = place.name == manifest_id[:ID_LENGTH] and place.parent.parent.name == shelf
    return place.parent.name if is_shelved else None


def check_identity(folder: Path) -> Path:
    """Return a folder, unless it is named by an id that its manifest no longer has. Raises: CorruptFile."""
    if ID_PATTERN.fullmatch(folder.resolve().name):
        path = folder / MANIFEST_NAME
        manifest_id = compute_file_hash(path).sha256
        if not manifest_id.startswith(folder.resolve().name):
            raise CorruptFile(
                f"{path} was changed since it was made: its id is {manifest_id[:ID_LENGTH]} now; put the file back, or make "
                "the folder again"
            )
    return folder


class Workspace:
    """Names and paths below one root folder. It creates nothing until something is put there.

    Args:
        root: the folder.
        takes_paths: whether what names are looked up for may be paths, too: what a person types may, what a request holds not.
            Else a folder that lies where the program was started would be taken for what has its name in the workspace.
    """

    def __init__(self, root: StrPath, takes_paths: bool = True) -> None:
        self.root = Path(root)
        self.takes_paths = takes_paths

    @property
    def blobs(self) -> Path:
        """Folder of the blob store."""
        return self.root / "blobs"

    @property
    def deployments(self) -> Path:
        """The model repository: a folder per Deployment."""
        return self.root / "deployments"

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    def place(self, shelf: Shelf, name: str, manifest_id: str) -> Path:
        """Where the folder with this id belongs on its shelf."""
        return self.root / shelf / check_name(name) / manifest_id[:ID_LENGTH]

    def set_latest(self, folder: Path) -> None:
        """Make `folder` the one that its name without an id stands for."""
        write_file_atomic(folder.parent / LATEST_NAME, folder.name.encode())

    def find(self, shelf: Shelf, reference: str | os.PathLike[str]) -> Path:
        """Folder that a path, a `NAME` or a `NAME@ID-PREFIX` stands for.

        Args:
            shelf: "datasets", "models", "artifacts" or "reports".
            reference: the path, name, or name with a part of the id.

        Raises: NotFound naming the names or ids that are there; InvalidInput when the prefix fits several; CorruptFile when its
            manifest is not the one that it was made with.
        """
        _check_shelf(shelf)
        reference = os.fspath(reference)
        if self.takes_paths and (Path(reference) / MANIFEST_NAME).is_file():
            return check_identity(Path(reference))
        name, _, prefix = reference.partition("@")
        folders = self.list(shelf, name) if NAME_PATTERN.fullmatch(name) else []
        if not folders:
            known = self.names(shelf)
            raise NotFound(
                f"no {shelf[:-1]} {reference!r} in {self.root}; there is {', '.join(known) if known else 'none yet'}"
            )
        if not prefix:
            prefix = self._read_latest(folders[0].parent)
        fitting = [folder for folder in folders if folder.name.startswith(prefix)]
        if not fitting:
            raise NotFound(f"no {shelf[:-1]} {name}@{prefix} in {self.root}; there is {_list_references(folders)}")
        if len(fitting) > 1:
            raise InvalidInput(f"{reference!r} fits {_list_references(fitting)}; give more of the id")
        return check_identity(fitting[0])

    def names(self, shelf: Shelf) -> list[str]:
        """Names on a shelf that have something complete, sorted."""
        folder = self.root / _check_shelf(shelf)
        return sorted(path.name for path in folder.iterdir() if self.list(shelf, path.name)) if folder.is_dir() else []

    def list(self, shelf: Shelf, name: str) -> list[Path]:
        """All folders of one name, oldest first."""
        folders = [path.parent for path in (self.root / shelf / name).glob(f"*/{MANIFEST_NAME}") if path.parent.name[0] != "."]
        return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)

    def _read_latest(self, shelf_folder: Path) -> str:
        path = shelf_folder / LATEST_NAME
        if not path.is_file():
            raise NotFound(f"{shelf_folder} does not say which of its folders is the newest; name one as NAME@ID")
        return path.read_text().strip()


def _check_shelf(shelf: Shelf) -> Shelf:
    if shelf not in get_args(Shelf):
        raise InvalidInput(f"expected a shelf of {', '.join(get_args(Shelf))}, got {shelf!r}; choose one of these")
    return shelf


def make_place(out: StrPath | Workspace) -> Path | Workspace:
    """Where a verb shall put what it makes: a folder as a `Path`, or the Workspace as it is.

    Raises: Conflict for the root folder of a workspace: nothing can become that.
    """
    if isinstance(out, Workspace):
        return out
    if any((Path(out) / part).is_dir() for part in ("blobs", *get_args(Shelf))):
        raise Conflict(f"{out} exists already; if it is a workspace, pass sightline.Workspace({os.fspath(out)!r})")
    return Path(out)


def _list_references(folders: Sequence[Path]) -> str:
    """Folders of one name as people write them, newest first."""
    shown = [f"{folder.parent.name}@{folder.name}" for folder in reversed(folders[-MAX_LISTED:])]
    return ", ".join(shown) + (f" and {len(folders) - MAX_LISTED} more" if len(folders) > MAX_LISTED else "")
