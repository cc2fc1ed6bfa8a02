"""Write COCO as a stream: per split the images and the annotations grow in two part files, joined into one JSON at the end."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.conversion import ConversionReport
from sightline.data.formats.coco.names import find_file_split
from sightline.data.formats.losses import report_lost_frame, report_lost_ignore, report_renamed_splits, warn_turned
from sightline.data.formats.picture_files import check_inside
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion
from sightline.imaging.masks import compute_ring_area, decode_mask, find_mask_box, find_polygons_box

NO_SPLIT_NAME = "default"


def check_coco(version: DatasetVersion) -> ConversionReport:
    """What COCO has no place for: a frame's video, pixels to ignore, polygons beside a mask."""
    report = ConversionReport()
    for _ in _list_items(version, report):
        pass
    return report


def write_coco(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write `annotations/instances_<split>.json` (`default` without a split) and `images/<file name>` below `target`."""
    (target / "annotations").mkdir(parents=True, exist_ok=True)
    (target / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sightline-coco-") as parts, ExitStack() as open_files:
        writers: dict[str, _SplitWriter] = {
            name: _SplitWriter(name, number, Path(parts), open_files) for number, name in enumerate(_name_splits(version))
        }
        annotation_id = 1
        for image_id, item in enumerate(_list_items(version, report), start=1):
            version.blobs.copy_to(item.blob, target / "images" / check_inside(item.file_name))
            writer = writers[item.split or NO_SPLIT_NAME]
            facts: dict[str, Any] = {"id": image_id, "file_name": item.file_name, "width": item.width, "height": item.height}
            if item.seen_by is not None:
                facts["seen_by"] = item.seen_by
            if item.attributes:
                facts["attributes"] = item.attributes
            writer.append("images", facts)
            for annotation in item.annotations:
                writer.append("annotations", _make_record(annotation, annotation_id, image_id, version.categories))
                annotation_id += 1
            report.keep("image")
            report.keep("annotation", len(item.annotations))
        for writer in writers.values():
            writer.join(target / "annotations", version)


def _name_splits(version: DatasetVersion) -> list[str]:
    names = [NO_SPLIT_NAME if name == "unsplit" else name for name in version.splits]
    return names or [NO_SPLIT_NAME]


def _read_split(split: str) -> str | None:
    """What a split's name will be when its JSON is read again."""
    return find_file_split(Path("annotations", f"instances_{split}.json"), Path())


def _list_items(version: DatasetVersion, report: ConversionReport) -> Iterator[Item]:
    """Every item; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version, _read_split)
    for item in version.items():
        report_lost_frame(report, item)
        warn_turned(report, item)
        for annotation in item.annotations:
            if annotation.polygons is not None and annotation.mask is not None:
                report.change("annotation", "polygons beside a mask are not written", item.file_name)
        yield item


class _SplitWriter:
    """The growing parts of one split's JSON."""

    def __init__(self, name: str, number: int, parts: Path, open_files: ExitStack) -> None:
        self._name = name
        self._parts: dict[str, BinaryIO] = {
            key: open_files.enter_context((parts / f"{key}-{number}").open("w+b")) for key in ("images", "annotations")
        }
        self._encode = msgspec.json.Encoder().encode

    def append(self, key: str, record: dict[str, Any]) -> None:
        """Write a record of "images" or "annotations"."""
        part = self._parts[key]
        part.write((b",\n" if part.tell() else b"") + self._encode(record))

    def join(self, folder: Path, version: DatasetVersion) -> None:
        """Write the JSON: info, categories, images, annotations."""
        info = {"description": version.name, "version": version.id}
        categories = [{"id": index, "name": name} for index, name in enumerate(version.categories.names, start=1)]
        with (folder / f"instances_{self._name}.json").open("wb") as file:
            file.write(b'{"info":' + self._encode(info) + b',\n"categories":' + self._encode(categories))
            for key, part in self._parts.items():
                part.seek(0)
                file.write(b',\n"' + key.encode() + b'":[\n')
                shutil.copyfileobj(part, file)
                file.write(b"]")
            file.write(b"}\n")


def _make_record(annotation: Annotation, annotation_id: int, image_id: int, categories: Categories) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": categories.index(annotation.category) + 1,
        "iscrowd": int(annotation.is_crowd),
    }
    box, area = annotation.box_xyxy, None
    if annotation.mask is not None:
        pixels = decode_mask(annotation.mask)
        record["segmentation"] = {
            "size": [annotation.mask.height, annotation.mask.width],
            "counts": annotation.mask.counts,
        }
        box, area = box or find_mask_box(pixels), float(np.count_nonzero(pixels))
    elif annotation.polygons is not None:
        record["segmentation"] = annotation.polygons
        box, area = box or find_polygons_box(annotation.polygons), sum(map(compute_ring_area, annotation.polygons))
    if box is not None:
        record["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        record["area"] = (box[2] - box[0]) * (box[3] - box[1]) if area is None else area
    if annotation.confidence is not None:
        record["score"] = annotation.confidence
    if annotation.origin != ("human" if annotation.confidence is None else "model"):
        record["origin"] = annotation.origin
    if annotation.attributes:
        record["attributes"] = annotation.attributes
    return record
