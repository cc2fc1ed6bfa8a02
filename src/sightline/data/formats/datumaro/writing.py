"""Write Datumaro JSON as a stream: each subset's file grows item by item, and is closed at the end."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.conversion import ConversionReport
from sightline.data.formats.datumaro.attributes import is_whole, make_value
from sightline.data.formats.datumaro.items import NO_SPLIT, find_split
from sightline.data.formats.datumaro.objects import GROUP, find_shared_groups
from sightline.data.formats.losses import report_lost_ignore, report_renamed_splits, warn_turned
from sightline.data.formats.picture_files import FileNamer
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.masks import decode_mask, find_mask_box, find_polygons_box

FORMAT_VERSION = "1.0"
IMAGE_MEDIA = 2  # Datumaro's number of the kind
PLACE_OF_FACTS = ("score", "is_crowd")  # names among the attributes that confidence and crowd mark have
PICTURE_FACTS = ("seen_by", "source_video", "frame_pts")  # names in an item's "attr" that are no attributes
READ_AS_FACTS = (*PLACE_OF_FACTS, "rotation")  # where their value is no text


def check_datumaro(version: DatasetVersion) -> ConversionReport:
    """What Datumaro has no place for: pixels to ignore, two pictures of one id, names of splits that mean others."""
    report = ConversionReport()
    for _ in _list_items(version, report):
        pass
    return report


def write_datumaro(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write `annotations/<split>.json` (`default` without a split) and `images/<split>/<file name>` below `target`."""
    (target / "annotations").mkdir(parents=True, exist_ok=True)
    head = _make_head(version)
    with ExitStack() as open_files:
        names = dict.fromkeys(_name_subset(None if split == UNSPLIT else split) for split in version.splits or [UNSPLIT])
        writers = {
            name: _SubsetWriter(open_files.enter_context((target / "annotations" / f"{name}.json").open("wb")), head)
            for name in names
        }
        for item, path in _list_items(version, report):
            subset = _name_subset(item.split)
            version.blobs.copy_to(item.blob, target / "images" / subset / path)
            writers[subset].append(_make_item(item, path, version.categories))
            report.keep("image")
            report.keep("annotation", len(item.annotations))
        for writer in writers.values():
            writer.finish()


def _name_subset(split: str | None) -> str:
    return split or NO_SPLIT


def _list_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, PurePosixPath]]:
    """Every item and the path of its picture within its subset; what is lost is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version, find_split)
    namer = FileNamer(version, report)
    for item in version.items():
        warn_turned(report, item)
        for name in item.attributes:
            if name in PICTURE_FACTS:
                report.drop("attribute", f"the format keeps another fact under the name {name!r}", item.file_name)
        for annotation in item.annotations:
            for name, is_taken in zip(PLACE_OF_FACTS, (annotation.confidence is not None, annotation.is_crowd), strict=True):
                if is_taken and name in annotation.attributes:
                    report.drop("attribute", f"the format keeps another fact under the name {name!r}", item.file_name)
        subset = _name_subset(item.split)
        yield item, namer.place(subset, item).relative_to(subset)


def _make_head(version: DatasetVersion) -> dict[str, Any]:
    """All of a file but its items. Datumaro's converters skip attributes that are not listed here."""
    attributes = {name for item in version.items() for annotation in item.annotations for name in annotation.attributes}
    labels = [{"name": name, "parent": "", "attributes": []} for name in version.categories]
    return {
        "dm_format_version": FORMAT_VERSION,
        "media_type": IMAGE_MEDIA,
        "infos": {"name": version.name, "version": version.id},
        "categories": {"label": {"labels": labels, "label_groups": [], "attributes": sorted(attributes)}},
    }


class _SubsetWriter:
    """The growing file of one subset."""

    def __init__(self, file: BinaryIO, head: dict[str, Any]) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode
        self._file.write(self._encode(head)[:-1] + b',"items":[\n')
        self._separator = b""

    def append(self, item: dict[str, Any]) -> None:
        """Write an item."""
        self._file.write(self._separator + self._encode(item))
        self._separator = b",\n"

    def finish(self) -> None:
        """Write the end of the list and of the file."""
        self._file.write(b"]}\n")


def _make_item(item: Item, path: PurePosixPath, categories: Categories) -> dict[str, Any]:
    facts = {name: make_value(text) for name, text in item.attributes.items()}
    facts |= {name: getattr(item, name) for name in PICTURE_FACTS}  # None takes the place of an attribute of the name, too
    record = {
        "id": path.with_suffix("").as_posix(),
        "annotations": _make_records(item.annotations, categories),
        "image": {"path": path.as_posix(), "size": [item.height, item.width]},
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return {**record, "attr": known} if known else record


def _make_records(annotations: Sequence[Annotation], categories: Categories) -> list[dict[str, Any]]:
    """The pieces of a picture's annotations; several of one annotation are a group of their own, or that of its attribute."""
    groups = find_shared_groups(annotations)
    last = max(groups, default=0)
    records = []
    for annotation, shared in zip(annotations, groups, strict=True):
        group, pieces = shared, _make_pieces(annotation)
        if len(pieces) > 1 and not shared:
            group = last = last + 1
        attributes = {name: text for name, text in annotation.attributes.items() if not (shared and name == GROUP)}
        facts = _make_facts(annotation, attributes)
        records += [{**facts, **piece, "group": group, "label_id": categories.index(annotation.category)} for piece in pieces]
    return records


def _make_facts(annotation: Annotation, attributes: dict[str, str]) -> dict[str, Any]:
    """What each piece of an annotation repeats."""
    values = {name: text if name in READ_AS_FACTS else make_value(text) for name, text in attributes.items()}
    facts: dict[str, Any] = {"id": 0, "attributes": values}
    if annotation.confidence is not None:
        values["score"] = annotation.confidence
    if annotation.is_crowd:
        values["is_crowd"] = True
    if is_whole(values.get("object_id")):
        facts["object_id"] = values.pop("object_id")
    if annotation.origin != ("human" if annotation.confidence is None else "model"):
        facts["origin"] = annotation.origin
    return facts


def _make_pieces(annotation: Annotation) -> list[dict[str, Any]]:
    """Type and shape of each piece: the outline, and the box where it is not the outline's bounds."""
    pieces: list[dict[str, Any]] = []
    bounds = None
    if annotation.polygons:
        pieces += [{"type": "polygon", "points": ring, "z_order": 0} for ring in annotation.polygons]
        bounds = find_polygons_box(annotation.polygons)
    if annotation.mask is not None:
        mask = annotation.mask
        rle = {"counts": mask.counts, "size": [mask.height, mask.width]}
        pieces.append({"type": "mask", "rle": rle, "z_order": 0})
        bounds = find_mask_box(decode_mask(mask))
    box = annotation.box_xyxy
    if box is not None and box != bounds:
        pieces.append({"type": "bbox", "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "z_order": 0})
    return pieces or [{"type": "label"}]
