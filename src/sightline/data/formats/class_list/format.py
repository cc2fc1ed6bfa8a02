"""Labels of whole pictures in text lists: CSV, TSV or `file label` rows; one list, or one for each split.

**Options of the reader:**

- `lists`: a mapping from split to list file (`{"train": "a.csv", "test": "b.csv"}`); paths are below the source or anywhere.
- `classes`: a file or a list of class names, in the order of the class numbers.
- `images`: the folder of pictures.

**Where pictures are found.** If no name in the list has a folder, the pictures may be anywhere in the dataset. Folders in a
name count, except those that all names begin with; the report says so if these do not exist. A name without a suffix is the
picture's stem.

**Which class a number means.** A class number gets its name from the first of these that has it: the option `classes`; a file
of names beside the lists (classes.txt, synsets.txt, labels.txt); the folders of the pictures, if every number belongs to
exactly one folder; the number itself. A column of numbers beside class names (class_id, index ...) sets the order of the
classes and separates equal names, unless it numbers the rows.

If the source has no list, but each of its split folders has a `_classes.csv` (Roboflow: one column of 0 and 1 for each class),
those are the lists. Texts are UTF-8, UTF-16 with its mark, or else Windows-1252; the report says so in the last case.
"""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import NotFound, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.class_list.pictures import IMAGES_FOLDER, PictureFinder
from sightline.data.formats.class_list.rows import ListColumns, ListRow, find_columns, join_labels, read_rows
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.losses import (
    report_lost_facts,
    report_lost_ignore,
    report_lost_item_facts,
    report_lost_viewer,
    report_renamed_splits,
)
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    FileNamer,
    find_split,
    list_folder,
    make_unique_names,
    rank_split,
    read_split,
    walk_pictures,
)
from sightline.data.formats.text_files import read_text, warn_encoding, write_names
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion

LIST_NAME = "labels.csv"
CLASSES_NAME = "classes.txt"
CLASSES_NAMES = (CLASSES_NAME, "synsets.txt", "categories.txt", "class_names.txt", "labels.txt")
SPLIT_LIST_NAME = "_classes.csv"  # in train/, valid/ and test/, as Roboflow exports several labels a picture
LIST_SUFFIXES = (".csv", ".tsv", ".txt", ".lst")


Columns = TypeVar("Columns")


class TextList(msgspec.Struct, Generic[Columns], frozen=True):
    """A list file, the split all its rows are of (None: each row's own, or none), and what its columns mean."""

    path: Path
    split: str | None
    columns: Columns


PictureList = TextList[ListColumns]


class LabelTable(msgspec.Struct, frozen=True):
    """Category names in order, and which of them a label of the list stands for."""

    names: list[str]
    by_label: dict[str, str]


class ClassListFormat:
    """Pictures and labels named in text lists; several labels a picture are kept."""

    name = "class_list"
    description = "CSV or text lists of pictures and their labels, one list or one per split"

    def detect(self, source: Path) -> float:
        """Fairly sure of a folder or file with rows of a picture's name and a label."""
        try:
            return 0.7 if find_lists(source, {}) else 0.0
        except (UnreadableDataset, NotFound):
            return 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder or one list. Options: see the module. Raises: UnreadableDataset, NotFound, InvalidInput."""
        check_options(self.name, options, ("lists", "classes", "images"))
        lists = find_lists(source, options)
        lists = check_numbers(lists if options.get("lists") else choose_lists(lists, LIST_NAME), report)
        for entry in lists:
            warn_encoding(entry.path, entry.columns.encoding, report)
        root = source if source.is_dir() else source.parent
        images = find_path(root, options["images"]) if "images" in options else None
        finders = [PictureFinder(root, entry.path.parent, images, partial(list_files, lists)) for entry in lists]
        table = make_label_table(lists, finders, find_class_names(root, options, report), report)
        items = iterate_items(root, lists, finders, table, report)
        return SourceDataset(categories=Categories(table.names), items=items)

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        report = ConversionReport()
        for _ in place_items(version, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write labels.csv (path, split, label; several labels parted by `;`), classes.txt and images/."""
        target.mkdir(parents=True, exist_ok=True)
        write_names(target / CLASSES_NAME, version.categories)
        with (target / LIST_NAME).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["path", "split", "label"])
            for item, path, labels in place_items(version, report):
                version.blobs.copy_to(item.blob, target / path)
                rows.writerow([path, item.split or "", join_labels(labels)])
                report.keep("image")
                report.keep("annotation", len(labels))


