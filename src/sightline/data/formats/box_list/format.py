"""Boxes in CSV or TSV lists, one row per box, as Roboflow, TensorFlow, RetinaNet and Open Images write them.

There is one list, or one for each split. The lists are in the folder itself, in one directly inside it (annotations/, train/),
or in one inside a split's folder.

**Columns** are recognised by their names: the picture (filename, image, path ...), the class, and two corners (xmin, ymin,
xmax, ymax; x1, y1, x2, y2; left, top, right, bottom). Width and height are those of the picture. A list without a class names
one thing. A row without a box is a picture with nothing on it. Columns of confidence, occluded, truncated and difficult are
read, but not written.

**Coordinates** are pixels. They are shares of the picture's size in Open Images, and where none is above 1.5; the report then
says so.

**Options of the reader:** `lists`, `classes` and `images`, as for `class_list`. Open Images' class names come from the table
of descriptions. Its masks, labels of whole pictures and relations are not read, and the report says so.

**Written:** `annotations.csv`, `classes.txt` and `images/`.
"""

import csv
from collections.abc import Iterator
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.annotations import Annotation, BoxXyxy
from sightline.core.categories import Categories
from sightline.core.errors import NotFound, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.box_list.rows import BoxColumns, BoxRow, find_box_columns, read_box_rows
from sightline.data.formats.class_list.format import (
    CLASSES_NAME,
    LabelTable,
    TextList,
    choose_lists,
    find_class_names,
    find_list_split,
    find_path,
    name_numbers,
    name_picture,
    open_given_lists,
)
from sightline.data.formats.class_list.pictures import IMAGES_FOLDER, PictureFinder
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.losses import (
    report_lost_facts,
    report_lost_ignore,
    report_lost_item_facts,
    report_lost_viewer,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    FileNamer,
    find_split,
    has_picture,
    list_folder,
    make_unique_names,
    read_picture_size,
    read_split,
    walk_files,
    walk_pictures,
)
from sightline.data.formats.text_files import open_text, warn_encoding, write_names
from sightline.data.formats.yolo.writing import find_box
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion

