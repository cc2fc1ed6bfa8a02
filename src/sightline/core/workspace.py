"""The workspace: one folder where names stand for DatasetVersions, Models, Artifacts, Deployments and Reports.

    workspace/
      blobs/sha256/ab/abcdef...          pictures, by content
      datasets/NAME/VERSION_ID/          manifest.json + items.parquet; `latest` names the newest
      models/NAME/MODEL_ID/              artifacts/NAME/ARTIFACT_ID/              reports/NAME/REPORT_ID/
      deployments/NAME/1/                a copy of the Artifact; the model repository of `sightline serve`

Whatever a verb takes can be given as a path to such a folder, as `NAME` (the newest), or as `NAME@ID-PREFIX`.
"""

import re
from pathlib import Path
from typing import Literal

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME, write_file_atomic

Shelf = Literal["datasets", "models", "artifacts", "reports"]
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LATEST_NAME = "latest"
ID_LENGTH = 16  # hex digits of the id used as folder name


def check_name(name: str) -> str:
    """Return `name` if it is fit for a folder and a URL. Raises: InvalidInput."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidInput(f"expected a name of letters, digits, '.', '_' or '-' (at most 100), got {name!r}")
    return name


class Workspace:
    """Names and paths below one root folder; creates nothing until something is put there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def blobs(self) -> Path:
        """Folder of the blob store."""
        return self.root / "blobs"

    @property
    def deployments(self) -> Path:
        """The model repository: a folder per Deployment."""
        return self.root / "deployments"

    def place(self, shelf: Shelf, name: str, manifest_id: str) -> Path:
        """Where the folder with this id belongs."""
        return self.root / shelf / check_name(name) / manifest_id[:ID_LENGTH]

    def set_latest(self, folder: Path) -> None:
        """Make `folder` what its bare name stands for."""
        write_file_atomic(folder.parent / LATEST_NAME, folder.name.encode())

    def find(self, shelf: Shelf, reference: str) -> Path:
        """Folder that a path, a `NAME` or a `NAME@ID-PREFIX` stands for.

        Raises: NotFound naming what is there; InvalidInput when the prefix fits several.
        """
        if (Path(reference) / MANIFEST_NAME).is_file():
            return Path(reference)
        name, _, prefix = reference.partition("@")
        shelf_folder = self.root / shelf / name
        if not NAME_PATTERN.fullmatch(name) or not shelf_folder.is_dir():
            known = self.names(shelf)
            raise NotFound(
                f"no {shelf[:-1]} {reference!r} in {self.root}; there is {', '.join(known) if known else 'none yet'}"
            )
        if not prefix:
            prefix = self._read_latest(shelf_folder)
        fitting = [folder for folder in self.list(shelf, name) if folder.name.startswith(prefix)]
        if len(fitting) != 1:
            kind = NotFound if not fitting else InvalidInput
            raise kind(f"{len(fitting)} of the {shelf} {name!r} have an id that begins with {prefix!r}; give more of the id")
        return fitting[0]

    def names(self, shelf: Shelf) -> list[str]:
        """Names on a shelf, sorted."""
        folder = self.root / shelf
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def list(self, shelf: Shelf, name: str) -> list[Path]:
        """Folders of one name, oldest first."""
        folders = [path.parent for path in (self.root / shelf / name).glob(f"*/{MANIFEST_NAME}") if path.parent.name[0] != "."]
        return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)

    def _read_latest(self, shelf_folder: Path) -> str:
        path = shelf_folder / LATEST_NAME
        if not path.is_file():
            raise NotFound(f"{shelf_folder} holds nothing that is complete; make it again")
        return path.read_text().strip()
