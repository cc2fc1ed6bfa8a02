"""The table of dataset formats: name to import string, so that only what is asked for is imported."""

import importlib
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.errors import NotFound, UnreadableDataset

if TYPE_CHECKING:
    from sightline.data.formats.format import DatasetFormat

FORMATS: dict[str, str] = {
    "sightline": "sightline.data.formats.sightline_zip:SightlineZipFormat",
    "coco": "sightline.data.formats.coco.format:CocoFormat",
    "datumaro": "sightline.data.formats.datumaro.format:DatumaroFormat",
    "supervisely": "sightline.data.formats.supervisely.format:SuperviselyFormat",
    "voc": "sightline.data.formats.voc.format:VocFormat",
    "yolo": "sightline.data.formats.yolo.format:YoloFormat",
    "yolo_segment": "sightline.data.formats.yolo.format:YoloSegmentFormat",
    "darknet": "sightline.data.formats.yolo.darknet:DarknetFormat",
    "cityscapes": "sightline.data.formats.cityscapes.format:CityscapesFormat",
    "labelme": "sightline.data.formats.labelme.format:LabelmeFormat",
    "via": "sightline.data.formats.via.format:ViaFormat",
    "label_studio": "sightline.data.formats.label_studio.format:LabelStudioFormat",
    "cvat": "sightline.data.formats.cvat.format:CvatFormat",
    "lmdb": "sightline.data.formats.lmdb.format:LmdbFormat",
    "lmdb_raw": "sightline.data.formats.lmdb.format:LmdbRawFormat",
    "label_masks": "sightline.data.formats.label_masks.format:LabelMasksFormat",
    "box_list": "sightline.data.formats.box_list.format:BoxListFormat",
    "class_list": "sightline.data.formats.class_list.format:ClassListFormat",
    "class_folders": "sightline.data.formats.class_folders.format:ClassFoldersFormat",
    "video": "sightline.data.formats.video:VideoFormat",
}

READ_ONLY = ("supervisely", "via", "video")
WRITTEN = tuple(name for name in FORMATS if name not in READ_ONLY)

LOOKS_AT = {
    "class_folders": "folders",
    "class_list": "lists",
    "box_list": "lists",
    "label_masks": "masks",
    "video": "videos",
}

MOST_COUNTED = 10_000
MOST_SUFFIXES = 3
PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".rar", ".7z")


def load_format(name: str) -> "DatasetFormat":
    """The format of this name. Raises: NotFound."""
    if name not in FORMATS:
        raise NotFound(f"no dataset format {name!r}; there are: {', '.join(sorted(FORMATS))}")
    module, _, attribute = FORMATS[name].partition(":")
    loaded: DatasetFormat = getattr(importlib.import_module(module), attribute)()
    return loaded


def detect_format(source: Path) -> "DatasetFormat":
    """The format that is surest `source` is its own; the table's order decides between equals.

    Raises: UnreadableDataset when none knows it, or one that looks at little and there are annotations that it would not read.
    """
    from sightline.data.formats.label_files import find_label_files

    best: DatasetFormat | None = None
    best_score = 0.0
    for name in FORMATS:
        candidate = load_format(name)
        score = candidate.detect(source)
        if score > best_score:
            best, best_score = candidate, score
    if best is None:
        raise UnreadableDataset(describe_unknown(source))
    if (
        source.is_dir()
        and best.name in LOOKS_AT
        and (found := find_label_files(source, with_tables=best.name == "class_folders"))
    ):
        examples = ", ".join(path.relative_to(source).as_posix() for path in found)
        raise UnreadableDataset(
            f"{source.name} holds pictures and what look like annotations of none of the formats here, as {examples}; "
            f"name one as `format` ({best.name} goes by the {LOOKS_AT[best.name]} alone)"
        )
    return best


def describe_unknown(source: Path) -> str:
    """What a source that no format knows holds, and what can be done about it, in one line."""
    from sightline.data.formats.picture_files import OTHER_PICTURES, walk_files

    paths = islice(walk_files(source), MOST_COUNTED) if source.is_dir() else [source]
    counts = Counter(path.suffix.lower() or "no suffix" for path in paths)
    held = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(MOST_SUFFIXES))
    if not counts.keys().isdisjoint(OTHER_PICTURES):
        remedy = "save its pictures as JPEG or PNG, which are read"
    elif not counts.keys().isdisjoint(PACKED):
        remedy = "unpack what is packed in it and import the folder"
    else:
        remedy = "name one as `format`"
    return f"{source.name} looks like none of the formats {', '.join(FORMATS)}; it holds {held or 'no file'}; {remedy}"