LIST_NAME = "annotations.csv"
LIST_SUFFIXES = (".csv", ".tsv")
LIST_FOLDERS = frozenset({"annotations", "annotation", "labels", "csv", "data"})
MOST_LISTS = 100
MOST_SHARE = 1.5  # some reach over the picture's edge; a list of pixels has larger ones
DESCRIPTIONS = ("class-descriptions", "classes.csv")  # Open Images' own, FiftyOne's
MACHINE_ID = "/m/"
HEADER = ("path", "split", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


BoxList = TextList[BoxColumns]


class ListFacts(msgspec.Struct):
    """What one pass over a list tells: its labels, whether coordinates are shares, rows apart from their picture's others."""

    labels: set[str]
    is_share: bool
    apart: dict[str, list[BoxRow]]


class BoxListFormat:
    """Pictures and boxes named in text lists, a row a box."""

    name = "box_list"
    description = (
        "CSV lists of boxes, one row per box (Roboflow and TensorFlow, RetinaNet, Open Images), one list or one per split"
    )

    def detect(self, source: Path) -> float:
        """Sure of a folder or file with rows of a picture's name and two corners."""
        try:
            return 0.78 if find_box_lists(source, {}, ConversionReport()) else 0.0
        except (UnreadableDataset, NotFound):
            return 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder or one list. Options: see the module. Raises: UnreadableDataset, NotFound, InvalidInput."""
        check_options(self.name, options, ("lists", "classes", "images"))
        lists = find_box_lists(source, options, report)
        lists = lists if options.get("lists") else choose_lists(lists, LIST_NAME)
        root = source if source.is_dir() else source.parent
        images = find_path(root, options["images"]) if "images" in options else None
        facts = [survey_list(entry, report) for entry in lists]
        table = name_labels(set().union(*(each.labels for each in facts)), root, options, report)
        names = partial(list_files, lists)
        finders = [PictureFinder(find_top(root, entry.path), entry.path.parent, images, names) for entry in lists]
        for entry in lists:
            warn_encoding(entry.path, entry.columns.encoding, report)
            if entry.columns.label is None:
                report.warn("category", "list without a column of classes: all its boxes are of one", entry.path.name)
        items = iterate_items(root, lists, facts, finders, table, report)
        return SourceDataset(categories=Categories(table.names), items=items)

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        report = ConversionReport()
        for _ in place_items(version, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write annotations.csv, classes.txt and images/."""
        target.mkdir(parents=True, exist_ok=True)
        write_names(target / CLASSES_NAME, version.categories)
        with (target / LIST_NAME).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(HEADER)
            for item, path, boxes in place_items(version, report):
                version.blobs.copy_to(item.blob, target / path)
                facts = (path, item.split or "", item.width, item.height)
                rows.writerows((*facts, category, *map(format_number, box)) for category, box in boxes)
                if not boxes:
                    rows.writerow((*facts, "", "", "", "", ""))
                report.keep("image")
                report.keep("annotation", len(boxes))


def find_box_lists(source: Path, options: dict[str, Any], report: ConversionReport) -> list[BoxList]:
    """The lists the option names, else all those of the first place that has any. Raises: UnreadableDataset, NotFound."""
    root = source if source.is_dir() else source.parent
    if options.get("lists"):
        return open_given_lists(root, options["lists"], find_box_columns)
    if source.is_file():
        if source.suffix.lower() not in LIST_SUFFIXES:
            raise UnreadableDataset(f"expected a list of boxes ({', '.join(LIST_SUFFIXES)}), got {source.name}")
        return [BoxList(source, None, find_box_columns(source))]
    problem = "none"
    for paths in list_tables(source):
        lists, others = [], []
        for path in paths:
            try:
                lists.append(BoxList(path, find_place_split(path.relative_to(source)), find_box_columns(path)))
            except UnreadableDataset as error:
                problem = str(error)
                others.append(path)
        if lists:
            for path in others:
                report.warn("file", "table that is no list of boxes is not read", path.relative_to(source).as_posix())
            return lists
    raise UnreadableDataset(f"expected a list of boxes in {source}, found: {problem}; name one in `lists`")


def list_tables(source: Path) -> Iterator[list[Path]]:
    """The tables of each place that lists may lie in: the folder itself, those right inside, those inside of a split's."""
    inner = list_folder(source)[1] if source.is_dir() else []
    splits = [name for name in inner if find_split(name)]
    places = [
        [source],
        [source / name for name in inner if name in splits or name.lower() in LIST_FOLDERS],
        [source / split / name for split in splits for name in list_folder(source / split)[1] if name.lower() in LIST_FOLDERS],
    ]
    for folders in places if source.is_dir() else ():
        paths = (folder / name for folder in folders for name in list_folder(folder)[0] if name.lower().endswith(LIST_SUFFIXES))
        yield list(islice(paths, MOST_LISTS))


def find_place_split(path: Path) -> str | None:
    """The split that a list's folder tells, else its name: "valid/_annotations.csv" and "val_boxes.csv" are "val"."""
    return next(filter(None, map(find_split, path.parts[:-1])), None) or find_list_split(path.name)


def find_top(root: Path, path: Path) -> Path:
    """Where the pictures of a list are sought: in the folder of a split that it lies in, if there are any, else anywhere."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    is_inside = len(parts) > 1 and find_split(parts[0]) is not None and has_picture(root / parts[0])
    return root / parts[0] if is_inside else root


def list_files(lists: list[BoxList]) -> Iterator[str]:
    """All names of pictures in the lists."""
    return (row.file for entry in lists for row in read_box_rows(entry.path, entry.columns))


def survey_list(entry: BoxList, report: ConversionReport) -> ListFacts:
    """Read a list once. Holds a hash a picture, and the rows that do not lie together with their picture's first ones."""
    facts = ListFacts(labels=set(), is_share=entry.columns.is_share, apart={})
    seen: set[int] = set()
    highest, is_whole = 0.0, True
    for file, rows in groupby(read_box_rows(entry.path, entry.columns), lambda row: row.file):
        is_again = hash(file) in seen
        seen.add(hash(file))
        for row in rows:
            if is_again:
                facts.apart.setdefault(file, []).append(row)
            if row.box is not None:
                facts.labels.add(row.label)
                highest = max(highest, *row.box)
                is_whole = is_whole and all(value.is_integer() for value in row.box)
    if not facts.is_share and 0 < highest < MOST_SHARE and not (is_whole and entry.columns.size):
        facts.is_share = True
        report.warn("annotation", "no coordinate is above 1.5: taken as shares of the picture's size", entry.path.name)
    return facts


def name_labels(labels: set[str], root: Path, options: dict[str, Any], report: ConversionReport) -> LabelTable:
    """The categories, and that of each label: class numbers and Open Images' ids by the names given for them."""
    names = find_class_names(root, options, report)
    if labels and all(label.isdigit() for label in labels) and not labels <= set(names):
        return name_numbers(sorted(labels, key=int), names, {}, report)
    described = read_descriptions(root) if any(label.startswith(MACHINE_ID) for label in labels) else {}
    keys = [*dict.fromkeys(names), *sorted(labels - set(names) - {""}, key=lambda label: described.get(label, label))]
    unique = make_unique_names([described.get(key, key) for key in keys], report, keys)
    return LabelTable(unique, dict(zip(keys, unique, strict=True)))


def read_descriptions(root: Path) -> dict[str, str]:
    """Open Images' class names by their ids, from the first table of them; empty without one."""
    tables = (path for path in walk_files(root) if path.suffix == ".csv" and any(word in path.name for word in DESCRIPTIONS))
    for path in tables:
        with open_text(path) as file:
            rows = [row for row in csv.reader(file) if len(row) == 2 and row[0].startswith(MACHINE_ID)]
        if rows:
            return dict(rows)
    return {}


def iterate_items(
    root: Path,
    lists: list[BoxList],
    facts: list[ListFacts],
    finders: list[PictureFinder],
    table: LabelTable,
    report: ConversionReport,
) -> Iterator[SourceItem]:
    """Every picture the lists name, once; then what the lists do not name. Remembers a 64-bit hash a picture."""
    seen: set[int] = set()
    for entry, known, finder in zip(lists, facts, finders, strict=True):
        done: set[str] = set()
        for file, group in groupby(read_box_rows(entry.path, entry.columns), lambda row: row.file):
            if file in done:
                continue
            rows = [*group, *known.apart.get(file, ())]
            done.update({file} & known.apart.keys())
            path = finder.find_told(file, report)
            if path is not None and hash(path) in seen:
                report.drop("image", "picture is in two lists; the first keeps it", file)
            if path is None or hash(path) in seen:
                report.drop("annotation", "its picture was dropped", file, count=sum(row.box is not None for row in rows))
            else:
                seen.add(hash(path))
                item = make_item(name_picture(path, root), path, entry.split, rows, known.is_share, table, report)
                if item is not None:
                    yield item
    for path in walk_pictures(root):
        if hash(path) not in seen:
            report.warn("image", "picture that no list names is left out", path.relative_to(root).as_posix())


def make_item(
    file_name: str,
    path: Path,
    split: str | None,
    rows: list[BoxRow],
    is_share: bool,
    table: LabelTable,
    report: ConversionReport,
) -> SourceItem | None:
    """The picture with the boxes of its rows; None, told, when its size is needed and cannot be read."""
    size = read_picture_size(path, report, file_name) if is_share else (1, 1)
    if size is None:
        return None
    annotations = []
    for row in rows:
        if row.box is None:
            continue
        if row.label not in table.by_label:
            report.drop("annotation", "unknown category: its class number has no name", f"{file_name}: {row.label}")
            continue
        annotations.append(
            Annotation(
                category=table.by_label[row.label],
                box_xyxy=tuple(value * scale for value, scale in zip(row.box, (*size, *size), strict=True)),  # type: ignore[arg-type]
                confidence=row.confidence,
                origin="human" if row.confidence is None else "model",
                is_crowd=row.is_crowd,
                attributes=row.attributes,
            )
        )
    own = rows[0].split
    return SourceItem(
        file_name=file_name,
        path=path,
        split=split or (read_split(own) if own else None),
        annotations=tuple(annotations),
        declared_size=rows[0].size,
    )


def format_number(value: float) -> str:
    """Pixels with four decimals, needless zeros left out."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def place_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, str, list[tuple[str, BoxXyxy]]]]:
    """Every item with its picture's path and its boxes by category; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    namer = FileNamer(version, report, by_stem=False)
    for item in version.items():
        report_lost_item_facts(report, item)
        report_lost_viewer(report, item)
        warn_turned(report, item)
        boxes = []
        for annotation in item.annotations:
            box = find_box(annotation, report, item.file_name)
            if box is not None:
                report_lost_facts(report, item, annotation)
                boxes.append((annotation.category, box))
        yield item, str(namer.place(IMAGES_FOLDER, item)), boxes
