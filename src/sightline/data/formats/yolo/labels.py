"""Where the files of YOLO lie: labels in `labels` for the last `images` of a picture's path or else beside it; listed pictures.

The exact spelling is tried first. Files that went through Windows or a camera's disk may be called `Labels/` or `x.TXT`, so
other cases of these two are tried next, and the file beside the picture last.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import list_folder, list_picture_stems, resolve_inside, walk_folders
from sightline.data.formats.text_files import open_text

IMAGES_FOLDER, LABELS_FOLDER = "images", "labels"
NAMES_FILES = ("classes.txt", "obj.names", "classes.names", "labels.txt", "_darknet.labels")
SUFFIXES = (".txt", ".TXT", ".Txt")


class LabelFinder:
    """Finds label files below `root`; remembers, a folder of pictures, which folders may hold their labels."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._places: dict[Path, list[Path]] = {}

    def find(self, picture: Path) -> Path | None:
        """The label file of a picture, or None without one."""
        for place in self._list_places(picture.parent):
            for suffix in SUFFIXES:
                path = place / f"{picture.stem}{suffix}"
                if os.path.lexists(path):
                    return path
        return None

    def find_labels_folder(self, folder: Path) -> Path | None:
        """The folder in place of `images` for a folder of pictures, or None without one."""
        place = self._list_places(folder)[0]
        return None if place == folder else place

    def _list_places(self, folder: Path) -> list[Path]:
        if folder not in self._places:
            exact = find_label_path(folder / "picture.txt", self._root).parent
            wanted = [exact if exact.is_dir() else None, find_folder_of_any_case(folder, self._root), folder]
            self._places[folder] = list(dict.fromkeys(place for place in wanted if place is not None))
        return self._places[folder]


def find_label_path(path: Path, root: Path, folders: tuple[str, ...] = (IMAGES_FOLDER,)) -> Path:
    """Where the labels of a picture are: `labels` for the last of `folders` in its path below the root, or beside it."""
    parts = list(path.relative_to(root).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] in folders:
            return root.joinpath(*parts[:place], LABELS_FOLDER, *parts[place + 1 :]).with_suffix(".txt")
    return path.with_suffix(".txt")


def iterate_list(place: Path, folders: Sequence[Path], report: ConversionReport) -> Iterator[Path]:
    """The pictures that a list file names, each looked for below one folder after the other."""
    with open_text(place, report) as lines:
        for name in filter(None, map(str.strip, lines)):
            path = next(filter(None, (resolve_inside(folder, name) for folder in folders)), None)
            if path is None:
                report.drop("image", "picture is missing", name)
            else:
                yield path


def find_folder_of_any_case(folder: Path, root: Path) -> Path | None:
    """The folder that has `labels` for the last `images` in the path of `folder`, whatever their case; None without one."""
    parts = folder.relative_to(root).parts
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].lower() == IMAGES_FOLDER:
            found: Path | None = root.joinpath(*parts[:place])
            for name in (LABELS_FOLDER, *parts[place + 1 :]):
                found = find_child(found, name) if found is not None else None
            return found
    return None


def find_child(folder: Path, name: str) -> Path | None:
    """The folder `name` inside of `folder`, spelt like that or, failing this, in other cases."""
    if (folder / name).is_dir():
        return folder / name
    names = list_folder(folder)[1] if folder.is_dir() else []
    return next((folder / other for other in names if other.lower() == name.lower()), None)


def is_label_file(path: Path) -> bool:
    """Whether a file's name ends like that of labels."""
    return path.suffix.lower() == ".txt"


def report_orphan_labels(folder: Path, finder: LabelFinder, report: ConversionReport) -> None:
    """Tell of label files below the labels folder of `folder` whose picture is not there."""
    labels = finder.find_labels_folder(folder)
    if labels is None:
        return
    for inside, files in walk_folders(labels):
        pictures = list_picture_stems(folder / inside.relative_to(labels))
        for path in (inside / name for name in files):
            if is_label_file(path) and path.stem not in pictures and path.name not in NAMES_FILES:
                report.drop("image", "picture is missing, only its labels are there", path.relative_to(labels).as_posix())
