"""Pascal VOC: one XML a picture (`Annotations`), pictures (`JPEGImages`), split lists (`ImageSets/Main`), segmentation PNGs.

Also read: flat folders with XML beside the pictures, `train/`, `valid/`, `test/` folders of them, and IBM's dialect without
`filename` and with `segment_polygons`. Coordinates are taken as they stand, edges in pixels from 0: VOC itself counted from 1
and included the last pixel, but nearly all tools since write plain corners, and reading those must not move a box. `trainval`
is the union of train and val. `difficult`, `truncated`, `occluded`, `pose` become attributes unless they say the usual (0,
Unspecified).

Some tools of VOC apply EXIF orientation, others ignore it: labels whose `size` is that of the stored picture are turned with
it on import; on export the labels are those of the upright picture, and each picture that EXIF turns is told.
"""

import math
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as SafeElementTree
import msgspec
from defusedxml import DefusedXmlException

from sightline.core.annotations import Annotation, Ring
from sightline.core.categories import Categories
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport, clean_name
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import PICTURE_SUFFIXES, find_split, is_junk, is_picture, resolve_inside, walk_files
from sightline.data.formats.voc_masks import VOC_CLASSES, LabelMap, read_label_names, read_segmentation
from sightline.data.formats.voc_writing import check_voc, write_voc
from sightline.data.versions import DatasetVersion

MAX_XML_BYTES = 32 << 20
HEAD_BYTES = 4096
FILES_LOOKED_AT = 40
USUAL_VALUES = {
    "pose": ("", "Unspecified", "unspecified"),
    "truncated": ("", "0"),
    "difficult": ("", "0"),
    "occluded": ("", "0"),
}
NOT_KEPT = {"part": "parts of objects are not kept", "actions": "actions are not kept", "point": "points are not kept"}
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs")
# A picture in both train.txt and trainval.txt is in train.
LIST_ORDER = ("train", "val", "test", "trainval")


