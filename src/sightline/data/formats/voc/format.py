"""Pascal VOC: one XML per picture (`Annotations`), pictures (`JPEGImages`), split lists (`ImageSets/Main`), segmentation PNGs.

**Also read:** `labels`, `xmls` or `annots` beside `images` or `data`; flat folders with the XML beside the pictures; `train/`,
`valid/`, `test/` folders of them; and IBM's dialect, without `filename` and with `segment_polygons`. `trainval` is the union
of train and val. `difficult`, `truncated`, `occluded` and `pose` become attributes unless they have their usual value (0,
Unspecified); true and false are 1 and 0.

**Coordinates** are taken as they are, as edges in pixels from 0. VOC itself counted from 1 and included the last pixel, but
nearly all tools since write plain corners, and reading those must not move a box.

**Which picture an XML belongs to.** It is the picture with the XML's name; `filename` chooses among several. If there is none
of that name, `filename` alone counts, unless that picture has an XML of its own: a `filename` left over from a copied file
must not move defects to another picture. Lines of split lists may hold a suffix or further columns. A list that names nothing
is refused if there are pictures in no list.

**Which object a mask belongs to.** It is the object of its class that states its index in the object picture (`mask_index`,
which we write), else the one whose box fits the mask's bounds best.

Some VOC tools apply EXIF orientation, others ignore it. On import, labels whose `size` is that of the stored picture are
turned with it. Where no size tells (mirrored, upside down, square), labels are taken as upright, and the report warns. On
export, labels are those of the upright picture, and the report names each picture that EXIF turns.
"""

import math
import os
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
from sightline.data.formats.format import SourceDataset, SourceItem, find_viewer_of_file
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    find_by_stem,
    find_split,
    is_junk,
    is_picture,
    names_the_same,
    resolve_inside,
    walk_files,
)
from sightline.data.formats.voc.lists import read_split_lists
from sightline.data.formats.voc.masks import MASK_INDEX, VOC_CLASSES, LabelMap, read_label_names, read_segmentation
from sightline.data.formats.voc.writing import FLAGS, check_voc, read_flag, write_voc
from sightline.data.items import Viewer
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
LABEL_PATTERNS = ("Annotations", "annotations", "*/Annotations", "*/annotations", "*/*/Annotations",
                  "labels", "xmls", "xml", "annots", "*/labels", "*/xmls", "*/xml", "*/annots")  # fmt: skip
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "data")  # the last is FiftyOne's


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
        is_named = layouts[0].labels != layouts[0].root and layouts[0].labels.name.lower() == "annotations"
        return 0.95 if is_named else 0.85

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
        splits = [_read_splits(layout, report) for layout in layouts]
        items = chain.from_iterable(_stream_layout(*each, report) for each in zip(layouts, splits, strict=True))
        return SourceDataset(categories=Categories(names), items=iter(items))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What VOC has no place for; see `writing`."""
        return check_voc(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write Annotations, JPEGImages, ImageSets, labelmap.txt and, for outlines, segmentation PNGs."""
        write_voc(version, target, report)


class _Layout(msgspec.Struct, frozen=True):
    """Where one VOC tree keeps things. `only` is a single XML file to read, `split` what the tree's folder is named after."""

    root: Path
    labels: Path
    pictures: Path
    only: Path | None = None
    split: str | None = None


class VocXml(msgspec.Struct, frozen=True):
    """What an XML file says; what the file does not say is None."""

    file_name: str | None
    size: tuple[int, int] | None
    objects: tuple[Element, ...]
    seen_by: str | None


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
        root.findtext("seen_by"),
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
    for pattern in LABEL_PATTERNS:
        for labels in sorted(source.glob(pattern)):
            if labels.is_dir() and _has_voc_xml(labels):
                root = labels.parent
                pictures = next((root / name for name in PICTURE_FOLDERS if (root / name).is_dir()), root)
                found.append(_Layout(root, labels, pictures, split=find_split(root.name) if root != source else None))
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


def _read_splits(layout: _Layout, report: ConversionReport) -> dict[str, str]:
    def is_known(picture_id: str) -> bool:
        named = any(os.path.isfile(layout.labels / f"{picture_id}{suffix}") for suffix in (".xml", ".XML"))  # noqa: PTH113
        return named or find_by_stem(layout.pictures, picture_id) is not None

    return read_split_lists(layout.root, is_known, lambda: (_id_of(layout, path) for path in _xml_files(layout)), report)


def _id_of(layout: _Layout, path: Path) -> str:
    return path.relative_to(layout.labels).with_suffix("").as_posix()


