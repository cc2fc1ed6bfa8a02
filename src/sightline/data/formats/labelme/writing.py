"""Write LabelMe as a stream: per item the picture and, if anybody looked at it or it has annotations, a JSON beside it.

A picture that no person looked at and that has no annotations gets no JSON, so that the tool shows it as one still to do.
"""

import base64
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from sightline.core.annotations import Annotation, MaskRle
from sightline.data.conversion import ConversionReport
from sightline.data.formats.labelme.layout import NAMES_FILE, NO_CATEGORIES, SUFFIX, find_place
from sightline.data.formats.labelme.shapes import GROUP
from sightline.data.formats.losses import (
    report_lost_facts,
    report_lost_ignore,
    report_lost_item_facts,
    report_other_box,
)
from sightline.data.formats.picture_files import FileNamer
from sightline.data.formats.text_files import write_names
from sightline.data.items import Item
from sightline.data.truth import find_viewer
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import decode_mask, find_mask_box

VERSION = "5.5.0"  # of LabelMe whose files these are like; the first with masks was 5.2


def check_labelme(version: DatasetVersion) -> ConversionReport:
    """What LabelMe has no place for: facts of whole-image labels, boxes beside outlines, frames of videos, pixels to ignore."""
    report = ConversionReport()
    for _ in _convert_items(version, report):
        pass
    return report


def write_labelme(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write the version below `target`."""
    target.mkdir(parents=True, exist_ok=True)
    # The first two lines are what the tool's own converters expect there.
    write_names(target / NAMES_FILE, (*NO_CATEGORIES, *version.categories.names))
    for item, place, content in _convert_items(version, report):
        version.blobs.copy_to(item.blob, target / place)
        report.keep("image")
        if content is not None:
            (target / place.with_suffix(SUFFIX)).write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2))
            flags = sum(annotation.geometry == "image" for annotation in item.annotations)
            report.keep("annotation", len(item.annotations) - flags + len(content["flags"]))


def _convert_items(
    version: DatasetVersion, report: ConversionReport
) -> Iterator[tuple[Item, PurePosixPath, dict[str, Any] | None]]:
    """Every item with its picture's place and what its JSON holds, if it gets one; what is lost of it is told."""
    report_lost_ignore(report, version)
    for name in NO_CATEGORIES:
        if name in version.categories:
            report.change("category", "name that means no object to LabelMe; its annotations will not be read again", name)
    namer = FileNamer(version, report)
    told: set[str] = set()
    for item in version.items():
        report_lost_item_facts(report, item)
        split = item.split or UNSPLIT
        place = namer.place(split, item)
        viewer = find_viewer(item.annotations, item.seen_by)
        if item.annotations or viewer in ("human", None):
            told.add(split)
            yield item, place, _make_json(item, place, split, report)
            continue
        if viewer == "model":
            reason = "picture in which a model alone found nothing is written as one at which nobody looked"
            report.change("attribute", reason, item.file_name)
        yield item, place, None
    for split in version.splits:
        again = find_place(PurePosixPath(split, "picture"), ())[1]
        if split not in told and split not in (UNSPLIT, again):
            reason = "split's name is read back as another, for no JSON in it can say it"
            report.change("file", reason, f"{split} -> {again or 'none'}")


def _make_json(item: Item, place: PurePosixPath, split: str, report: ConversionReport) -> dict[str, Any]:
    flags: dict[str, bool] = {}
    outlined: list[Annotation] = []
    for annotation in item.annotations:
        if annotation.geometry != "image":
            report_other_box(report, annotation, item.file_name)
            if annotation.polygons is not None and annotation.mask is not None:
                report.change("annotation", "polygons beside a mask are not written", item.file_name)
            outlined.append(annotation)
        elif annotation.category in flags:
            report.drop("annotation", "second label of the whole picture of one category", item.file_name)
        else:
            flags[annotation.category] = True
            report_lost_facts(report, item, annotation)
    content = {
        "version": VERSION,
        "flags": flags,
        "shapes": [shape for group in _group(outlined) for shape in group],
        "imagePath": place.name,
        "imageData": None,
        "imageHeight": item.height,
        "imageWidth": item.width,
        "split": split,
    }
    # Only this is written of who looked: it stays true whatever is done to the file afterwards.
    return content if item.seen_by != "human" else {**content, "seen_by": "human"}


def _group(annotations: Sequence[Annotation]) -> Iterator[list[dict[str, Any]]]:
    """The shapes of each annotation; those of one that has several parts share a `group_id`."""
    wanted = [_read_number(annotation.attributes.get(GROUP)) for annotation in annotations]
    taken = {(annotation.category, number) for annotation, number in zip(annotations, wanted, strict=True)}
    free = (number for number in count(1) if number not in wanted)
    for annotation, number in zip(annotations, wanted, strict=True):
        attributes = dict(annotation.attributes)
        places = list(_place(annotation))
        group: int | None = None
        if number is not None and (annotation.category, number) in taken:
            # A second one of its category would be read as a part of the first.
            taken.remove((annotation.category, number))
            group = number
            if len(places) == 1:
                del attributes[GROUP]
        elif len(places) > 1:
            group = next(free)
        yield [_make_shape(annotation, group, attributes, place) for place in places]


def _read_number(text: str | None) -> int | None:
    """A `group_id` as the tool takes it; None for any other text, which stays an attribute."""
    return int(text) if text is not None and len(text) < 10 and text.isdecimal() and str(int(text)) == text else None


def _place(annotation: Annotation) -> Iterator[dict[str, Any]]:
    """Kind and points of each part of an annotation."""
    if annotation.mask is not None:
        yield _crop(annotation.mask)
    elif annotation.polygons is not None:
        for ring in annotation.polygons:
            yield {"shape_type": "polygon", "points": list(zip(ring[::2], ring[1::2], strict=True))}
    elif annotation.box_xyxy is not None:
        yield {"shape_type": "rectangle", "points": [annotation.box_xyxy[:2], annotation.box_xyxy[2:]]}


def _crop(mask: MaskRle) -> dict[str, Any]:
    """A mask as its bounds, with the last pixels included, and the piece within."""
    pixels = decode_mask(mask)
    x0, y0, x1, y1 = map(int, find_mask_box(pixels) or (0, 0, 1, 1))
    piece = pixels[y0:y1, x0:x1].astype(np.uint8)
    content = base64.b64encode(encode_image(piece, "png")).decode("ascii")
    return {"shape_type": "mask", "points": [(x0, y0), (x1 - 1, y1 - 1)], "mask": content}


def _make_shape(annotation: Annotation, group: int | None, attributes: dict[str, str], place: dict[str, Any]) -> dict[str, Any]:
    flags = {name: True for name, value in attributes.items() if value == "true"}
    others = {name: value for name, value in attributes.items() if value != "true"}
    description = others.pop("description") if others.get("description") else ""
    shape: dict[str, Any] = {"label": annotation.category, "group_id": group, "description": description}
    shape |= {"flags": flags, "mask": None, **place}
    if annotation.confidence is not None:
        shape["score"] = annotation.confidence
    if annotation.origin != ("human" if annotation.confidence is None else "model"):
        shape["origin"] = annotation.origin
    if annotation.is_crowd:
        shape["is_crowd"] = True
    if others:
        shape["attributes"] = others
    return shape
