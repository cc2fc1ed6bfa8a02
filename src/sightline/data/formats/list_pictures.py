"""Find the pictures a list names: by their path from the places a list may mean, or by base name anywhere in the data set.

Lists travel without their pictures' folders (TrashNet's say `glass12.jpg` for `dataset-resized/glass/glass12.jpg`), so when the
path leads nowhere the base name decides, if only one picture has it. The index of base names, some 200 bytes a picture, is made
when it is first needed.
"""

import os
from pathlib import Path

from sightline.data.formats.picture_files import resolve_inside, spell, walk_pictures

IMAGES_FOLDER = "images"


class PictureFinder:
    """Looks pictures up below `root`; `base` is the folder of the list."""

    def __init__(self, root: Path, base: Path, images: Path | None = None) -> None:
        inner = [
            place for place in (base, root / IMAGES_FOLDER) if Path(os.path.realpath(place)).is_relative_to(root.resolve())
        ]
        self.root = root
        self._places = [images] if images is not None else list(dict.fromkeys([*inner, root]))
        self._by_name: dict[str, Path | None] | None = None

    def find(self, file: str) -> Path | None:
        """The picture's path, or None when there is none or its base name stands for several."""
        return next((found for spelling in spell(file) if (found := self._find(spelling)) is not None), None)

    def _find(self, file: str) -> Path | None:
        for place in self._places:
            path = place / file
            if not os.path.isabs(file) and ".." not in file.split("/") and path.is_file():  # noqa: PTH117
                return path
        if "/" in file or "\\" in file:
            found = resolve_inside(self.root, file)
            if found is not None and found.is_file():
                return found
        return self._index().get(file.replace("\\", "/").rsplit("/", 1)[-1])

    def is_ambiguous(self, file: str) -> bool:
        """Whether several pictures have this base name."""
        name = file.replace("\\", "/").rsplit("/", 1)[-1]
        index = self._index()
        return name in index and index[name] is None

    def _index(self) -> dict[str, Path | None]:
        if self._by_name is None:
            self._by_name = {}
            for place in self._places if len(self._places) == 1 else [self.root]:
                for path in walk_pictures(place):
                    self._by_name[path.name] = None if path.name in self._by_name else path
        return self._by_name