class _Seen:
    """What was met so far: ids of XML files and their pictures, those of unreadable XML, and a 64-bit hash a picture."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.broken: set[str] = set()
        self.pictures: set[int] = set()


def _stream_layout(layout: _Layout, splits: dict[str, str], report: ConversionReport) -> Iterator[SourceItem]:
    """All pictures that have an XML, then those that only lie there or stand in a split list."""
    labels = read_label_names(layout.root, report)
    seen = _Seen()
    for path in _xml_files(layout):
        picture_id = _id_of(layout, path)
        seen.ids.add(picture_id)
        try:
            facts = read_voc_xml(path)
        except UnreadableDataset as error:
            report.drop("file", "annotation file that is no VOC XML", str(error))
            report.drop("image", "its annotation file cannot be read", path.name)
            seen.broken.add(picture_id)
            continue
        picture = _find_picture(layout, picture_id, facts.file_name, report)
        if picture is not None and hash(picture) in seen.pictures:
            report.drop("file", "annotation file of a picture that another one has described", path.name)
            continue
        if picture is not None:
            seen.pictures.add(hash(picture))
            seen.ids.add(picture.relative_to(layout.pictures).with_suffix("").as_posix())  # an XML may be named otherwise
        parsed = ((_parse_object(thing, report, picture_id), thing.findtext(MASK_INDEX) or "") for thing in facts.objects)
        numbered = [(annotation, text) for annotation, text in parsed if annotation is not None]
        objects = [annotation for annotation, _ in numbered]
        numbers = [int(text) if text.isdecimal() and len(text) <= 3 else None for _, text in numbered]
        yield SourceItem(
            file_name=_name_picture(layout, picture_id, picture, facts.file_name),
            path=picture,
            split=_split_of(layout, splits, picture_id),
            annotations=read_segmentation(layout.root, picture_id, objects, numbers, labels, report),
            declared_size=facts.size,
            seen_by=find_viewer_of_file(objects, facts.seen_by),
        )
    if layout.only is None:
        yield from _stream_unlabelled(layout, splits, labels, seen, report)


def _stream_unlabelled(
    layout: _Layout, splits: dict[str, str], labels: LabelMap | None, seen: _Seen, report: ConversionReport
) -> Iterator[SourceItem]:
    """Pictures that no XML has described, then those that only a list names."""
    for path in (path for path in walk_files(layout.pictures) if is_picture(path.name)):
        relative = path.relative_to(layout.pictures)
        picture_id = relative.with_suffix("").as_posix()
        if hash(path) in seen.pictures or picture_id in seen.broken:
            continue
        if any(is_junk(part) or part.startswith("Segmentation") for part in relative.parts):
            continue
        annotations = () if picture_id in seen.ids else read_segmentation(layout.root, picture_id, (), (), labels, report)
        seen.ids.add(picture_id)
        if not annotations:
            report.warn("image", "picture without an annotation file", relative.as_posix())
        split = _split_of(layout, splits, picture_id)
        seen_by: Viewer = "human" if annotations else "nobody"
        yield SourceItem(file_name=relative.as_posix(), path=path, split=split, annotations=annotations, seen_by=seen_by)
    for picture_id in splits:
        if picture_id not in seen.ids:
            yield SourceItem(file_name=f"{picture_id}.jpg", split=splits[picture_id])


def _find_picture(layout: _Layout, picture_id: str, file_name: str | None, report: ConversionReport) -> Path | None:
    """The picture with the XML's own name; else that of `filename`, unless it is another XML's."""
    if file_name is None or "\0" in file_name:
        return find_by_stem(layout.pictures, picture_id)
    is_own = names_the_same(picture_id, file_name)
    # The XML's own folder first: with nested ids `filename` is only the last part.
    beside = str(Path(picture_id).with_name(Path(file_name).name)) if Path(file_name).name else file_name
    found = _find_file(layout, beside) or _find_file(layout, file_name)
    own = find_by_stem(layout.pictures, picture_id)
    example = f"{picture_id}.xml: {file_name}"
    if own is not None:
        if is_own and found is not None and found.parent == own.parent:
            return found  # of a.jpg and a.png, the one that is named
        if not is_own:
            report.warn(
                "image", "<filename> is not the name of the XML; the picture with the name of the XML is taken", example
            )
        return own
    if found is None:
        return None
    found_id = found.relative_to(layout.pictures).with_suffix("").as_posix()
    if found_id != picture_id and os.path.isfile(layout.labels / f"{found_id}.xml"):  # noqa: PTH113
        report.warn("image", "<filename> names the picture of another XML", example)
        return None
    if not is_own:
        report.warn("image", "picture found by <filename>, the XML is named otherwise", example)
    return found


def _find_file(layout: _Layout, name: str) -> Path | None:
    found = resolve_inside(layout.pictures, name)
    return found if found is not None and os.path.isfile(found) else None  # noqa: PTH113 - never raises


def _name_picture(layout: _Layout, picture_id: str, picture: Path | None, file_name: str | None) -> str:
    if picture is not None:
        return picture.relative_to(layout.pictures).as_posix()
    return f"{picture_id}{Path(file_name).suffix if file_name else '.jpg'}"


def _split_of(layout: _Layout, splits: dict[str, str], picture_id: str) -> str | None:
    if splits or layout.labels != layout.root or "/" not in picture_id:
        return splits.get(picture_id, None if splits else layout.split)
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
        value = read_flag(value) if tag in FLAGS else value
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
