"""Find the pictures of tasks: their addresses lead to a server or a bucket, the pictures lie in a folder beside the JSON.

Nothing is fetched. An address becomes the path it names, and its picture is looked for by that path, as far as its folders are
there, then by base name anywhere below the folder. The base name alone counts where no other task has it and no other picture;
so does the name without the eight digits that Label Studio puts before the names of uploads. The index of base names, some 300
bytes a picture, is made when it is first needed.
"""

import base64
import binascii
import os
import re
import unicodedata
from array import array
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.class_list.pictures import is_inside
from sightline.data.formats.label_studio.tasks import Task
from sightline.data.formats.picture_files import MAX_PATH, is_picture, spell, walk_pictures

UPLOADS = re.compile(r"(^|/)upload/\d+/[^/]+$")
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+://")
USUAL_KEYS = ("image", "img", "picture", "photo", "url")
MOST_PICTURES = 10_000  # of one task


class Place(NamedTuple):
    """Where a task shows a picture.

    Attributes:
        address: what the data says of it.
        tag: name of the Image tag, where there are several.
        number: in the list of pictures, where it is one.
    """

    address: str
    tag: str | None = None
    number: int | None = None

    def holds(self, result: dict[str, Any]) -> bool:
        """Whether a result is about this picture; relations name none."""
        usual = self.tag if result.get("type") == "relation" else None
        of_tag = self.tag is None or result.get("to_name", usual) == self.tag
        return of_tag and (self.number is None or (result.get("item_index") or 0) == self.number)


def list_places(task: Task, images: Mapping[str, str]) -> list[Place]:
    """The pictures that a task shows. Args: images: key of the data by the Image tag that shows it; empty when not known."""
    told = {name: task.data[key] for name, key in images.items() if isinstance(task.data.get(key), str | list)}
    shown: dict[str | None, Any] = {name if len(told) > 1 else None: value for name, value in told.items()}
    places: list[Place] = []
    for name, value in (shown or _guess_places(task)).items():
        if isinstance(value, str):
            places.append(Place(value, name))
        else:
            texts = (text for text in value[:MOST_PICTURES] if isinstance(text, str))
            places += [Place(text, name, number) for number, text in enumerate(texts)]
    return places


def _guess_places(task: Task) -> dict[str | None, Any]:
    """Without a configuration: the one value that names pictures, else that of a usual key; none where several are labelled."""
    named = [value for value in task.data.values() if value and _names_pictures(value)]
    tags = {str(result["to_name"]) for result in task.results if "to_name" in result}
    if not named or (len(named) > 1 and len(tags) < 2):
        usual = (task.data.get(key) for key in USUAL_KEYS)
        named = [value for value in usual if value and isinstance(value, str)][:1]
    return {None: named[0]} if len(named) == 1 else {}


def _names_pictures(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return all(isinstance(text, str) and is_picture(read_address(text)) for text in texts)


def read_address(address: str, depth: int = 0) -> str:
    """The path that an address names, percent signs decoded: of a URL without its host, of `s3://` without the bucket."""
    if len(address) > MAX_PATH:
        return ""
    if "?" in address and (SCHEME.match(address) or address.startswith("/") or "local-files/?" in address):
        query = parse_qs(address.partition("?")[2])
        if "d" in query:  # /data/local-files/?d=folder/picture.jpg
            return query["d"][0].replace("\\", "/")
        if "fileuri" in query and depth == 0:  # /tasks/1/resolve/?fileuri=BASE64 of an address in a bucket
            try:
                return read_address(base64.urlsafe_b64decode(query["fileuri"][0] + "==").decode(), depth=1)
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return ""
    if SCHEME.match(address):
        try:
            return unquote(urlsplit(address).path).lstrip("/")
        except ValueError:  # brackets that hold no IPv6 address
            return ""
    return address.replace("\\", "/")


class TaskPictures:
    """Looks up the pictures of tasks below `root`.

    Args:
        root: the dataset's folder.
        base: the folder of the JSON, where it is another one inside.
    """

    def __init__(self, root: Path, base: Path) -> None:
        self._root = root
        self._places = list(dict.fromkeys((base, root, base / "images", root / "images")))
        self._names: Any = array("q")
        self._by_name: dict[str, Path | None] | None = None
        self._repeated: Any = None

    def add(self, address: str) -> None:
        """Note that a task shows a picture, before any is looked up."""
        path = read_address(address)
        self._names.extend((hash(_name_plainly(path)), hash(path)))

    def find(self, address: str, report: ConversionReport) -> Path | None:
        """The picture's path; None, and told, when there is none or several may be meant."""
        if address.startswith("data:"):
            report.drop("image", "picture that is kept inside the JSON", address[:30])
            return None
        path = read_address(address)
        for name in dict.fromkeys((path, unquote(path))):
            found = self._find_by_path(name) or self._find_by_name(name)
            if found is not None:
                return found
        is_ambiguous = self._index().get(_compose(path.rpartition("/")[2]), self._root) is None
        reason = "several pictures have the name a task gives" if is_ambiguous else "picture is missing"
        report.drop("image", reason, clean_name(address[:200]))
        return None

    def _find_by_path(self, path: str) -> Path | None:
        """By all of the path, else by as much of its end as is there; by its last part alone only where that is unique."""
        parts = (
            [path.rpartition("/")[2]] if UPLOADS.search(path) else [part for part in path.split("/") if part not in ("", ".")]
        )
        for start in range(len(parts)):
            if 0 < start == len(parts) - 1 and not self._is_unique(path):
                return None
            for place, name in product(self._places, spell("/".join(parts[start:]))):
                found = place / name
                # `os.path.isfile` never raises; ".." and links must not lead elsewhere.
                if os.path.isfile(found) and ".." not in parts[start:] and is_inside(found, self._root):  # noqa: PTH113
                    return found
        return None

    def _find_by_name(self, path: str) -> Path | None:
        name = _compose(path.rpartition("/")[2])
        is_lone = "/" not in path or UPLOADS.search(path) is not None
        if not name or not (is_lone or self._is_unique(path)):
            return None
        found = self._index().get(name)
        if found is None and UPLOAD_PREFIX.match(name) and self._is_unique(path):
            found = self._index().get(_name_plainly(name))
        return found

    def _is_unique(self, path: str) -> bool:
        """Whether no task shows another picture of this base name, uploads' digits left out."""
        if self._repeated is None:
            addresses = np.unique(np.array(self._names, np.int64).reshape(-1, 2), axis=0)
            names, counts = np.unique(addresses[:, 0], return_counts=True)
            self._repeated = set(names[counts > 1].tolist())
        return hash(_name_plainly(path)) not in self._repeated

    def _index(self) -> dict[str, Path | None]:
        if self._by_name is None:
            self._by_name = {}
            for path in walk_pictures(self._root):
                for name in {_compose(path.name), _compose(path.stem)}:
                    self._by_name[name] = None if name in self._by_name else path
        return self._by_name


def _name_plainly(path: str) -> str:
    """The base name of a path without the digits of an upload."""
    return UPLOAD_PREFIX.sub("", _compose(unquote(path).rpartition("/")[2]))


def _compose(name: str) -> str:
    """A name with its accents composed: zips of macOS hold them apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