def list_files(lists: list[PictureList]) -> Iterator[str]:
    """All names of pictures in the lists."""
    return (row.file for entry in lists for row in read_rows(entry.path, entry.columns))


def find_lists(source: Path, options: dict[str, Any]) -> list[PictureList]:
    """The lists the option names, else all those lying in the source folder. Raises: UnreadableDataset, NotFound."""
    root = source if source.is_dir() else source.parent
    if options.get("lists"):
        return open_given_lists(root, options["lists"], find_columns)
    if source.is_file():
        if source.suffix.lower() not in LIST_SUFFIXES:
            raise UnreadableDataset(f"expected a list ({', '.join(LIST_SUFFIXES)}), got {source.name}")
        return [PictureList(source, None, find_columns(source))]
    lists = []
    problem = "none"
    for name in list_folder(source)[0] if source.is_dir() else []:
        if name.lower().endswith(LIST_SUFFIXES) and name not in CLASSES_NAMES:
            try:
                lists.append(PictureList(source / name, find_list_split(name), find_columns(source / name)))
            except UnreadableDataset as error:
                problem = str(error)
    lists = lists or find_split_lists(source)
    if not lists:
        raise UnreadableDataset(f"expected a list of pictures and labels in {source}, found: {problem}; name one in `lists`")
    return lists


def open_given_lists(root: Path, lists: dict[str, Any], find: Callable[[Path], Columns]) -> list[TextList[Columns]]:
    """The lists of the option, a file by its split. Raises: UnreadableDataset, NotFound."""
    given = [(find_path(root, path), None if split == UNSPLIT else split) for split, path in lists.items()]
    return [TextList(path, split, find(path)) for path, split in given]


def choose_lists(lists: list[TextList[Columns]], own_name: str) -> list[TextList[Columns]]:
    """One list, or one a split, training first; of several the one that an export of ours writes. Raises: UnreadableDataset."""
    splits = [entry.split for entry in lists]
    if len(lists) > 1 and (None in splits or len(set(splits)) != len(splits)):
        named = [entry for entry in lists if entry.path.name == own_name]
        if len(named) != 1:
            names = ", ".join(entry.path.name for entry in lists)
            raise UnreadableDataset(
                f"expected one list, or one a split, got {names}; choose with `lists`, a file for each split"
            )
        return named
    return sorted(lists, key=lambda entry: rank_split(entry.split))


def find_split_lists(source: Path) -> list[PictureList]:
    """Roboflow's lists in the folders of the splits. Raises: UnreadableDataset for one that is none."""
    folders = list_folder(source)[1] if source.is_dir() else []
    found = [(source / name / SPLIT_LIST_NAME, find_split(name)) for name in folders]
    return [PictureList(path, split, find_columns(path)) for path, split in found if split is not None and path.is_file()]


