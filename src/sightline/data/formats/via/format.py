"""VGG Image Annotator 2: one JSON of many pictures, as a project or as exported annotations. It is read, not written.

**Read:** `rect`, `polygon`, `circle` and `ellipse` (as polygons at most 0.1 px off). `point` and `polyline` outline nothing;
they are dropped and reported. Every JSON at most two folders down counts. A picture is looked for where `filename` says, from
the JSON's folder and the project's `default_filepath`, and in folders such as `images` beside it, but nowhere outside of the
dataset's folder. Of a picture that two JSON files list, the first counts.

**Option of the reader:** `attribute`, the region attribute that names the class. Without it, it is the only attribute that
regions have a value of, or else the only one of these that is called class, label, category, type, name or object. Where no
region says anything, all are of one category, `object`. A region with several classes ticked is an annotation of each. Other
attributes are kept as text, and so are those of whole pictures.

**Categories** are the options that the project lists, in its order, then others, sorted. **Splits** are folders that are named
like one, else the JSON's name tells (`via_train.json`). A picture without regions counts as one that shows nothing, as the
report says; one of whose regions none is kept, as one that nobody looked at; pictures that no JSON lists are left out.

VIA does not record the size of a picture, so labels of pictures that EXIF turns are taken as upright, and the report warns.
A JSON is held in memory, with some 0.3 KB for each picture beside.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.coco.names import WORD_ENDS, find_last_split
from sightline.data.formats.format import NONE_KEPT, ReadOnlyFormat, SourceDataset, SourceItem
from sightline.data.formats.labelme.layout import LabelmePictures, find_place
from sightline.data.formats.listed_pictures import warn_unlisted
from sightline.data.formats.options import check_options
from sightline.data.formats.via.regions import (
    ONLY_CATEGORY,
    Record,
    UnusableRegion,
    choose_attribute,
    decode_region,
    parse_region,
    read_values,
)
from sightline.data.unique_names import UniqueNames

HEAD_BYTES = 65536
MAX_JSON_BYTES = 2 << 30
FILES_LOOKED_AT = 200
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
IMAGES, ATTRIBUTES, SETTINGS = "_via_img_metadata", "_via_attributes", "_via_settings"
RECORD_KEYS = (b'"filename"', b'"regions"', b'"file_attributes"')


class ViaFile(msgspec.Struct, frozen=True):
    """A JSON: its records, the options of each region attribute, and the folder that the project names for pictures."""

    path: Path
    records: dict[str, msgspec.Raw]
    options: dict[str, list[str]]
    default_folder: str


class ViaFormat(ReadOnlyFormat):
    """VIA 2 JSON with its pictures."""

    name = "via"
    description = "VGG Image Annotator 2 JSON: boxes, polygons, circles, ellipses; read only"
    not_written = "VIA's files are read, not written"

    def detect(self, source: Path) -> float:
        """By the keys in the first bytes of JSON files."""
        return 0.0 if not find_files(source) else 0.82 if source.is_dir() else 0.9

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read every JSON. Options: attribute. Raises: UnreadableDataset, InvalidInput."""
        check_options(self.name, options, ("attribute",))
        paths = [source] if source.is_file() else find_files(source)
        if not paths:
            raise UnreadableDataset(
                f"expected a JSON of VGG Image Annotator in {source.name}, found none; choose another format"
            )
        files = [read_via(path) for path in paths]
        names, attribute = find_names(files, options.get("attribute"))
        if attribute is None and names:
            report.warn("category", f"no region says of which class it is; all are of one category, {ONLY_CATEGORY!r}")
        root = source if source.is_dir() else source.parent
        return SourceDataset(categories=Categories(names), items=stream_items(files, attribute, root, report))


