"""Where the pictures of a CVAT export lie: `images/`, for projects `images/<subset>/`; frames by number; the video itself."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sightline.data.formats.cvat.elements import NO_SUBSET
from sightline.data.formats.listed_pictures import ListedPictures
from sightline.data.formats.picture_files import PICTURE_SUFFIXES, is_picture, list_folder, resolve_inside
from sightline.data.video.containers import VIDEO_SUFFIXES

FRAME_NAME = re.compile(r"frame_(\d{1,9})\.\w+")


class Folders:
    """The folders of one XML file. Args: path: the file; root: what is imported, which is not left."""

    def __init__(self, path: Path, root: Path) -> None:
        parents = dict.fromkeys((path.parent, path.parent.parent, root))
        self._parents = [folder for folder in parents if folder.is_relative_to(root)]
        self._finders: dict[str, ListedPictures] = {}
        self.folder = root  # where the last picture was found

    def list_folders(self, subset: str | None) -> list[Path]:
        """Where pictures of a subset may lie, the likeliest first."""
        name = subset or NO_SUBSET
        is_name = name not in (".", "..") and not set(name) & set("/\\:\0")
        folders = [parent / part / name for parent in self._parents for part in ("images", ".")] if is_name else []
        folders += [parent / part for parent in self._parents for part in ("images", ".", "data")]
        return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]

    def find(self, name: str, subset: str | None) -> Path | None:
        """The picture of a name, which may be a path of another machine or an address, or lack its suffix."""
        finder = self._finders.get(subset or "")
        if finder is None:
            finder = self._finders[subset or ""] = ListedPictures(self.list_folders(subset))
        for spelling in _spell(name):
            path = finder.find(spelling)
            if path is not None and is_picture(path.name):
                self.folder = finder.folder
                return path
        return None

    def find_frames(self, subset: str | None) -> dict[int, Path]:
        """The pictures of frames, by their numbers in the video, in their order: of the first folder that has some."""
        for folder in self.list_folders(subset):
            names = ((FRAME_NAME.fullmatch(name), name) for name in list_folder(folder)[0] if is_picture(name))
            found = {int(match[1]): folder / name for match, name in names if match is not None}
            if found:
                return dict(sorted(found.items()))
        return {}

    def find_video(self, name: str | None, is_alone: bool) -> Path | None:
        """The video of this name; for the one task of a file else the only one that lies there."""
        for folder in self.list_folders(None):
            found = resolve_inside(folder, name) if name else None
            if found is not None and found.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(found):  # noqa: PTH113
                return found
        if not is_alone:
            return None
        videos = [folder / each for folder in self.list_folders(None) for each in list_folder(folder)[0] if _is_video(each)]
        return videos[0] if len(videos) == 1 else None


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122


def _spell(name: str) -> Iterator[str]:
    """The names that a picture can have: as it stands, without what addresses add, and, of a frame, with a suffix."""
    yield name
    if "://" in name:
        name = urlsplit(name).path
        yield name
    if "%" in name:
        name = unquote(name)
        yield name
    if not is_picture(name):
        for suffix in (".PNG", *PICTURE_SUFFIXES):
            yield name + suffix
