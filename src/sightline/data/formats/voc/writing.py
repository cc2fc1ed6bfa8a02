"""Write Pascal VOC as a stream: an XML and a picture per item, split lists, `labelmap.txt`, segmentation PNGs for outlines."""

from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.losses import report_lost_ignore, report_lost_item_facts, report_renamed_splits, warn_turned
from sightline.data.formats.picture_files import FileNamer
from sightline.data.formats.voc.masks import BACKGROUND_NAMES, MASK_INDEX, draw_instances, make_palette, save_palette_png
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion

DIRECT_ATTRIBUTES = ("pose", "truncated", "difficult", "occluded")
USUAL = {"pose": "Unspecified", "truncated": "0", "difficult": "0", "occluded": "0"}


def check_voc(version: DatasetVersion) -> ConversionReport:
    """What VOC changes or drops: whole-image labels, crowds, polygons (drawn as masks), overlapping masks, renamed files."""
    report = ConversionReport()
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    _report_names(version, report)
    namer = FileNamer(version, report)
    indices = _index_categories(version)
    for item in version.items():
        namer.place("JPEGImages", item)
        _report_losses(item, report)
        _draw(item, indices, report)
    return report


def write_voc(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write the version below `target`."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    _report_names(version, report)
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    _write_label_map(version, target)
    namer, indices = FileNamer(version, report), _index_categories(version)
    with ExitStack() as open_files:
        lists = _SplitLists(target, open_files, with_trainval={"train", "val"} <= version.splits.keys())
        for item in version.items():
            place = namer.place("JPEGImages", item)
            picture_id = place.relative_to("JPEGImages").with_suffix("").as_posix()
            version.blobs.copy_to(item.blob, target / place)
            drawn = _draw(item, indices, report)
            numbers = drawn[2] if drawn is not None else [None] * len(item.annotations)
            kept = [pair for pair in zip(item.annotations, numbers, strict=True) if pair[0].geometry != "image"]
            if drawn is not None:
                save_palette_png(target / "SegmentationClass" / f"{picture_id}.png", drawn[0])
                save_palette_png(target / "SegmentationObject" / f"{picture_id}.png", drawn[1])
            xml = target / "Annotations" / f"{picture_id}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_bytes(_make_xml(item, PurePosixPath(place), kept, segmented=drawn is not None))
            lists.add(picture_id, item.split, segmented=drawn is not None)
            _report_losses(item, report)
            report.keep("image")
            report.keep("annotation", len(kept))


class _SplitLists:
    """The open lists `ImageSets/Main/<split>.txt` and, for pictures with masks, `ImageSets/Segmentation/<split>.txt`."""

    def __init__(self, target: Path, open_files: ExitStack, with_trainval: bool) -> None:
        self._target, self._open_files, self._with_trainval = target, open_files, with_trainval
        self._lists: dict[str, TextIO] = {}

    def add(self, picture_id: str, split: str | None, segmented: bool) -> None:
        """Write a picture into the lists of its split; without a split into none."""
        if split is None:
            return
        names = [split, "trainval"] if self._with_trainval and split in ("train", "val") else [split]
        for folder in ("Main", "Segmentation") if segmented else ("Main",):
            for name in names:
                self._open(f"ImageSets/{folder}/{name}.txt").write(picture_id + "\n")

    def _open(self, name: str) -> TextIO:
        if name not in self._lists:
            path = self._target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lists[name] = self._open_files.enter_context(path.open("w", encoding="utf-8"))
        return self._lists[name]


def _index_categories(version: DatasetVersion) -> dict[str, int]:
    return {name: index for index, name in enumerate(version.categories.names, start=1)}


def _write_label_map(version: DatasetVersion, target: Path) -> None:
    lines = ["# label:color_rgb:parts:actions"]
    for index, name in enumerate(("background", *version.categories.names)):
        red, green, blue = make_palette()[min(index, 255)]
        lines.append(f"{name}:{red},{green},{blue}::")
    (target / "labelmap.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw(
    item: Item, indices: dict[str, int], report: ConversionReport
) -> tuple[np.ndarray, np.ndarray, list[int | None]] | None:
    """Class map, object map, and each annotation's index in it; None for an item without outlines."""
    if not any(annotation.geometry in ("mask", "polygons") for annotation in item.annotations):
        return None
    classes, instances, losses, numbers = draw_instances(item.annotations, indices, item.width, item.height)
    for reason, count in losses.items():
        report.change("annotation", reason, item.file_name, count=count)
    return classes, instances, numbers


def _report_names(version: DatasetVersion, report: ConversionReport) -> None:
    """Names that `labelmap.txt` or XML would give back otherwise."""
    for name in version.categories:
        if not name.isprintable() or ":" in name or name.startswith("#") or name in BACKGROUND_NAMES:
            report.change("category", "name with ':', '#', odd spaces or a meaning of its own in VOC (background)", repr(name))


def _report_losses(item: Item, report: ConversionReport) -> None:
    report_lost_item_facts(report, item)
    warn_turned(report, item)
    for annotation in item.annotations:
        if annotation.geometry == "image":
            report.drop(
                "annotation", "a label of the whole image has no place in VOC", f"{item.file_name}: {annotation.category}"
            )
        if annotation.is_crowd:
            report.drop("attribute", "the format has no mark for crowds: the region becomes an ordinary object", item.file_name)


def _make_xml(item: Item, place: PurePosixPath, numbered: list[tuple[Annotation, int | None]], segmented: bool) -> bytes:
    """The XML of an item. Args: numbered: annotations with their index in the object picture."""
    root = Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", place.name)
    size = SubElement(root, "size")
    for tag, side in (("width", item.width), ("height", item.height), ("depth", 3)):
        _add(size, tag, str(side))
    _add(root, "segmented", str(int(segmented)))
    if item.seen_by is not None:
        _add(root, "seen_by", item.seen_by)
    for annotation, number in numbered:
        thing = SubElement(root, "object")
        _add(thing, "name", annotation.category)
        for name in DIRECT_ATTRIBUTES:
            _add(thing, name, annotation.attributes.get(name, USUAL[name]))
        if annotation.confidence is not None:
            _add(thing, "confidence", repr(annotation.confidence))
        if annotation.origin != "human":
            _add(thing, "origin", annotation.origin)
        if number is not None:
            _add(thing, MASK_INDEX, str(number))
        bounds = SubElement(thing, "bndbox")
        for tag, coordinate in zip(("xmin", "ymin", "xmax", "ymax"), annotation.box_xyxy or (), strict=False):
            _add(bounds, tag, _format_number(coordinate))
        others = {name: value for name, value in annotation.attributes.items() if name not in DIRECT_ATTRIBUTES}
        if others:
            holder = SubElement(thing, "attributes")
            for name, value in others.items():
                attribute = SubElement(holder, "attribute")
                _add(attribute, "name", name)
                _add(attribute, "value", value)
    indent(root, space="\t")
    return bytes(tostring(root, encoding="utf-8"))


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _format_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
