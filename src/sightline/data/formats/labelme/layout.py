"""Where LabelMe's files lie: which JSON files are its own, which picture belongs to each, and which split a folder names."""

import base64
import json
import os
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import msgspec

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.label_masks.pairs import MASK_FOLDERS
from sightline.data.formats.picture_files import (
    find_by_stem,
    find_split,
    is_picture,
    names_the_same,
    resolve_inside,
    walk_files,
)
from sightline.data.formats.text_files import UTF_8, find_encoding, open_text, read_text, warn_encoding
from sightline.data.versions import UNSPLIT

SUFFIX = ".json"
WEB_SUFFIX = ".xml"
NAMES_FILE = "labels.txt"
HEAD_BYTES = 65536
MAX_JSON_BYTES = 512 << 20
FILES_LOOKED_AT = 40  # JSON and XML files
FILES_PASSED = 100_000
OTHER_KEYS = (b'"imagePath"', b'"imageData"', b'"imageHeight"', b'"shape_type"', b'"line_color"')
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
NO_CATEGORIES = ("__ignore__", "_background_")  # what LabelMe's own converters take for no object
MADE_STARTS, MADE_END = ("segmentation", "visualization"), "_json"
FOREIGN = re.compile(r"^/|^[A-Za-z][A-Za-z+.-]*:|(^|/)\.\.(/|$)")  # absolute, of Windows, a URL, or leading up
PICTURE_FOLDERS = ("images", "Images", "imgs", "img", "JPEGImages", "data")
BEFORE_DATA = "base64,"  # in the "data:" URLs that some programs write


class LabelmeFile(msgspec.Struct):
    """What a JSON says, but for its copy of the picture. Its shapes are parsed one by one, so that one cannot spoil all."""

    shapes: list[msgspec.Raw]
    flags: Any = None
    image_path: Any = msgspec.field(default=None, name="imagePath")
    image_width: Any = msgspec.field(default=None, name="imageWidth")
    image_height: Any = msgspec.field(default=None, name="imageHeight")
    version: Any = None
    checked: Any = None
    split: Any = None
    seen_by: Any = None

    @property
    def size(self) -> tuple[int, int] | None:
        """`(width, height)` that the file states, of the picture as it was shown."""
        sides = (self.image_width, self.image_height)
        whole = all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side < 1 << 31 for side in sides)
        return sides if whole else None

    @property
    def is_upright(self) -> bool:
        """Whether the picture is known to have been shown upright: since version 4 at the latest."""
        major = str(self.version).partition(".")[0]
        return major.isdecimal() and int(major[:3]) >= 4

    @property
    def picture_name(self) -> str | None:
        """`imagePath` with POSIX separators; None when there is none that a disk could hold."""
        name = self.image_path
        return name.replace("\\", "/") if isinstance(name, str) and name and "\0" not in name else None


class _PictureCopy(msgspec.Struct):
    image_data: Any = msgspec.field(default=None, name="imageData")


