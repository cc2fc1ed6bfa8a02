"""Find the pictures a list names: by their path from the places a list may mean, or by base name anywhere in the dataset.

Lists travel without their pictures' folders (TrashNet's say `glass12.jpg` for `dataset-resized/glass/glass12.jpg`), so where no
name has a folder a picture may be anywhere, if only one has the name. Where names have folders they count, else `cam1/1.png`
would stand for `cam2/1.png`: left out may be only what all names of the lists begin with (the dataset's own folder, a path on
another machine). Where that leaves the base name alone, the report is told. The index of base names, some 200 bytes a picture,
is made when it is first needed. A name without a picture's suffix (`id` columns) stands for the picture of that stem.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from sightline.data.conversion import ConversionReport
from sightline.data.formats.picture_files import PICTURE_SUFFIXES, find_split, is_picture, spell, walk_pictures

IMAGES_FOLDER = "images"
ELSEWHERE = "the folder that the list names is not there; the one picture of this name elsewhere is taken"


class PictureFinder:
    """Looks pictures up below `root`, or in the folder `images` where one is given.

    Args:
        root: the dataset's folder.
        base: the folder of the list.
        images: the folder of the pictures, when a person named it.
        names: gives all names of all lists, to see what they begin with; asked once, when a name leads nowhere.
    """

    def __init__(
        self, root: Path, base: Path, images: Path | None = None, names: Callable[[], Iterable[str]] | None = None
    ) -> None:
        inner = [
            place for place in (base, root / IMAGES_FOLDER) if Path(os.path.realpath(place)).is_relative_to(root.resolve())
        ]
        self._top = root if images is None else images
        self._places = [images] if images is not None else list(dict.fromkeys([*inner, root]))
        self._names = names
        self._measured: tuple[int, int] | None = None
        self._by_name: dict[str, Path | None] | None = None
        self._suffixes = [*PICTURE_SUFFIXES, *map(str.upper, PICTURE_SUFFIXES)]
        self._is_named = images is not None

    def find(self, file: str) -> Path | None:
        """The picture's path, or None when there is none or its base name stands for several."""
        for name in spell(file):
            for suffix in [""] if is_picture(name) else self._suffixes:
                found = self._find(name + suffix)
                if found is not None:
                    if suffix:  # pictures of one list mostly end alike: look for that first next time
                        self._suffixes.remove(suffix)
                        self._suffixes.insert(0, suffix)
                    return found
        return None

    def find_told(self, file: str, report: ConversionReport) -> Path | None:
        """`find`, which tells why there is no picture, and of one that lies elsewhere than the list says."""
        path = self.find(file)
        if path is None:
            reason = "several pictures have the name a list gives" if self._is_ambiguous(file) else "picture is missing"
            report.drop("image", reason, file)
            return None
        folders = split_path(file)[:-1]
        if folders and not self._is_named and path.parent.name != folders[-1]:
            place = path.relative_to(self._top) if path.is_relative_to(self._top) else path
            report.warn("image", ELSEWHERE, f"{file} -> {place.as_posix()}")
        return path

    def _is_ambiguous(self, file: str) -> bool:
        """Whether several pictures have this name, whose folders are none or all that the names begin with."""
        parts = split_path(file)
        index = self._index()
        return bool(parts) and parts[-1] in index and index[parts[-1]] is None and self._measure() == (len(parts) - 1,) * 2

    def _find(self, file: str) -> Path | None:
        for place in self._places:
            path = place / file
            if not os.path.isabs(file) and ".." not in file.split("/") and path.is_file():  # noqa: PTH117
                return path
        parts = split_path(file)
        return self._find_below(parts) if parts else None

    def _find_below(self, parts: list[str]) -> Path | None:
        """A picture by its folders and name, less the first ones that all names share."""
        shared, deepest = self._measure()
        shared = min(shared, len(parts) - 1)
        for start in range(shared + 1):
            rest = parts[start:]
            for place in self._places if ".." not in rest else ():
                path = place.joinpath(*rest)
                if os.path.isfile(path) and is_inside(path, place):  # noqa: PTH113 - never raises
                    return path
                if len(rest) > 1 and os.path.isdir(path.parent):  # noqa: PTH112 - never raises
                    return None  # its folder is there and it is not
        found = self._index().get(parts[-1])
        kept = len(parts) - shared
        if found is None or list(found.parts[-kept:]) != parts[shared:] or (kept == 1 and deepest > shared):
            return None
        here = find_splits(found.relative_to(self._top).parts[:-kept])
        wanted = find_splits(parts[:shared])
        return found if not here or not wanted or here & wanted else None

    def _measure(self) -> tuple[int, int]:
        """How many folders all names of the lists begin with, and how many the deepest of them has."""
        if self._measured is None:
            folders = (split_path(name)[:-1] for name in (self._names() if self._names is not None else ()))
            shared = next(folders, [])
            deepest = len(shared)
            for parts in folders:
                deepest = max(deepest, len(parts))
                while parts[: len(shared)] != shared:
                    shared = shared[:-1]
                if deepest and not shared:
                    break
            self._measured = len(shared), deepest
        return self._measured

    def _index(self) -> dict[str, Path | None]:
        if self._by_name is None:
            self._by_name = {}
            for path in walk_pictures(self._top):
                self._by_name[path.name] = None if path.name in self._by_name else path
        return self._by_name


def split_path(name: str) -> list[str]:
    """The parts of a path of any machine."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads nowhere outside of a folder, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def find_splits(folders: Iterable[str]) -> set[str]:
    """The splits that some folders are named after."""
    return {split for name in folders if (split := find_split(name)) is not None}
