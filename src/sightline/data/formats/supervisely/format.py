"""Supervisely projects: `meta.json`, and per dataset `img/NAME` with `ann/NAME.json`. Read, not written.

**Read:** projects of images of any age (`ann/a.jpg.json`, or `ann/a.json` as once), also with datasets nested in `datasets`.
A file's name begins with the dataset's. Where a dataset's name is that of a split, or a picture has a tag that is one's name,
the picture is in that split. Classes come in the order of `meta.json`.

**Figures.** Coordinates in whole numbers name pixels, as Supervisely counts; others are places. So a box in whole numbers ends
one behind its last pixel, and a polygon goes through the middles of its pixels, half a pixel further. Polygons may have several
parts; one with holes becomes a mask, as bitmaps do. Points, lines, graphs, cuboids and all others are not kept, and told; a
picture that has only such counts as one that nobody looked at. What was drawn later lies on top.

**Tags** of an object become attributes; a tag without a value is "true", and `confidence` of 0 to 1 is that of a model. In a
project without classes, the tags of a picture are its labels: a tag without a value as it is, one of a list of values as
"name: value". All other tags of pictures become attributes of theirs; descriptions and who drew what are not kept.

Every picture has a file of labels here, so an empty one does not say that somebody looked: it counts as a picture that shows
nothing, and the report warns. One without such a file counts as one that nobody looked at.

`size` tells of a picture that EXIF turns as in COCO, see there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.categories import Categories
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import ReadOnlyFormat, SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import is_picture, list_folder, report_no_picture
from sightline.data.formats.supervisely.items import read_item
from sightline.data.formats.supervisely.project import (
    ANNOTATIONS,
    META,
    PICTURES,
    Dataset,
    Meta,
    find_datasets,
    read_meta,
)

HEAD_BYTES = 1 << 20


class SuperviselyFormat(ReadOnlyFormat):
    """Supervisely projects of images."""

    name = "supervisely"
    description = "Supervisely project: boxes, polygons, bitmaps, tags; read, not written"
    not_written = "Supervisely projects are read, not written"
    instead = "coco, which Supervisely imports"

    def detect(self, source: Path) -> float:
        """By `meta.json` with classes, and a folder of `ann` and `img`."""
        path = source / META
        if not os.path.isfile(path):  # noqa: PTH113 - a link to itself, or a pipe that would be read for ever
            return 0.0
        with path.open("rb") as file:
            is_meta = b'"classes"' in file.read(HEAD_BYTES)
        return 0.95 if is_meta and next(find_datasets(source), None) is not None else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read all datasets of a project. Options: none."""
        check_options(self.name, options)
        if not (source / META).is_file():
            raise UnreadableDataset(
                f"expected the folder of a Supervisely project, with {META}, {source.name} has none; import the project, not a "
                "dataset of it, or choose another format"
            )
        meta = read_meta(source / META, report)
        datasets = list(find_datasets(source))
        if not datasets:
            raise UnreadableDataset(
                f"expected folders with {ANNOTATIONS} and {PICTURES} in {source.name}, found none; choose another format"
            )
        items = (item for dataset in datasets for item in _stream_dataset(dataset, meta, report))
        return SourceDataset(categories=Categories(meta.categories), items=items)


def _stream_dataset(dataset: Dataset, meta: Meta, report: ConversionReport) -> Iterator[SourceItem]:
    """Each picture with its labels, then the labels without a picture."""
    folder = dataset.folder / ANNOTATIONS
    unused = {name for name in list_folder(folder)[0] if name.lower().endswith(".json")}
    for name in list_folder(dataset.folder / PICTURES)[0]:
        if not is_picture(name):
            report_no_picture(report, name)
            continue
        path = dataset.folder / PICTURES / name
        found = next((each for each in (f"{name}.json", f"{Path(name).stem}.json") if each in unused), None)
        unused.discard(found or "")
        item = read_item(name, path, None if found is None else folder / found, dataset, meta, report)
        if item is not None:
            yield item
    for name in sorted(unused):
        yield SourceItem(file_name=dataset.place(name.removesuffix(".json")), split=dataset.split)