class VocFormat:
    """Pascal VOC XML with its pictures."""

    name = "voc"
    description = "Pascal VOC XML: boxes, split lists, segmentation PNGs"

    def detect(self, source: Path) -> float:
        """By a folder `Annotations` of XML, or VOC's elements in the first bytes of XML files."""
        if source.is_file():
            return 0.9 if source.suffix.lower() == ".xml" and _looks_like_voc(source) else 0.0
        layouts = _find_layouts(source) if source.is_dir() else []
        if not layouts:
            return 0.0
        return 0.95 if layouts[0].labels != layouts[0].root else 0.85

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read every layout found; categories come from `labelmap.txt`, else from the XML files. Options: none."""
        check_options(self.name, options)
        if source.is_file():
            layouts = [_lay_out_around(source)]
            read_voc_xml(source)  # a single file that is not VOC is an error, not a report
        else:
            layouts = _find_layouts(source)
        if not layouts:
            raise UnreadableDataset(f"expected VOC XML files in {source.name}, found none; choose another format")
        names = _find_categories(layouts)
        items = chain.from_iterable(_stream_layout(layout, report) for layout in layouts)
        return SourceDataset(categories=Categories(names), items=iter(items))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What VOC has no place for; see `voc_writing`."""
        return check_voc(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write Annotations, JPEGImages, ImageSets, labelmap.txt and, for outlines, segmentation PNGs."""
        write_voc(version, target, report)


class _Layout(msgspec.Struct, frozen=True):
    """Where one VOC tree keeps things. `only` is a single XML file to read."""

    root: Path
    labels: Path
    pictures: Path
    only: Path | None = None


class VocXml(msgspec.Struct, frozen=True):
    """What an XML file says; the file name and the size may be missing."""

    file_name: str | None
    size: tuple[int, int] | None
    objects: tuple[Element, ...]


def read_voc_xml(path: Path) -> VocXml:
    """Parse one annotation file. Raises: UnreadableDataset when it is no VOC XML."""
    if path.stat().st_size > MAX_XML_BYTES:
        raise UnreadableDataset(f"expected a VOC XML of at most {MAX_XML_BYTES >> 20} MB, {path.name} is larger; is it one?")
    try:
        root = SafeElementTree.fromstring(path.read_bytes())
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadableDataset(f"expected {path.name} to be VOC XML, cannot parse it ({reason}); mend or remove it") from error
    if root.tag != "annotation":
        raise UnreadableDataset(
            f"expected <annotation> at the top of {path.name}, got <{root.tag[:40]}>; choose another format"
        )
    size = tuple(_number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    whole = all(math.isfinite(side) and side >= 1 for side in size)
    return VocXml(
        (root.findtext("filename") or "").strip() or None,
        (int(size[0]), int(size[1])) if whole else None,
        tuple(root.iter("object")),
    )


def _looks_like_voc(path: Path) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 - a link to itself, or a pipe that would be read for ever
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).replace(b"\0", b"")  # UTF-16 reads as ASCII without its zeros
    return b"<annotation" in head and b"<annotations" not in head and any(key in head for key in (b"<bndbox", b"<size>"))


def _find_layouts(source: Path) -> list[_Layout]:
    """VOC trees at most two folders down; else the folder itself when XML lies among its files."""
    found = []
    for pattern in ("Annotations", "annotations", "*/Annotations", "*/annotations", "*/*/Annotations"):
        for labels in sorted(source.glob(pattern)):
            if labels.is_dir() and _has_voc_xml(labels):
                root = labels.parent
                pictures = next((root / name for name in PICTURE_FOLDERS if (root / name).is_dir()), root)
                found.append(_Layout(root, labels, pictures))
        if found:
            return found
    return [_Layout(source, source, source)] if _has_voc_xml(source) else []


def _lay_out_around(path: Path) -> _Layout:
    """The layout of a single XML file: its picture lies beside it, or in the picture folder of the tree it is part of."""
    root = path.parent.parent if path.parent.name.lower() == "annotations" else path.parent
    pictures = next((root / name for name in PICTURE_FOLDERS if (root / name).is_dir()), path.parent)
    return _Layout(root, path.parent, pictures, only=path)


def _has_voc_xml(folder: Path) -> bool:
    candidates = (path for path in walk_files(folder) if path.suffix.lower() == ".xml")
    return any(_looks_like_voc(path) for _, path in zip(range(FILES_LOOKED_AT), candidates, strict=False))


def _xml_files(layout: _Layout) -> Iterator[Path]:
    if layout.only is not None:
        return iter([layout.only])
    return (path for path in walk_files(layout.labels) if path.suffix.lower() == ".xml")


def _find_categories(layouts: list[_Layout]) -> list[str]:
    """Names of `labelmap.txt` first, in its order; others in VOC's order when they are VOC's, else by the alphabet."""
    listed = dict.fromkeys(name for layout in layouts for name in (_labels_of(layout) or []))
    seen: set[str] = set()
    readable = False
    problem: UnreadableDataset | None = None
    for path in chain.from_iterable(map(_xml_files, layouts)):
        try:
            seen.update(_name_of(thing) for thing in read_voc_xml(path).objects)
            readable = True
        except UnreadableDataset as error:
            problem = problem or error
    if problem is not None and not readable:
        raise UnreadableDataset(f"none of the XML files can be read; the first: {problem}") from problem
    rest = sorted(name for name in seen - listed.keys() if name)
    if set(rest) <= set(VOC_CLASSES):
        rest.sort(key=VOC_CLASSES.index)
    return [*listed, *rest]


def _labels_of(layout: _Layout) -> list[str] | None:
    labels = read_label_names(layout.root)
    if labels is not None:
        return labels.categories
    return list(VOC_CLASSES) if (layout.root / "SegmentationClass").is_dir() else None


def _stream_layout(layout: _Layout, report: ConversionReport) -> Iterator[SourceItem]:
    """All pictures that have an XML, then those that only lie there or stand in a split list."""
    splits = _read_split_lists(layout, report)
    labels = read_label_names(layout.root)
    done: set[str] = set()
    for path in _xml_files(layout):
        picture_id = path.relative_to(layout.labels).with_suffix("").as_posix()
        done.add(picture_id)
        try:
            facts = read_voc_xml(path)
        except UnreadableDataset as error:
            report.drop("file", "annotation file that is no VOC XML", str(error))
            report.drop("image", "its annotation file cannot be read", path.name)
            continue
        picture = _find_picture(layout, picture_id, facts.file_name)
        if picture is not None:
            done.add(picture.relative_to(layout.pictures).with_suffix("").as_posix())  # an XML may be named otherwise
        parsed = (_parse_object(thing, report, picture_id) for thing in facts.objects)
        objects = tuple(annotation for annotation in parsed if annotation is not None)
        yield SourceItem(
            file_name=_name_picture(layout, picture_id, picture, facts.file_name),
            path=picture,
            split=_split_of(layout, splits, picture_id),
            annotations=read_segmentation(layout.root, picture_id, objects, labels, report),
            declared_size=facts.size,
        )
    if layout.only is None:
        yield from _stream_unlabelled(layout, splits, labels, done, report)


def _stream_unlabelled(
    layout: _Layout, splits: dict[str, str], labels: LabelMap | None, done: set[str], report: ConversionReport
) -> Iterator[SourceItem]:
    pictures = (path for path in walk_files(layout.pictures) if is_picture(path.name))
    for path in pictures:
        relative = path.relative_to(layout.pictures)
        picture_id = relative.with_suffix("").as_posix()
        if picture_id in done or any(is_junk(part) or part.startswith("Segmentation") for part in relative.parts):
            continue
        done.add(picture_id)
        annotations = read_segmentation(layout.root, picture_id, (), labels, report)
        if not annotations:
            report.warn("image", "picture without an annotation file", relative.as_posix())
        split = _split_of(layout, splits, picture_id)
        yield SourceItem(file_name=relative.as_posix(), path=path, split=split, annotations=annotations)
    for picture_id in splits:
        if picture_id not in done:
            yield SourceItem(file_name=f"{picture_id}.jpg", split=splits[picture_id])


def _find_picture(layout: _Layout, picture_id: str, file_name: str | None) -> Path | None:
    if file_name is not None and "\0" not in file_name:
        # The XML's own folder first: with nested ids `filename` is only the last part.
        beside = str(Path(picture_id).with_name(Path(file_name).name)) if Path(file_name).name else file_name
        for name in (beside, file_name):
            found = resolve_inside(layout.pictures, name)
            if found is not None and os.path.isfile(found):  # noqa: PTH113 - never raises
                return found
    for suffix in PICTURE_SUFFIXES:
        for spelling in (suffix, suffix.upper()):
            path = layout.pictures / f"{picture_id}{spelling}"
            if os.path.isfile(path):  # noqa: PTH113
                return path
    return None


def _name_picture(layout: _Layout, picture_id: str, picture: Path | None, file_name: str | None) -> str:
    if picture is not None:
        return picture.relative_to(layout.pictures).as_posix()
    return f"{picture_id}{Path(file_name).suffix if file_name else '.jpg'}"


def _read_split_lists(layout: _Layout, report: ConversionReport) -> dict[str, str]:
    """Picture id to split, of `ImageSets/Main`, else of the first other folder of lists."""
    sets = layout.root / "ImageSets"
    folders = [sets / name for name in ("Main", "Segmentation", "Layout", "Action") if (sets / name).is_dir()]
    if not folders:
        return {}
    splits: dict[str, str] = {}
    files = sorted(folders[0].glob("*.txt"), key=lambda path: (_rank(path.stem), path.stem))
    for path in files:
        ids = [
            re.sub(r'^"(.*)"$', r"\1", line.strip())
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip()
        ]
        if _is_class_list(path.stem, ids):
            continue
        name = find_split(path.stem) or path.stem
        for picture_id in ids:
            if name == "trainval" and picture_id in splits:
                continue
            if splits.setdefault(picture_id, name) != name:
                reason = "picture in several split lists, the first counts"
                report.warn("image", reason, f"{picture_id}: {splits[picture_id]}, {name}")
    return {picture_id: name for picture_id, name in splits.items() if name != "unsplit"}


def _rank(stem: str) -> int:
    name = find_split(stem) or stem
    return LIST_ORDER.index(name) if name in LIST_ORDER else len(LIST_ORDER)


def _is_class_list(stem: str, lines: list[str]) -> bool:
    """`cat_train.txt`: each line ends in 1, 0 or -1."""
    return "_" in stem and all(line.split()[-1] in ("1", "0", "-1") and len(line.split()) > 1 for line in lines)


def _split_of(layout: _Layout, splits: dict[str, str], picture_id: str) -> str | None:
    if splits or layout.labels != layout.root or "/" not in picture_id:
        return splits.get(picture_id)
    return find_split(picture_id.split("/")[0])


def _parse_object(thing: Element, report: ConversionReport, where: str) -> Annotation | None:
    name = _name_of(thing)
    if not name:
        report.drop("annotation", "object without a name", where)
        return None
    for tag, reason in NOT_KEPT.items():
        if thing.find(tag) is not None:
            report.drop("attribute", reason, f"{where}: {name}")
    bounds = thing.find("bndbox")
    polygons = _parse_polygons(thing)
    if bounds is None and polygons is None:
        report.drop("annotation", "object without a box", f"{where}: {name}")
        return None
    box = None
    if bounds is not None:
        x0, y0, x1, y1 = (_number(bounds.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax"))
        box = (x0, y0, x1, y1)
    confidence = _number(thing.findtext("confidence"))
    return Annotation(
        category=name,
        box_xyxy=box,
        polygons=polygons,
        confidence=confidence if math.isfinite(confidence) else None,
        origin="model" if thing.findtext("origin") == "model" else "human",
        attributes=_parse_attributes(thing),
    )


def _parse_polygons(thing: Element) -> tuple[Ring, ...] | None:
    """IBM's dialect: `segment_polygons` of `polygon`s of `point`s with two `value`s, x and y."""
    rings = tuple(
        tuple(_number(value.text) for point in polygon.iterfind("point") for value in point.iterfind("value"))
        for polygon in thing.iterfind("segment_polygons/polygon")
    )
    return rings or None


def _parse_attributes(thing: Element) -> dict[str, str]:
    attributes = {}
    for tag, usual in USUAL_VALUES.items():
        value = (thing.findtext(tag) or "").strip()
        if value not in usual:
            attributes[tag] = value
    for attribute in thing.iterfind("attributes/attribute"):
        attributes[(attribute.findtext("name") or "").strip()] = (attribute.findtext("value") or "").strip()
    return attributes


def _name_of(thing: Element) -> str:
    return clean_name(thing.findtext("name") or "")


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
