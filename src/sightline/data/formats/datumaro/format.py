"""Datumaro JSON: one file per subset with labels and items, and the pictures below `images/<subset>/`. CVAT and Geti export it.

**Read:** `annotations/<subset>.json` of any version with `images/<subset>/` (or `images/`, or the folder itself), the same
below `dataset/` of a project, or a single JSON. A subset is a split; "default" is none. An item's picture is the one that its
`path` names, else the one that has its id for a name. Not kept, and told: points, skeletons, polylines, cuboids, captions,
point clouds, videos, parents of labels. A picture that has only such annotations counts as one that nobody looked at. Colours
of labels are not kept. `.datum` (binary) and encrypted files are not read.

**What is one object.** Pieces of one `group` and one label: the parts of an outline, its box, its mask, its label. A piece
without a label has the one that its group has. Several boxes, or several masks, of a group are an object each, and what shares
a group has its number as the attribute `group`. The lower `z_order` lies below.

**Attributes** of annotations and of pictures (an item's `attr`) become text (`true`, `7`), and `object_id` is one. `score` of 0
to 1 is the confidence of a model, `is_crowd` the mark of a crowd. Ellipses, and boxes that are turned (`rotated_bbox`, CVAT's
attribute `rotation`), become polygons.

**Written:** the same, as version 1.0, each outline of several parts, or with a box of its own, as a group. Who looked at a
picture and which frame it is go into the item's `attr`, where Datumaro keeps them; `origin`, which it does not, beside the
attributes. Two pictures of a split that differ only in the suffix would be one item, so one is renamed. Datumaro itself rounds
coordinates to 0.01 pixels when it loads them.

`size` tells of a picture that EXIF turns as in COCO, see there.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.categories import Categories
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.datumaro.items import ItemReader
from sightline.data.formats.datumaro.labels import LabelTable, read_labels
from sightline.data.formats.datumaro.writing import check_datumaro, write_datumaro
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.json_stream import LIST_START, stream_members
from sightline.data.formats.listed_pictures import warn_unlisted
from sightline.data.formats.options import check_options
from sightline.data.versions import DatasetVersion

HEAD_BYTES = 65536
FILES_LOOKED_AT = 200
PATTERNS = ("annotations/*.json", "dataset/annotations/*.json", "*.json")
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
# "categories" is an object by kind of annotation; COCO's is a list.
CATEGORIES = re.compile(rb'"categories"\s*:\s*\{\s*("(label|mask|points)"\s*:\s*\{|\}\s*,\s*"items"\s*:\s*\[)')


class DatumaroFormat:
    """Datumaro JSON with its pictures."""

    name = "datumaro"
    description = "Datumaro JSON: boxes, polygons, RLE masks, groups, attributes"

    def detect(self, source: Path) -> float:
        """By the categories in the first bytes of JSON files."""
        return 0.95 if _find_json_files(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read the JSON files of all subsets. Options: none."""
        check_options(self.name, options)
        files = [source] if source.is_file() else _find_json_files(source)
        if not files:
            raise UnreadableDataset(
                f"expected Datumaro JSON in {source.name} or its folder annotations, found none; choose another format"
            )
        tables = _read_tables(files, report)
        names = dict.fromkeys(name for table in tables for name in table.values())
        root = source.parent if source.is_file() else source
        return SourceDataset(categories=Categories(names), items=_stream_items(files, tables, root, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """Datumaro loses only what it has no place for; see `writing`."""
        return check_datumaro(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write `annotations/<split>.json` and `images/<split>/`."""
        write_datumaro(version, target, report)


def _find_json_files(source: Path) -> list[Path]:
    """The Datumaro JSON files of the first place that has any."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" and _looks_like_datumaro(source) else []
    for pattern in PATTERNS if source.is_dir() else ():
        paths = sorted(source.glob(pattern))
        if any(map(_looks_like_datumaro, paths[:FILES_LOOKED_AT])):
            return [path for path in paths if _looks_like_datumaro(path)]
    return []


def _looks_like_datumaro(path: Path) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 - a link to itself, or a pipe that would be read for ever
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return head.lstrip(BEFORE_JSON).startswith(b"{") and CATEGORIES.search(head) is not None


def _read_tables(files: list[Path], report: ConversionReport) -> list[LabelTable]:
    """The labels of each file; what is odd about them is told once, for the files of a dataset repeat them."""
    tables: list[LabelTable] = []
    known: list[Any] = []
    for path in files:
        categories = _read_categories(path)
        if categories in known:
            tables.append(tables[known.index(categories)])
        else:
            tables.append(read_labels(categories, path.name, report))
        known.append(categories)
    return tables


def _read_categories(path: Path) -> Any:
    """The value of "categories". Raises: UnreadableDataset when there is none."""
    for key, value in stream_members(path):
        if key == "categories":
            return value
    raise UnreadableDataset(f'expected a Datumaro JSON with "categories", {path.name} has none; choose another format')


def _stream_items(files: list[Path], tables: list[LabelTable], root: Path, report: ConversionReport) -> Iterator[SourceItem]:
    seen: set[int] = set()  # 64 bits a picture
    folders: set[Path] = set()
    for path, table in zip(files, tables, strict=True):
        reader = ItemReader(path, root, table, report)
        has_items = False
        for key, value in stream_members(path):
            has_items = has_items or key == "items"
            if key != "items" or value is LIST_START:
                continue
            item = reader.read(value)
            if item is not None:
                if item.path is not None:
                    seen.add(hash(item.path))
                    folders.add(reader.folder)
                yield item
        if not has_items:
            report.drop("file", "Datumaro JSON without a list of items", path.name)
    warn_unlisted(folders, seen, root, report)
