"""The older YOLO layout of darknet and Yolo_mark: `obj.data`, `obj.names`, list files, and a text file for each picture.

`obj.data` holds lines `key = value`: `train` and `valid` name list files, `names` names the file of class names. Its paths are
relative to the folder in which darknet was started, so each is looked for below the dataset's folder, leaving out its parts
one by one from the left. The labels of a picture are beside it, or below `labels` in place of the last `images` or
`JPEGImages` of its path.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    is_picture,
    list_picture_stems,
    make_unique_names,
    read_picture_size,
    read_split,
    resolve_inside,
    walk_folders,
)
from sightline.data.formats.text_files import read_text, write_names
from sightline.data.formats.yolo.facts import has_facts
from sightline.data.formats.yolo.labels import find_label_path, iterate_list
from sightline.data.formats.yolo.rows import read_label_file
from sightline.data.formats.yolo.writing import format_items, write_labels
from sightline.data.versions import UNSPLIT, DatasetVersion

FACTS_NAME = "obj.data"
NAMES_NAME = "obj.names"
PICTURES_FOLDER = "obj"
# Folders of pictures whose labels darknet seeks in a folder `labels` beside them (its `replace_image_to_label`).
LABELLED_ELSEWHERE = ("images", "JPEGImages")
# Keys of obj.data that are no lists of pictures.
OTHER_KEYS = frozenset({"classes", "names", "backup", "eval", "results", "labels", "top"})


class DarknetFormat:
    """Boxes in text files beside the pictures, named by list files."""

    name = "darknet"
    description = "YOLO as darknet and Yolo_mark keep it: obj.data, obj.names, a text file beside each picture"

    def detect(self, source: Path) -> float:
        """Sure of an obj.data that names classes."""
        path = find_facts(source)
        return 0.95 if path is not None and "names" in read_facts(path) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder with obj.data, or that file. Options: none. Raises: UnreadableDataset."""
        check_options(self.name, options)
        path = find_facts(source)
        if path is None:
            raise UnreadableDataset(f"expected a folder with obj.data, got {source}; use format yolo for one with data.yaml")
        facts = read_facts(path)
        names_path = resolve_inside(path.parent, facts.get("names", NAMES_NAME))
        if names_path is None:
            raise UnreadableDataset(f"expected the class names of {path} in {facts.get('names')!r}, found no such file")
        lines = read_text(names_path, report).splitlines()
        while lines and not lines[-1].strip():
            lines.pop()
        names = make_unique_names((line.strip() for line in lines), report)
        if facts.get("classes", str(len(names))) != str(len(names)):
            report.warn("category", "obj.data counts other classes than it names", f"{facts['classes']}, {len(names)} names")
        return SourceDataset(categories=Categories(names), items=iterate_items(path.parent, facts, names, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        report = ConversionReport()
        check_splits(version)
        for _ in format_items(version, PICTURES_FOLDER, False, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write obj.data, obj.names, a list file for each split, and pictures with their labels below obj/."""
        check_splits(version)
        target.mkdir(parents=True, exist_ok=True)
        with ExitStack() as open_files:
            lists = {
                split: open_files.enter_context((target / f"{split}.txt").open("w", encoding="utf-8"))
                for split in version.splits
            }
            for item, path, rows in format_items(version, PICTURES_FOLDER, False, report):
                version.blobs.copy_to(item.blob, target / path)
                write_labels((target / path).with_suffix(".txt"), item, rows)
                lists[item.split or UNSPLIT].write(f"{path}\n")
                report.keep("image")
                report.keep("annotation", len(rows))
        write_facts(version, target)


def find_facts(source: Path) -> Path | None:
    """obj.data (or another single .data file) of a folder, of its data/ folder, or the file itself."""
    if source.is_file():
        return source if source.suffix == ".data" else None
    for folder in (source, source / "data"):
        if folder.is_dir():
            paths = sorted(folder.glob("*.data"))
            if (folder / FACTS_NAME).is_file():
                return folder / FACTS_NAME
            if len(paths) == 1:
                return paths[0]
    return None


def read_facts(path: Path) -> dict[str, str]:
    """The lines `key = value`."""
    pairs = (line.partition("=") for line in read_text(path).splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and not key.strip().startswith("#")}


def iterate_items(root: Path, facts: dict[str, str], names: list[str], report: ConversionReport) -> Iterator[SourceItem]:
    """Every listed picture with its labels; then label files whose picture is not there.

    Remembers a 64-bit hash a picture, to find those that are listed twice.
    """
    numbered = dict(enumerate(names))
    listed: set[int] = set()
    has_labels = False
    read_lists: list[Path] = []
    for key, value in facts.items():
        if key in OTHER_KEYS:
            continue
        place = resolve_inside(root, value)
        if place is None or not place.is_file():
            report.drop("file", "obj.data names a list that is not there", f"{key} = {value}")
            continue
        if place in read_lists:
            report.warn("file", "one list serves two splits; the first keeps its pictures", f"{key} = {value}")
            continue
        read_lists.append(place)
        split = read_split(key)
        for path in iterate_list(place, (root,), report):
            if hash(path) in listed:
                report.drop("image", "picture is listed twice; the first split keeps it", path.name)
                continue
            listed.add(hash(path))
            name = name_picture(path, root)
            size = read_picture_size(path, report, name)
            if size is not None:
                labels = find_labels(path, root)
                has_labels = has_labels or labels.is_file()
                annotations, seen_by = read_label_file(
                    labels, numbered, size=size, keypoint_values=0, report=report, where=name
                )
                yield SourceItem(
                    file_name=name,
                    path=path,
                    split=split,
                    annotations=annotations,
                    is_upright=has_facts(labels),
                    seen_by=seen_by,
                )
    if listed and not has_labels:
        report.warn("file", "no listed picture has a file of labels, neither beside it nor in a folder labels")
    report_unlisted(root, listed, report)


def find_labels(path: Path, root: Path) -> Path:
    """Where the labels of a picture are: beside it, else below `labels` instead of its last `images` or `JPEGImages`."""
    beside = path.with_suffix(".txt")
    return beside if beside.is_file() else find_label_path(path, root, LABELLED_ELSEWHERE)


def report_unlisted(root: Path, listed: set[int], report: ConversionReport) -> None:
    """Tell of pictures no list names, and of label files without a picture."""
    for inside, files in walk_folders(root):
        pictures = list_labelled_stems(inside, root)
        for path in (inside / name for name in files):
            if is_picture(path.name):
                if hash(path) not in listed:
                    report.drop("image", "picture that no list names", path.relative_to(root).as_posix())
            elif path.suffix == ".txt" and inside != root and path.stem not in pictures:
                report.drop("file", "labels without a picture", path.relative_to(root).as_posix())


def list_labelled_stems(inside: Path, root: Path) -> set[str]:
    """Stems of the pictures whose labels may lie in the folder `inside`."""
    stems = list_picture_stems(inside)
    parts = inside.relative_to(root).parts
    if "labels" in parts:
        place = len(parts) - 1 - parts[::-1].index("labels")
        for name in LABELLED_ELSEWHERE:
            stems |= list_picture_stems(root.joinpath(*parts[:place], name, *parts[place + 1 :]))
    return stems


def name_picture(path: Path, root: Path) -> str:
    """The path below the dataset's folder, without the folder our own export puts all pictures in."""
    name = PurePosixPath(path.relative_to(root).as_posix())
    return str(name.relative_to(PICTURES_FOLDER)) if name.parts[0] == PICTURES_FOLDER and len(name.parts) > 1 else str(name)


def check_splits(version: DatasetVersion) -> None:
    """Raises: InvalidInput for a split whose name cannot be a key of obj.data: its pictures would not be read again."""
    clash = [name for name in version.splits if name in OTHER_KEYS or "=" in name or name != name.strip() or name[0] == "#"]
    if clash:
        raise InvalidInput(
            f"expected splits with names that can be keys of {FACTS_NAME}, got {', '.join(map(repr, clash))}; rename the split"
        )


def write_facts(version: DatasetVersion, target: Path) -> None:
    """Write obj.names and obj.data."""
    keys = {split: {"val": "valid"}.get(split, split) for split in version.splits}
    lines = [f"classes = {len(version.categories)}"]
    lines += [f"{key} = {split}.txt" for split, key in keys.items()]
    (target / FACTS_NAME).write_text("\n".join([*lines, f"names = {NAMES_NAME}", "backup = backup/", ""]), encoding="utf-8")
    write_names(target / NAMES_NAME, version.categories)
