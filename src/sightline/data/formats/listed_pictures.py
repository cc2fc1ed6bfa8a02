"""Pictures that a file of labels lists by name: found in the folders where its tools put them, and those that it leaves out."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import resolve_inside, spell, walk_pictures

MAX_FOREIGN_NAME = 250
FOREIGN = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.\.(/|$)")


class ListedPictures:
    """Finds pictures by the names that a file gives them. Args: folders: where they may lie, the likeliest first."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._latest: Path | None = None
        self._is_settled = False

    @property
    def folder(self) -> Path:
        """Where the last picture was found; only after one was."""
        assert self._latest is not None
        return self._latest

    def prefer_fullest(self, file_names: Iterable[str]) -> None:
        """Look first where the most of these names are: one may be in several folders, and then not be the same picture."""
        if len(self._folders) < 2:
            return
        counts = dict.fromkeys(self._folders, 0)
        for file_name in file_names:
            for folder in self._folders:
                counts[folder] += _find_in(folder, file_name) is not None
        self._folders.sort(key=counts.__getitem__, reverse=True)  # stable: of equal counts the likeliest stays first
        self._is_settled = True

    def find(self, file_name: str) -> Path | None:
        """The picture's path, or None. A name that leads out of the dataset is looked up by its last parts only."""
        for number, folder in enumerate(self._folders):
            found = _find_in(folder, file_name)
            if found is not None:
                self._latest = folder
                if not self._is_settled:  # pictures of one file lie together: look there first next time
                    self._folders.insert(0, self._folders.pop(number))
                return found
        return None


def _find_in(folder: Path, file_name: str) -> Path | None:
    foreign = FOREIGN.search(file_name) is not None
    if foreign and len(file_name) > MAX_FOREIGN_NAME:
        return None
    paths = [resolve_inside(folder, file_name)] if foreign else [folder / name for name in spell(file_name)]
    # `os.path.isfile` is False for names the system cannot have; `Path.is_file` raises for some.
    return next((path for path in paths if path is not None and os.path.isfile(path)), None)  # noqa: PTH113


def remove_machine_folders(file_name: str) -> str:
    """The file name without a machine's folders: parts that lead up or to a root are left out."""
    parts = [part for part in file_name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part for part in parts if not part.endswith(":")) or "image"


def warn_unlisted(folders: set[Path], seen: set[int], root: Path, report: ConversionReport, kind: str = "JSON") -> None:
    """Tell of pictures in `folders` that no file of this kind lists. Args: seen: hashes of the paths of those that one does."""
    for folder in sorted(folders):
        if folders.isdisjoint(folder.parents):  # else it is gone through with the one above
            for path in walk_pictures(folder):
                if hash(path) not in seen:
                    report.warn("image", f"picture that no {kind} lists is left out", path.relative_to(root).as_posix())
