"""Write a project in CVAT's XML "for images" as a stream: labels with their attributes first, then picture by picture."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from sightline.core.annotations import Annotation, BoxXyxy
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.elements import NO_SUBSET, read_subset
from sightline.data.formats.cvat.shapes import PART_OF
from sightline.data.formats.losses import (
    report_lost_attributes,
    report_lost_ignore,
    report_other_box,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.picture_files import FileNamer, make_unique_names
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.masks import decode_mask, find_mask_box

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
GROUP = "group_id"
GROUP_NUMBER = re.compile(r"[1-9]\d{0,8}")
FLAGS = {"occluded": "1"}
PARTS = "polygon of several parts: CVAT shows a polygon each, in a group; read here it is one again"


def check_cvat(version: DatasetVersion) -> ConversionReport:
    """What CVAT changes or drops: crowd marks, people's confidence, boxes beside outlines, characters that XML lacks."""
    report = ConversionReport()
    _Labels(version, report)
    for _ in _place_items(version, report):
        pass
    return report


def write_cvat(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write `annotations.xml` and `images/<subset>/<file name>` below `target`."""
    labels = _Labels(version, report)
    with (target / "annotations.xml").open("wb") as file:
        file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_render(labels.make_meta(version)))
        for number, (item, place) in enumerate(_place_items(version, report)):
            version.blobs.copy_to(item.blob, target / "images" / _name_subset(item.split) / place)
            file.write(_render(labels.make_image(item, place, number)))
            report.keep("image")
            report.keep("annotation", len(item.annotations))
        file.write(b"</annotations>\n")


def _place_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, PurePosixPath]]:
    """Every item with its picture's name below its subset's folder; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version, read_subset)
    namer = FileNamer(version, report, by_stem=False)
    for item in version.items():
        wanted = _clean(item.file_name)
        if wanted != item.file_name:
            report.change("file", "picture renamed: XML lacks a character of its name", f"{item.file_name!r} -> {wanted!r}")
        _report_losses(item, report)
        yield item, namer.place("images", item, wanted).relative_to("images")


def _report_losses(item: Item, report: ConversionReport) -> None:
    warn_turned(report, item)
    report_lost_attributes(report, item)
    for annotation in item.annotations:
        if annotation.confidence is not None and annotation.origin != "model":
            report.drop("attribute", "the format holds a confidence of a model's annotation only", item.file_name)
        if annotation.is_crowd:
            report.drop("attribute", "the format has no mark for crowds: the region becomes an ordinary object", item.file_name)
        if annotation.polygons is not None and annotation.mask is not None:
            report.change("annotation", "polygons beside a mask are not written", item.file_name)
        elif annotation.polygons is not None and len(annotation.polygons) > 1:
            report.warn("annotation", PARTS, item.file_name)
        report_other_box(report, annotation, item.file_name)
        for name, value in annotation.attributes.items():
            if (name, value) != (_clean(name).strip(), _clean(value).strip()):
                report.change("attribute", "text with characters that XML lacks or spaces at its ends", f"{name!r}: {value!r}")


