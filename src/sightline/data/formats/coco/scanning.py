"""Group a COCO JSON's annotations by image in bounded memory, wherever in the file they stand.

The images go to a spill file in order; each annotation goes to the spill file of the block of images it belongs to. Then block
after block is read back, so that one block's annotations are the most that is held. An image costs 16 bytes of memory.
"""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name, replace_surrogates
from sightline.data.formats.json_stream import LIST_START, stream_members
from sightline.data.items import Viewer, read_viewer

IMAGES_PER_BLOCK = 4096
BUFFERED_BYTES = 16 << 20
MISSING = -1


class CocoImage(msgspec.Struct, frozen=True, array_like=True):
    """What a picture's record says; sizes are None when absent or no whole number."""

    file_name: str
    width: int | None
    height: int | None
    seen_by: Viewer | None = None
    attributes: dict[str, str] = {}


class CocoScan:
    """One scanned JSON: `categories` (id to name), then `stream` of its images with their annotations.

    Args:
        path: the JSON file.
        spill: an empty folder for spill files; the caller removes it.
        report: is told of images and annotations that have no place.
    """

    def __init__(self, path: Path, spill: Path, report: ConversionReport) -> None:
        self.path, self._spill, self._report = path, spill, report
        self.categories: dict[float | str, str] = {}
        self._keys = array("q")
        self._blocks = _Blocks(spill)
        self._scan()

    def stream_images(self) -> Iterator[CocoImage]:
        """Each image in the file's order, also those whose id another has."""
        decode = msgspec.json.Decoder(CocoImage).decode
        with (self._spill / "images").open("rb") as lines:
            for line in lines:
                yield decode(line)

    def stream(self) -> Iterator[tuple[CocoImage, list[dict[str, Any]]]]:
        """Each image in the file's order with its annotations in the file's order."""
        decode = msgspec.json.Decoder(CocoImage).decode
        with (self._spill / "images").open("rb") as lines:
            for first in range(0, len(self._keys), IMAGES_PER_BLOCK):
                annotations = self._blocks.read(first // IMAGES_PER_BLOCK)
                for ordinal in range(first, min(first + IMAGES_PER_BLOCK, len(self._keys))):
                    image = decode(lines.readline())
                    if ordinal not in self._repeated:
                        yield image, annotations.get(ordinal, [])

    def _scan(self) -> None:
        seen: set[str] = set()
        too_early = False
        index: _Ordinals | None = None
        with (self._spill / "images").open("wb") as images:
            for key, value in stream_members(self.path):
                if value is LIST_START:
                    seen.add(key)
                elif key == "images":
                    self._add_image(value, images)
                elif key == "categories":
                    self._add_category(value)
                elif key == "annotations" and "annotations" in seen:
                    if index is None and "images" in seen:
                        index = _Ordinals(self._keys)
                    if index is None:
                        too_early = True
                    else:
                        self._add_annotation(value, index)
        if "images" not in seen:
            raise UnreadableDataset(
                f"expected a COCO JSON with a list of images, {self.path.name} has none; choose another format"
            )
        index = index or _Ordinals(self._keys)
        self._repeated = index.repeated
        if self._repeated:
            self._report.drop("image", "image id used twice", self.path.name, count=len(self._repeated))
        if too_early:
            for key, value in stream_members(self.path):
                if key == "annotations" and value is not LIST_START:
                    self._add_annotation(value, index)
        self._blocks.flush()

    def _add_image(self, record: Any, images: Any) -> None:
        identity = _make_key(record.get("id")) if isinstance(record, dict) else None
        file_name = record.get("file_name") if isinstance(record, dict) else None
        if identity is None or not isinstance(file_name, str) or not file_name:
            self._report.drop("image", "image without an id or a file name", f"{self.path.name}: {str(record)[:80]}")
            return
        self._keys.append(identity)
        width, height = (_whole_number(record.get(name)) for name in ("width", "height"))
        seen_by = read_viewer(record.get("seen_by"))
        image = CocoImage(replace_surrogates(file_name), width, height, seen_by, read_attributes(record))
        images.write(msgspec.json.encode(image) + b"\n")

    def _add_category(self, record: Any) -> None:
        identity = record.get("id") if isinstance(record, dict) else None
        given = record.get("name") if isinstance(record, dict) else None
        name = clean_name(str(given)) if isinstance(given, str | int) else ""
        if isinstance(identity, bool) or not isinstance(identity, int | float | str) or not name:
            self._report.drop("category", "category without an id or a name", f"{self.path.name}: {str(record)[:80]}")
            return
        if identity in self.categories:
            if self.categories[identity] != name:
                self._report.drop("category", "category id used twice, the first counts", f"{identity}: {name}")
            return
        if name in self.categories.values():
            self._report.change("category", "two ids have one name and become one category", name)
        if name != str(given):
            self._report.change(
                "category", "name with line breaks, spaces at its ends or no Unicode, cleaned", f"{given!r} -> {name!r}"
            )
        if record.get("supercategory") not in (None, "", "none", name):
            self._report.warn("category", "supercategories are not kept", f"{name} of {str(record['supercategory'])[:40]}")
        self.categories[identity] = name

    def _add_annotation(self, record: Any, index: "_Ordinals") -> None:
        identity = _make_key(record.get("image_id")) if isinstance(record, dict) else None
        ordinal = MISSING if identity is None else index.find(identity)
        if ordinal == MISSING:
            self._report.drop("annotation", "its image is not in the list of images", f"{self.path.name}: {str(record)[:80]}")
            return
        try:
            self._blocks.add(ordinal, record)
        except (OverflowError, UnicodeEncodeError, RecursionError):
            reason = "record with a number of more than 64 bits or text that is no Unicode"
            self._report.drop("annotation", reason, self.path.name)


class _Ordinals:
    """Image id to its place in the file, as two sorted arrays."""

    def __init__(self, keys: "array[int]") -> None:
        unsorted = np.array(keys, np.int64)
        self._order = np.argsort(unsorted, kind="stable")
        self._sorted = unsorted[self._order]
        again = np.flatnonzero(self._sorted[1:] == self._sorted[:-1]) + 1
        self.repeated = {int(place) for place in self._order[again]}

    def find(self, key: int) -> int:
        """Place of the first image with this id, or MISSING."""
        position = int(np.searchsorted(self._sorted, key))
        found = position < len(self._sorted) and int(self._sorted[position]) == key
        return int(self._order[position]) if found else MISSING


class _Blocks:
    """Annotations on their way to one spill file per block of images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[int, list[bytes]] = {}
        self._bytes = 0
        self._encode = msgspec.json.Encoder().encode

    def add(self, ordinal: int, record: dict[str, Any]) -> None:
        """Put an annotation with its image."""
        line = self._encode((ordinal, record)) + b"\n"
        self._waiting.setdefault(ordinal // IMAGES_PER_BLOCK, []).append(line)
        self._bytes += len(line)
        if self._bytes > BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for block, lines in self._waiting.items():
            with (self._folder / f"block-{block}").open("ab") as file:
                file.writelines(lines)
        self._waiting, self._bytes = {}, 0

    def read(self, block: int) -> dict[int, list[dict[str, Any]]]:
        """A block's annotations by the place of their image."""
        annotations: dict[int, list[dict[str, Any]]] = {}
        path = self._folder / f"block-{block}"
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    ordinal, record = msgspec.json.decode(line)
                    annotations.setdefault(ordinal, []).append(record)
        return annotations


def read_attributes(record: dict[str, Any]) -> dict[str, str]:
    """The attributes of a picture's or an annotation's record, as text."""
    attributes = record.get("attributes")
    if not isinstance(attributes, dict):
        return {}
    return {
        replace_surrogates(str(name)): replace_surrogates(value) if isinstance(value, str) else str(value).lower()
        for name, value in attributes.items()
    }


def _make_key(identity: Any) -> int | None:
    """An id as a 64-bit number: whole numbers as they are, text by its hash; None for anything else."""
    if isinstance(identity, bool):
        return None
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    if isinstance(identity, int):
        return identity if -(2**62) < identity < 2**62 else None
    return hash(identity) >> 2 if isinstance(identity, str) else None


def _whole_number(value: Any) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1 << 31 and value == value // 1
    return int(value) if whole else None