def find_files(source: Path) -> list[Path]:
    """The JSON files of VIA at most two folders down."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" and looks_like_via(source) else []
    if not source.is_dir():
        return []
    found = []
    for pattern in ("*.json", "*/*.json", "*/*/*.json"):
        found += [path for path in islice(sorted(source.glob(pattern)), FILES_LOOKED_AT) if looks_like_via(path)]
    return found


def looks_like_via(path: Path) -> bool:
    """By the keys of a project, or of a record."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    is_object = head.lstrip(BEFORE_JSON).startswith(b"{")
    is_record = all(key in head for key in RECORD_KEYS) or b'"shape_attributes"' in head
    return is_object and (b'"_via_' in head or is_record)


def read_via(path: Path) -> ViaFile:
    """Read a JSON. Raises: UnreadableDataset when it is none of VIA's."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"more than {MAX_JSON_BYTES >> 20} MB")
        parts = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        if IMAGES not in parts:
            return ViaFile(path, parts, {}, "")
        records = msgspec.json.decode(parts[IMAGES], type=dict[str, msgspec.Raw])
        attributes, settings = (msgspec.json.decode(parts[key]) if key in parts else {} for key in (ATTRIBUTES, SETTINGS))
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnreadableDataset(
            f"expected {path.name} to be a JSON of VGG Image Annotator, got: {reason}; export it again"
        ) from error
    folder = dig(settings, "core", "default_filepath")
    return ViaFile(path, records, read_options(attributes), folder if isinstance(folder, str) else "")


def dig(value: Any, *keys: str) -> Any:
    """A value inside of objects in objects; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_options(attributes: Any) -> dict[str, list[str]]:
    """The options of each region attribute that a project lists."""
    regions = dig(attributes, "region")
    options = {str(name): dig(about, "options") for name, about in (regions if isinstance(regions, dict) else {}).items()}
    return {name: [str(option) for option in listed] for name, listed in options.items() if isinstance(listed, dict)}


def decode_record(raw: msgspec.Raw) -> Record | None:
    """A picture's record; None when it is none."""
    try:
        return msgspec.json.decode(raw, type=Record)
    except (msgspec.DecodeError, RecursionError):
        return None


def find_names(files: list[ViaFile], wanted: str | None) -> tuple[list[str], str | None]:
    """The categories, and the attribute that names them. Raises: InvalidInput; UnreadableDataset without any record."""
    values: dict[str, dict[str, None]] = {}
    has_record = has_region = False
    for file in files:
        for raw in file.records.values():
            record = decode_record(raw)
            has_record = has_record or record is not None
            for region in map(decode_region, record.raw_regions if record is not None else ()):
                has_region = has_region or region is not None
                for name, value in (region.facts if region is not None else {}).items():
                    if said := read_values(value):
                        values.setdefault(name, {}).update(dict.fromkeys(said))
    if not has_record:
        raise UnreadableDataset(f"expected pictures in {files[0].path.name}, got none as VGG Image Annotator writes them")
    attribute = choose_attribute(list(values), wanted)
    if attribute is None:
        return [ONLY_CATEGORY] if has_region else [], None
    listed = dict.fromkeys(name for file in files for option in file.options.get(attribute, ()) for name in read_values(option))
    return [*listed, *sorted(values[attribute].keys() - listed.keys())], attribute


def stream_items(files: list[ViaFile], attribute: str | None, root: Path, report: ConversionReport) -> Iterator[SourceItem]:
    """Every picture of every JSON; one that two list has the regions of the first."""
    finder, names = LabelmePictures(root, report), UniqueNames()
    seen: set[int] = set()  # 64 bits a picture
    folders: set[Path] = set()
    for file in files:
        for key, raw in file.records.items():
            record = decode_record(raw)
            if record is None:
                report.drop("image", "record that is not as VIA writes it", key[:80])
                continue
            picture = find_picture(finder, file, record.filename)
            if picture is not None and hash(picture) in seen:
                report.warn("image", "picture that is listed twice; the first record of it counts", record.filename[:80])
                if lost := len(record.raw_regions):
                    report.drop("annotation", "of the second record of a picture", record.filename[:80], count=lost)
                continue
            if picture is not None:
                seen.add(hash(picture))
                folders.add(picture.parent)
                inside = PurePosixPath(picture.relative_to(root).as_posix())
            else:
                last = record.filename.replace("\\", "/").rpartition("/")[2]
                inside = PurePosixPath(file.path.relative_to(root).as_posix()).with_name(last if last.strip(".\0") else "image")
            place, split = find_place(inside, ())
            split = split or find_last_split(WORD_ENDS.split(file.path.stem))
            name = names.take(place, split)
            annotations = read_regions(record, attribute, report, name)
            is_lost = bool(record.raw_regions) and not annotations
            yield SourceItem(
                file_name=name,
                path=picture,
                split=split,
                annotations=tuple(annotations),
                warning=NONE_KEPT if is_lost else None,
                seen_by="nobody" if is_lost else None,
                attributes=read_attributes(record),
            )
    warn_unlisted(folders, seen, root, report)


def find_picture(finder: LabelmePictures, file: ViaFile, name: str) -> Path | None:
    """Where a record's picture lies."""
    name = name.replace("\\", "/")
    if not name or "\0" in name:
        return None
    folder = file.default_folder.replace("\\", "/").rstrip("/")
    wanted = [f"{folder}/{name}", name] if folder and "\0" not in folder else [name]
    return next(filter(None, (finder.find_named(file.path.parent, each) for each in wanted)), None)


def read_regions(record: Record, attribute: str | None, report: ConversionReport, where: str) -> list[Annotation]:
    """The annotations of a record; told is what is not kept."""
    annotations: list[Annotation] = []
    for region in map(decode_region, record.raw_regions):
        if region is None:
            report.drop("annotation", "region that is not as VIA writes it", where)
            continue
        try:
            annotations += parse_region(region, attribute, report, where)
        except UnusableRegion as error:
            report.drop("annotation", str(error), where)
    return annotations


def read_attributes(record: Record) -> dict[str, str]:
    """The attributes of a whole picture that say something."""
    given = record.file_attributes if isinstance(record.file_attributes, dict) else {}
    return {name: ", ".join(values) for name, value in given.items() if (values := read_values(value))}