class _Labels:
    """What the head lists and shapes refer to: each category's name in XML and its attributes; and a free group's number."""

    def __init__(self, version: DatasetVersion, report: ConversionReport) -> None:
        for name in version.categories:
            if _clean(name) != name:
                report.change("category", "name with a character that XML lacks", repr(name))
        self._names = dict(zip(version.categories, make_unique_names(map(_clean, version.categories), report), strict=True))
        self._attributes: dict[str, dict[str, None]] = {name: {} for name in version.categories}
        self._group = 0
        for item in version.items():
            for annotation in item.annotations:
                native, others = _split_attributes(annotation)
                self._attributes[annotation.category].update(dict.fromkeys(others))
                self._group = max(self._group, int(native.get(GROUP, "0")))

    def make_meta(self, version: DatasetVersion) -> Element:
        """The head: a project with its labels and subsets."""
        meta = Element("meta")
        project = SubElement(meta, "project")
        _add(project, "name", version.name)
        labels = SubElement(project, "labels")
        for index, name in enumerate(version.categories):
            label = SubElement(labels, "label")
            _add(label, "name", self._names[name])
            _add(label, "color", "#{:02x}{:02x}{:02x}".format(*version.categories.colour(index)))
            _add(label, "type", "any")
            attributes = SubElement(label, "attributes")
            for attribute_name in self._attributes[name]:
                attribute = SubElement(attributes, "attribute")
                for tag, text in (("name", attribute_name), ("mutable", "False"), ("input_type", "text")):
                    _add(attribute, tag, text)
                for tag in ("default_value", "values"):
                    _add(attribute, tag, "")
        _add(project, "subsets", "\n".join(_name_subset(None if split == UNSPLIT else split) for split in version.splits))
        return meta

    def make_image(self, item: Item, place: PurePosixPath, number: int) -> Element:
        """A picture with its shapes; where some may overlap, `z_order` says that later ones lie on top."""
        facts = {
            "id": str(number),
            "name": place.as_posix(),
            "subset": _name_subset(item.split),
            "width": str(item.width),
            "height": str(item.height),
            "seen_by": item.seen_by,
            "source_video": None if item.source_video is None else _clean(item.source_video),
            "frame_pts": None if item.frame_pts is None else str(item.frame_pts),
        }
        image = Element("image", {name: fact for name, fact in facts.items() if fact is not None})
        is_outlined = any(annotation.geometry in ("polygons", "mask") for annotation in item.annotations)
        for order, annotation in enumerate(item.annotations):
            self._add_shapes(image, annotation, order if is_outlined else 0)
        return image

    def _add_shapes(self, image: Element, annotation: Annotation, order: int) -> None:
        native, others = _split_attributes(annotation)
        facts = {"label": self._names[annotation.category], "source": "auto" if annotation.origin == "model" else "manual"}
        if annotation.confidence is not None and annotation.origin == "model":
            facts["score"] = repr(annotation.confidence)
        if annotation.geometry != "image":
            facts |= {"occluded": native.get("occluded", "0"), "z_order": str(order)}
        if GROUP in native:
            facts[GROUP] = native[GROUP]
        shapes = list(_describe_shapes(annotation))
        if len(shapes) > 1:
            self._group += 1
            facts = {GROUP: str(self._group), **facts, PART_OF: str(self._group)}
        for tag, geometry in shapes:
            shape = SubElement(image, tag, {**facts, **geometry})
            for name, value in others.items():
                SubElement(shape, "attribute", {"name": name}).text = value


def _describe_shapes(annotation: Annotation) -> Iterator[tuple[str, dict[str, str]]]:
    """The shapes of an annotation, one but for a polygon of several parts: element and XML attributes."""
    if annotation.mask is not None:
        yield "mask", _describe_mask(decode_mask(annotation.mask))
    elif annotation.polygons is not None:
        for ring in annotation.polygons:
            numbers = list(map(_format_number, ring))
            yield "polygon", {"points": ";".join(map(",".join, zip(numbers[::2], numbers[1::2], strict=True)))}
    elif annotation.box_xyxy is not None:
        yield "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), map(_format_number, annotation.box_xyxy), strict=True))
    else:
        yield "tag", {}


def _describe_mask(pixels: np.ndarray) -> dict[str, str]:
    """The runs along the rows of a mask's box, the first of 0."""
    bounds: BoxXyxy = find_mask_box(pixels) or (0, 0, 1, 1)
    left, top, right, bottom = map(int, bounds)
    flat = pixels[top:bottom, left:right].ravel()
    starts = np.flatnonzero(np.concatenate([flat[:1], flat[1:] != flat[:-1]]))  # where runs begin, the first of 1
    runs = np.diff(starts, prepend=0, append=flat.size)
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, runs.tolist())), **{name: str(value) for name, value in box.items()}}


def _split_attributes(annotation: Annotation) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes that CVAT has a place for, and those of the label."""
    native: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in annotation.attributes.items():
        is_flag = FLAGS.get(name) == value and annotation.geometry != "image"
        is_native = is_flag or (name == GROUP and GROUP_NUMBER.fullmatch(value) is not None)
        (native if is_native else others)[_clean(name).strip()] = _clean(value).strip()
    return native, others


def _name_subset(split: str | None) -> str:
    return NO_SUBSET if split is None else _clean(split)


def _clean(text: str) -> str:
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _render(element: Element) -> bytes:
    indent(element, space="  ")
    return bytes(tostring(element, encoding="utf-8")) + b"\n"


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _format_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