def looks_like_labelme(path: Path) -> bool:
    """By the keys at the file's head and tail; a copy of the picture may lie between them."""
    if not os.path.isfile(path):  # noqa: PTH113 - a link to itself, or a pipe that would be read for ever
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - HEAD_BYTES))
        tail = file.read(HEAD_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16 reads as ASCII without its zeros
        head, tail = head[2:].replace(b"\0", b""), tail.replace(b"\0", b"")
    if not head.lstrip(BEFORE_JSON).startswith(b"{"):
        return False
    return (b'"shapes"' in head or b'"shapes"' in tail) and any(key in head or key in tail for key in OTHER_KEYS)


def looks_like_web_tool(path: Path) -> bool:
    """Whether a file is of the XML that the older web tool, and CVAT as "LabelMe 3.0", write; by its first bytes."""
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return b"<annotation>" in head and (b"<sourceAnnotation>LabelMe" in head or b"<pt>" in head)


def looks_like_either(source: Path) -> bool:
    """Whether a file is the desktop tool's JSON or the web tool's XML, or one of the first such files below a folder is."""
    files = islice(walk_files(source), FILES_PASSED) if source.is_dir() else [source]
    candidates = islice((path for path in files if path.name.lower().endswith((SUFFIX, WEB_SUFFIX))), FILES_LOOKED_AT)
    return any(
        looks_like_web_tool(path) if path.name.lower().endswith(WEB_SUFFIX) else looks_like_labelme(path) for path in candidates
    )


def walk_json_files(source: Path) -> Iterator[Path]:
    """A single file, or every JSON below a folder."""
    if source.is_file():
        return iter([source])
    return (path for path in walk_files(source) if path.name.lower().endswith(SUFFIX))


def read_labelme(path: Path, report: ConversionReport | None = None) -> LabelmeFile:
    """Read a JSON. Raises: UnreadableDataset when it is none of LabelMe's."""
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        raise UnreadableDataset(f"expected {path.name} to be a LabelMe JSON, got no file but a link or pipe; remove it")
    size_bytes = path.stat().st_size
    if size_bytes > MAX_JSON_BYTES:
        raise UnreadableDataset(
            f"expected a LabelMe JSON of at most {MAX_JSON_BYTES >> 20} MB, {path.name} has {size_bytes >> 20} MB; is it one?"
        )
    try:
        return _decode(_read_utf8(path, report))
    except (ValueError, OverflowError, RecursionError) as error:  # msgspec's errors are ValueErrors
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadableDataset(f"expected {path.name} to be a LabelMe JSON, got: {reason}; mend or remove it") from error


def _decode(content: bytes) -> LabelmeFile:
    try:
        return msgspec.json.decode(content, type=LabelmeFile)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Python, and so the tool, may write NaN and Infinity, which JSON does not have. They become null.
        return msgspec.json.decode(msgspec.json.encode(json.loads(content)), type=LabelmeFile)


def read_picture_copy(path: Path) -> bytes | None:
    """The copy of the picture in a JSON that can be read (`imageData`); None when there is none, or none that is whole."""
    try:
        data = msgspec.json.decode(_read_utf8(path, None), type=_PictureCopy).image_data
        return base64.b64decode(data.rpartition(BEFORE_DATA)[2]) or None if isinstance(data, str) else None
    except ValueError:
        return None


def _read_utf8(path: Path, report: ConversionReport | None) -> bytes:
    """A file's text as UTF-8. LabelMe on Windows wrote the system's code page for years, and editors add a byte order mark."""
    encoding = find_encoding(path)
    if encoding == UTF_8:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    warn_encoding(path, encoding, report)
    with open_text(path) as file:
        return file.read().encode()


def find_place(inside: PurePosixPath, split_folders: Collection[str]) -> tuple[str, str | None]:
    """The name of a picture and its split, from its path below the dataset's folder.

    Args: split_folders: topmost folders of which a JSON in them said that they are splits.
    """
    top, below = inside.parts[0], inside.parts[1:]
    split = top if top in split_folders else find_split(top)
    if not below or split is None:
        return inside.as_posix(), None
    return "/".join(below), None if split == UNSPLIT else split


def holds_results(folder: PurePosixPath) -> bool:
    """Whether a folder is one into which LabelMe's converters, and others, put what they made of the labels."""
    return any(
        part in MASK_FOLDERS or part.startswith(MADE_STARTS) or part.endswith(MADE_END) for part in map(str.lower, folder.parts)
    )


def read_names(folder: Path) -> list[str]:
    """The categories that `labels.txt` lists, in its order; none without it."""
    path = folder / NAMES_FILE
    lines = read_text(path).splitlines() if path.is_file() else []
    return list(dict.fromkeys(name for line in lines if (name := clean_name(line)) and name not in NO_CATEGORIES))


class LabelmePictures:
    """Finds the picture of each JSON below `root`; remembers the folders where those of one folder may lie."""

    def __init__(self, root: Path, report: ConversionReport) -> None:
        self._root, self._report = root, report
        self._real_root = Path(os.path.realpath(root))
        self._folder: Path | None = None
        self._places: list[Path] = []

    def find(self, path: Path, name: str | None) -> Path | None:
        """The picture with the JSON's own name, else that of `imagePath` unless it is another JSON's.

        Args: name: `imagePath`, with POSIX separators.
        """
        folder, stem = path.parent, path.name[: -len(SUFFIX)]
        own = folder / stem if is_picture(stem) and os.path.isfile(folder / stem) else find_by_stem(folder, stem)  # noqa: PTH113
        named = None if name is None else self.find_named(folder, name)
        is_own = name is not None and names_the_same(stem, name)
        example = f"{path.name}: {name}"
        if own is not None:
            if named is not None and not is_own:
                self._report.warn(
                    "image", "imagePath names another picture than that with the name of the JSON, which is taken", example
                )
            return named if named is not None and is_own else own
        if named is not None and not is_own:
            if os.path.isfile(folder / f"{named.stem}{SUFFIX}"):  # noqa: PTH113 - never raises
                self._report.warn("image", "imagePath names the picture of another JSON", example)
                return None
            self._report.warn("image", "picture found by imagePath, the JSON is named otherwise", example)
        return named or next(filter(None, (find_by_stem(place, stem) for place in self._list_places(folder))), None)

    def find_named(self, folder: Path, name: str) -> Path | None:
        """The file that a name means: as the tool reads it, else in the folders where pictures lie.

        Of a path of another machine the last part is enough there: in the rest of the dataset a folder must be the same, too.
        """
        for spelling in dict.fromkeys((name, unquote(name))):
            if (found := self._follow(folder, spelling)) is not None:
                return found
        is_foreign = FOREIGN.search(name) is not None
        wanted = name.rpartition("/")[2] if is_foreign else name
        for place in (folder, *self._list_places(folder)):
            found = resolve_inside(place, wanted, unquote(wanted)) if wanted not in ("", ".", "..") else None
            # `resolve_inside` gives up folders of a name where it must.
            is_whole = found is not None and len(found.parts) - len(place.parts) == len(PurePosixPath(wanted).parts)
            if found is not None and is_whole and os.path.isfile(found):  # noqa: PTH113 - never raises
                return found
        found = resolve_inside(self._root, name) if is_foreign else None
        # By its last part alone it might be another picture of that name.
        is_sure = found is not None and found.parent != self._root and os.path.isfile(found)  # noqa: PTH113 - never raises
        return found if is_sure else None

    def _follow(self, folder: Path, name: str) -> Path | None:
        """A path from a JSON's folder, which may lead up, but not out of the dataset."""
        parts = [] if name.startswith("/") else list(folder.relative_to(self._root).parts)
        for part in PurePosixPath(name).parts:
            if part == ".." and not parts:
                return None
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        path = self._root.joinpath(*(part for part in parts if part != "/"))
        is_there = os.path.isfile(path)  # noqa: PTH113 - never raises
        return path if is_there and Path(os.path.realpath(path)).is_relative_to(self._real_root) else None

    def _list_places(self, folder: Path) -> list[Path]:
        """Folders for pictures in a JSON's folder, beside it, and beside the folder above with a part of the same name."""
        if folder != self._folder:
            places = [base / name for base in (folder, folder.parent) for name in PICTURE_FOLDERS]
            places += [folder.parent.parent / name / folder.name for name in PICTURE_FOLDERS]
            self._folder = folder
            self._places = [place for place in places if place.is_relative_to(self._root) and place.is_dir()]
        return self._places