def check_numbers(lists: list[PictureList], report: ConversionReport) -> list[PictureList]:
    """The lists without their columns of numbers where those are not of the classes: of rows, or of one for several names.

    Names may share a spelling (two ImageNet classes are called crane), but not most of them.
    """
    if all(entry.columns.number is None for entry in lists):
        return lists
    labels: dict[int, tuple[str, ...]] = {}
    is_function = True
    for row in (row for entry in lists for row in read_rows(entry.path, entry.columns)):
        if row.number is not None and row.labels:
            is_function = is_function and len(row.labels) == 1 and labels.setdefault(row.number, row.labels) == row.labels
    names = len(set(labels.values()))
    is_index = any(entry.columns.is_index for entry in lists)
    if is_function and (len(labels) == names if is_index else len(labels) < 2 * names or not labels):
        return lists
    report.warn("category", "column of numbers is not of the classes and is ignored", lists[0].path.name)
    return [replace(entry, columns=replace(entry.columns, number=None, extra=None)) for entry in lists]


def find_list_split(name: str) -> str | None:
    """The split a list's name tells: "val-files.csv" is "val"."""
    return next((split for word in re.split(r"[^a-z]+", name.lower()) if (split := find_split(word))), None)


def find_path(root: Path, name: object) -> Path:
    """A file or folder a person named: below the source, or anywhere. Raises: NotFound."""
    for path in (root / str(name), Path(str(name))):
        if path.exists():
            return path
    raise NotFound(f"expected {name} below {root} or in the working folder, got nothing there; check the path")


def find_class_names(root: Path, options: dict[str, Any], report: ConversionReport) -> list[str]:
    """Class names from the option or a file beside the lists; none when neither is there."""
    given = options.get("classes")
    if isinstance(given, list | tuple):
        return [str(name) for name in given]
    path = find_path(root, given) if given else next((root / n for n in CLASSES_NAMES if (root / n).is_file()), None)
    if path is None:
        return []
    lines = read_text(path, report).splitlines()
    return [line.strip() for line in lines if line.strip()]


def make_label_table(
    lists: list[PictureList], finders: list[PictureFinder], names: list[str], report: ConversionReport
) -> LabelTable:
    """Read all lists once for their labels and name the categories; keeps one entry a label."""
    facts: dict[str, tuple[int | None, str]] = {}  # key -> number, extra
    shown: dict[str, str] = {}  # key -> name
    folders: dict[str, set[str]] = {}
    hot = [name for entry in lists for name in entry.columns.hot.values()]
    for entry, finder in zip(lists, finders, strict=True):
        for row in read_rows(entry.path, entry.columns):
            for label in row.labels:
                key = make_key(row, label)
                facts.setdefault(key, (row.number, row.extra or ""))
                shown.setdefault(key, label)
                if label.isdigit() and not names and len(folders.setdefault(label, set())) < 2:
                    path = finder.find(row.file)
                    if path is not None:
                        folders[label].add(path.parent.name)
    if all(label.isdigit() for label in shown.values()) and not hot and not set(shown.values()) <= set(names):
        return name_numbers(sorted(shown, key=int), names, folders, report)
    if any(number is not None for number, _ in facts.values()):
        keys = sorted(facts, key=lambda key: facts[key][0] or 0)
        last = max(number for number, _ in facts.values() if number is not None)
        if last >= len(keys):
            report.warn("category", "class numbers have gaps: only classes of the list are kept", f"{len(keys)} of 0..{last}")
    else:
        keys = [*dict.fromkeys(name for name in [*names, *hot])]
        keys += sorted(set(shown) - set(keys))
        shown = {**{key: key for key in keys}, **shown}
    unique = make_unique_names([shown[key] for key in keys], report, [facts.get(key, (None, ""))[1] for key in keys])
    return LabelTable(unique, dict(zip(keys, unique, strict=True)))


def make_key(row: ListRow, label: str) -> str:
    """What tells two labels apart: the number where rows have one (two ImageNet classes are called crane), else the label."""
    return label if row.number is None else str(row.number)


