"""Write Pascal VOC as a stream: an XML and a picture per item, split lists, `labelmap.txt`, segmentation PNGs for outlines."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sightline.core.annotations import Annotation
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import name_viewer
from sightline.data.formats.losses import report_lost_ignore, report_lost_item_facts, report_renamed_splits, warn_turned
from sightline.data.formats.picture_files import FileNamer
from sightline.data.formats.voc.masks import (
    BACKGROUND_NAMES,
    MASK_INDEX,
    Instances,
    draw_instances,
    make_palette,
    save_palette_png,
)
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion

USUAL = {"pose": "Unspecified", "truncated": "0", "difficult": "0", "occluded": "0"}
FLAGS = frozenset(USUAL) - {"pose"}
NUMBERS = {"true": "1", "false": "0"}


def check_voc(version: DatasetVersion) -> ConversionReport:
    """What VOC changes or drops: whole-image labels, crowds, polygons (drawn as masks), overlapping masks, renamed files."""
    report = ConversionReport()
    for _ in _draw_items(version, report):
        pass
    return report


def write_voc(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write the version below `target`."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    _write_label_map(version, target)
    with ExitStack() as open_files:
        lists = _SplitLists(target, open_files, with_trainval={"train", "val"} <= version.splits.keys())
        for item, place, drawn in _draw_items(version, report):
            picture_id = place.relative_to("JPEGImages").with_suffix("").as_posix()
            version.blobs.copy_to(item.blob, target / place)
            numbers = [None] * len(item.annotations) if drawn is None else drawn.numbers
            kept = [pair for pair in zip(item.annotations, numbers, strict=True) if pair[0].geometry != "image"]
            if drawn is not None:
                save_palette_png(target / "SegmentationClass" / f"{picture_id}.png", drawn.classes)
                save_palette_png(target / "SegmentationObject" / f"{picture_id}.png", drawn.instances)
            xml = target / "Annotations" / f"{picture_id}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_bytes(_make_xml(item, place, kept, segmented=drawn is not None))
            lists.add(picture_id, item.split, segmented=drawn is not None)
            report.keep("image")
            report.keep("annotation", len(kept))


def _draw_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, PurePosixPath, Instances | None]]:
    """Every item with its picture's path and, if it has outlines, its maps; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    _report_names(version, report)
    namer = FileNamer(version, report)
    indices = {name: index for index, name in enumerate(version.categories, start=1)}
    for item in version.items():
        place = namer.place("JPEGImages", item)
        _report_losses(item, report)
        is_outlined = any(annotation.geometry in ("mask", "polygons") for annotation in item.annotations)
        yield item, place, draw_instances(item, indices, report) if is_outlined else None


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


def _write_label_map(version: DatasetVersion, target: Path) -> None:
    lines = ["# label:color_rgb:parts:actions"]
    for index, name in enumerate(("background", *version.categories.names)):
        red, green, blue = make_palette()[min(index, 255)]
        lines.append(f"{name}:{red},{green},{blue}::")
    (target / "labelmap.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _report_names(version: DatasetVersion, report: ConversionReport) -> None:
    """Names that `labelmap.txt` or XML would give back otherwise."""
    for name in version.categories:
        if not name.isprintable() or ":" in name or name.startswith("#") or name in BACKGROUND_NAMES:
            report.change("category", "name with ':', '#', odd spaces or a meaning of its own in VOC (background)", repr(name))


def _report_losses(item: Item, report: ConversionReport) -> None:
    report_lost_item_facts(report, item)
    warn_turned(report, item)
    for annotation in item.annotations:
        for name in sorted(FLAGS & annotation.attributes.keys()):
            if read_flag(annotation.attributes[name]) != annotation.attributes[name]:
                report.warn(
                    "attribute", "true and false of VOC's own marks are written as 1 and 0", f"{item.file_name}: {name}"
                )
        if annotation.geometry == "image":
            report.drop(
                "annotation", "a label of the whole image has no place in VOC", f"{item.file_name}: {annotation.category}"
            )
        if annotation.is_crowd:
            report.drop("attribute", "the format has no mark for crowds: the region becomes an ordinary object", item.file_name)


def read_flag(text: str) -> str:
    """A mark as VOC has it, 0 or 1, where it says true or false; any other text as it is."""
    return NUMBERS.get(text.lower(), text)


def _make_xml(item: Item, place: PurePosixPath, numbered: list[tuple[Annotation, int | None]], segmented: bool) -> bytes:
    """The XML of an item. Args: numbered: annotations with their index in the object picture."""
    root = Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", place.name)
    size = SubElement(root, "size")
    for tag, side in (("width", item.width), ("height", item.height), ("depth", 3)):
        _add(size, tag, str(side))
    _add(root, "segmented", str(int(segmented)))
    viewer = name_viewer(item, not numbered)
    if viewer is not None:
        _add(root, "seen_by", viewer)
    for annotation, number in numbered:
        thing = SubElement(root, "object")
        _add(thing, "name", annotation.category)
        for name, usual in USUAL.items():
            value = annotation.attributes.get(name, usual)
            _add(thing, name, read_flag(value) if name in FLAGS else value)
        if annotation.confidence is not None:
            _add(thing, "confidence", repr(annotation.confidence))
        if annotation.origin != "human":
            _add(thing, "origin", annotation.origin)
        if number is not None:
            _add(thing, MASK_INDEX, str(number))
        bounds = SubElement(thing, "bndbox")
        for tag, coordinate in zip(("xmin", "ymin", "xmax", "ymax"), annotation.box_xyxy or (), strict=False):
            _add(bounds, tag, _format_number(coordinate))
        others = {name: value for name, value in annotation.attributes.items() if name not in USUAL}
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