def name_numbers(labels: list[str], names: list[str], folders: dict[str, set[str]], report: ConversionReport) -> LabelTable:
    """Names for class numbers: from the names in order (counted from 1 when no 0 is used and the last fits), or the folders."""
    if names:
        first = 1 if labels and int(labels[0]) >= 1 and int(labels[-1]) == len(names) else 0
        unique = make_unique_names(names, report)
        by_label = {str(index): name for index, name in enumerate(unique, first)}
        padded = {label: by_label[str(int(label))] for label in labels if str(int(label)) in by_label}
        return LabelTable(unique, padded)
    single = [next(iter(folders[label])) for label in labels if len(folders.get(label, ())) == 1]
    if len(single) == len(labels) == len(set(single)) and len(labels) > 1:
        report.warn("category", "class numbers named after the folders of their pictures", ", ".join(single[:10]))
        return LabelTable(single, dict(zip(labels, single, strict=True)))
    report.warn("category", "class numbers without names; give them with the option classes", ", ".join(labels[:5]))
    return LabelTable(labels, {label: label for label in labels})


def iterate_items(
    root: Path, lists: list[PictureList], finders: list[PictureFinder], table: LabelTable, report: ConversionReport
) -> Iterator[SourceItem]:
    """Every picture the lists name, once; then what the lists do not name. Remembers a 64-bit hash a picture."""
    seen: set[int] = set()
    for entry, finder in zip(lists, finders, strict=True):
        further, merged = find_further_rows(entry), set()
        for row in read_rows(entry.path, entry.columns):
            key = (row.file, row.split)
            path = finder.find_told(row.file, report) if key not in merged else None
            if path is None:
                continue
            if hash(path) in seen:
                report.drop("image", "picture is listed twice; the first row keeps it", row.file)
                continue
            seen.add(hash(path))
            merged.update({key} & further.keys())
            split = entry.split or (read_split(row.split) if row.split else None)
            found = (
                annotation for part in (row, *further.get(key, ())) for annotation in find_annotations(part, table, report)
            )
            annotations = tuple({annotation.category: annotation for annotation in found}.values())
            yield SourceItem(file_name=name_picture(path, root), path=path, split=split, annotations=annotations)
    for path in walk_pictures(root):
        if hash(path) not in seen:
            report.warn("image", "picture that no list names is left out", path.relative_to(root).as_posix())


def find_further_rows(entry: PictureList) -> dict[tuple[str, str | None], list[ListRow]]:
    """The second and later rows of each picture and split: a list with a row a label has them. Of first ones a hash is kept."""
    seen: set[int] = set()
    further: dict[tuple[str, str | None], list[ListRow]] = {}
    for row in read_rows(entry.path, entry.columns):
        key = (row.file, row.split)
        if hash(key) in seen:
            further.setdefault(key, []).append(row)
        seen.add(hash(key))
    return further


def find_annotations(row: ListRow, table: LabelTable, report: ConversionReport) -> Iterator[Annotation]:
    """The labels of a row as annotations of the whole picture."""
    for label in row.labels:
        category = table.by_label.get(make_key(row, label))
        if category is None:
            report.drop("annotation", "unknown category: its class number has no name", f"{row.file}: {label}")
        else:
            yield Annotation(category=category)


def name_picture(path: Path, root: Path) -> str:
    """The path below the dataset's folder, without a leading images/; the bare name for a picture that lies elsewhere."""
    if not path.is_relative_to(root):
        return path.name
    parts = path.relative_to(root).parts
    return "/".join(parts[1:] if parts[0] == IMAGES_FOLDER and len(parts) > 1 else parts)


def place_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, str, list[str]]]:
    """Every item with its picture's path and its labels; what is lost of it is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    namer = FileNamer(version, report, by_stem=False)
    for item in version.items():
        labels = []
        for annotation in item.annotations:
            if annotation.geometry == "image":
                report_lost_facts(report, item, annotation)
                labels.append(annotation.category)
            else:
                report.drop("annotation", f"{annotation.geometry} lost: a list holds labels of whole pictures", item.file_name)
        report_lost_item_facts(report, item)
        report_lost_viewer(report, item)
        yield item, str(namer.place(IMAGES_FOLDER, item)), labels
