"""YOLO as Ultralytics lays it out: `data.yaml`, `images/...`, and beside it `labels/...` with a text file for each picture.

There is one layout and two writers: `yolo` writes boxes only, as detection wants them; `yolo_segment` writes polygons. Both
read all kinds. Ultralytics' classification layout is `class_folders`; the older obj.data layout is `darknet`.

- **Labels** of a picture are where its path says `labels` in place of its last `images`, or else beside it (folders and suffix
  in any case). No file means that nothing is on the picture. The report names a split without any file.
- **Without data.yaml,** names come from a classes.txt (obj.names, _darknet.labels ...) beside or among the labels, as
  LabelImg, Label Studio and Roboflow's Darknet have them. Pictures and labels may then be in one folder, or, laid out in
  either way, in one folder per split.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    find_split,
    has_picture,
    is_picture,
    list_folder,
    list_picture_stems,
    make_unique_names,
    read_picture_size,
    read_split,
    resolve_inside,
    walk_files,
    walk_pictures,
)
from sightline.data.formats.text_files import read_text
from sightline.data.formats.yolo.facts import has_facts
from sightline.data.formats.yolo.labels import (
    IMAGES_FOLDER,
    LABELS_FOLDER,
    NAMES_FILES,
    LabelFinder,
    find_child,
    find_label_path,
    is_label_file,
    iterate_list,
    report_orphan_labels,
)
from sightline.data.formats.yolo.rows import SMALLEST_POLYGON_VALUES, read_label_file
from sightline.data.formats.yolo.writing import format_items, write_labels
from sightline.data.versions import UNSPLIT, DatasetVersion

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
BOX_ROW = re.compile(r"\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}", re.IGNORECASE)
# "unsplit" comes first: an export without a training split names its pictures under both keys.
SPLIT_KEYS = ("unsplit", "train", "val", "valid", "validation", "minival", "test")
SNIFFED_NAMES, SNIFFED_FILES, SNIFFED_ROWS = 2000, 20, 50
OTHER_KEYS = ("path", "names", "nc", "download", "kpt_shape")


class YoloEntry(msgspec.Struct, frozen=True):
    """One place where pictures of a split are: a folder, a list file, or a picture."""

    split: str | None
    path: Path


class YoloLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What `data.yaml` (or, without one, the folders) say."""

    root: Path
    names: dict[int, str]
    entries: list[YoloEntry]
    keypoint_values: int = 0


class YoloFormat:
    """YOLO boxes with `data.yaml`; reads polygons, oriented boxes and key points too, and tells what becomes of them."""

    name = "yolo"
    description = "YOLO (Ultralytics data.yaml): boxes in text files beside the pictures"
    writes_polygons = False

    def detect(self, source: Path) -> float:
        """Sure of a yaml file that names classes and pictures; fairly sure of images/ and labels/ with a list of classes."""
        path = find_yaml(source)
        if path is not None:
            try:
                facts = read_yaml(path)
            except UnreadableDataset:
                return 0.9 if path.name in YAML_NAMES else 0.0  # `read` says what is wrong with it
            return 0.95 if "names" in facts and any(key in facts for key in SPLIT_KEYS) else 0.0
        if has_label_folder(source):
            return 0.85 if find_names_file(source) else 0.6
        return 0.85 if find_mixed_folders(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder or its yaml file. Options: none. Raises: UnreadableDataset."""
        check_options(self.name, options)
        layout = open_layout(source, report)
        order = sorted(layout.names)
        names = make_unique_names([layout.names[index] for index in order], report)
        layout = msgspec.structs.replace(layout, names=dict(zip(order, names, strict=True)))
        return SourceDataset(categories=Categories(names), items=iterate_items(layout, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        check_splits(version)
        report = ConversionReport()
        for _ in format_items(version, None, self.writes_polygons, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write data.yaml, images/SPLIT/ and labels/SPLIT/."""
        check_splits(version)
        for item, path, rows in format_items(version, None, self.writes_polygons, report):
            # Not simply below labels/: readers replace the last `images` of the path, which may be one of the file name's.
            write_labels(target / find_label_path(Path("images") / path, Path()), item, rows)
            version.blobs.copy_to(item.blob, target / "images" / path)
            report.keep("image")
            report.keep("annotation", len(rows))
        write_yaml(version, target)


class YoloSegmentFormat(YoloFormat):
    """The same layout, written with polygons."""

    name = "yolo_segment"
    description = "YOLO (Ultralytics data.yaml): polygons in text files beside the pictures"
    writes_polygons = True

    def detect(self, source: Path) -> float:
        """A little surer than `yolo`, which reads the same, when the first label files hold polygons."""
        score = super().detect(source)
        return min(1.0, score + 0.01) if score and has_polygon_rows(source) else 0.0


def find_yaml(source: Path) -> Path | None:
    """The yaml file that describes the dataset, or None."""
    if source.is_file():
        return source if source.suffix in (".yaml", ".yml") else None
    for name in YAML_NAMES:
        if (source / name).is_file():
            return source / name
    others = sorted([*source.glob("*.yaml"), *source.glob("*.yml")]) if source.is_dir() else []
    return others[0] if len(others) == 1 else None


def read_yaml(path: Path, report: ConversionReport | None = None) -> dict[str, Any]:
    """The yaml's mapping; empty when it is another document. Raises: UnreadableDataset when it is no YAML."""
    try:
        text = read_text(path, report)
        facts = yaml.safe_load(text)
        if isinstance(facts, dict) and "names" in facts:  # as written: `no` is a name, and so is 010
            facts["names"] = yaml.load(text, Loader=yaml.BaseLoader).get("names")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableDataset(f"expected {path.name} to be YAML, cannot parse it ({reason}); mend it") from error
    return facts if isinstance(facts, dict) else {}


def has_polygon_rows(source: Path) -> bool:
    """Whether one of the first label files holds a row of three or more points, and key points are not what they mean."""
    path = find_yaml(source)
    root = source if source.is_dir() else source.parent
    try:
        if path is not None and "kpt_shape" in read_yaml(path):
            return False
    except UnreadableDataset:
        return False
    labels = islice(walk_files(find_child(root, LABELS_FOLDER) or root), SNIFFED_NAMES)
    for file in islice((file for file in labels if is_label_file(file)), SNIFFED_FILES):
        with file.open(errors="replace") as rows:
            counts = [len(row.split()) - 1 for row in islice(rows, SNIFFED_ROWS)]
        if any(count >= SMALLEST_POLYGON_VALUES and count % 2 == 0 for count in counts):
            return True
    return False


def find_names_file(root: Path) -> Path | None:
    """A text file of class names, one a line: in the folder itself, among the labels, or in a folder of a split."""
    inside = list_folder(root)[1] if root.is_dir() else []
    folders = [root, *(root / name for name in inside if name.lower() == LABELS_FOLDER or find_split(name))]
    return next((folder / name for folder in folders for name in NAMES_FILES if (folder / name).is_file()), None)


def find_mixed_folders(source: Path) -> list[YoloEntry]:
    """Folders whose pictures have their labels side by side or in images/ and labels/: the source or splits inside of it.

    None without a file of names.
    """
    if not source.is_dir() or find_names_file(source) is None:
        return []
    if has_label_beside(source):
        return [YoloEntry(None, source)]
    splits = [(split, source / name) for name in list_folder(source)[1] if (split := find_split(name)) is not None]
    if not any(has_label_beside(folder) or has_label_folder(folder) for _, folder in splits):
        return []
    return [YoloEntry(split, find_child(folder, IMAGES_FOLDER) or folder) for split, folder in splits if has_picture(folder)]


def has_label_folder(folder: Path) -> bool:
    """Whether a folder holds images/ and labels/ with texts."""
    labels = find_child(folder, LABELS_FOLDER)
    has_images = find_child(folder, IMAGES_FOLDER) is not None
    return labels is not None and has_images and any(map(is_label_file, islice(walk_files(labels), SNIFFED_NAMES)))


def has_label_beside(folder: Path) -> bool:
    """Whether a text file of the name of a picture beside it holds nothing but rows of YOLO, and a row at least."""
    stems = list_picture_stems(folder)
    labels = (folder / name for name in list_folder(folder)[0] if is_label_file(Path(name)) and Path(name).stem in stems)
    for file in islice(labels, SNIFFED_FILES):
        with file.open(errors="replace") as rows:
            lines = [row.strip() for row in islice(rows, SNIFFED_ROWS) if row.strip()]
        if lines:
            return all(map(BOX_ROW.fullmatch, lines))
    return False


def open_layout(source: Path, report: ConversionReport) -> YoloLayout:
    """Find names and places of pictures. Raises: UnreadableDataset."""
    path = find_yaml(source)
    if path is None:
        return open_plain_layout(source, report)
    facts, root = read_yaml(path, report), path.parent
    if "names" not in facts:
        raise UnreadableDataset(f"expected class names under `names` in {path}, got none; add them")
    names = read_names(facts["names"], path)
    if isinstance(facts.get("nc"), int) and facts["nc"] != len(names):
        report.warn("category", "data.yaml counts other classes in `nc` than it names", f"nc {facts['nc']}, {len(names)} names")
    base = facts["path"] if isinstance(facts.get("path"), str) else "."
    entries = []
    for key in [*SPLIT_KEYS, *find_own_splits(facts, root)]:
        values = facts.get(key)
        for value in values if isinstance(values, list) else [values]:
            if value and isinstance(value, str):
                found = resolve_inside(root, f"{base}/{value}", value)
                if found is None:
                    report.drop("file", "data.yaml names a place that is not there", f"{key}: {value}")
                else:
                    entries.append(YoloEntry(read_split(key), found))
    if not entries:
        raise UnreadableDataset(f"expected {path} to name folders or lists of pictures below {root}, found none of them there")
    shape = facts.get("kpt_shape")
    keypoint_values = 0
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(number, int) for number in shape):
        keypoint_values = shape[0] * shape[1]
    return YoloLayout(root=root, names=names, entries=entries, keypoint_values=keypoint_values)


def find_own_splits(facts: dict[str, Any], root: Path) -> list[str]:
    """Further keys of data.yaml that name a folder of pictures, as our own export writes them for splits of other names."""
    own = [key for key, value in facts.items() if key not in (*SPLIT_KEYS, *OTHER_KEYS) and isinstance(value, str)]
    return [key for key in own if (root / "images" / key).is_dir() and facts[key] == f"images/{key}"]


def read_names(names: object, path: Path) -> dict[int, str]:
    """Names by class number, from a list or a mapping. Raises: UnreadableDataset."""
    pairs = dict(enumerate(names)) if isinstance(names, list) else names
    if isinstance(pairs, dict) and all(isinstance(key, int) or str(key).isdecimal() for key in pairs):
        pairs = {int(key): name for key, name in pairs.items()}
    # Only plain names: text made of nested yaml aliases grows without bound.
    if isinstance(pairs, dict) and all(isinstance(k, int) and isinstance(v, str | int | float) for k, v in pairs.items()):
        return {index: str(name) for index, name in pairs.items()}
    raise UnreadableDataset(
        f"expected `names` in {path} to be a list or a mapping from number to name, got something else; mend it"
    )


def open_plain_layout(source: Path, report: ConversionReport) -> YoloLayout:
    """Without a yaml file: images/ and labels/, split by their folders when all are named like splits, or all in one folder."""
    path = find_names_file(source)
    if path is not None:
        lines = read_text(path, report).splitlines()
        names = {index: line.strip() for index, line in enumerate(lines) if line.strip()}
    else:
        names = collect_class_numbers(find_child(source, LABELS_FOLDER))
    images = find_child(source, IMAGES_FOLDER)
    if images is None and (mixed := find_mixed_folders(source)):
        return YoloLayout(root=source, names=names, entries=mixed)
    if images is None or not names:
        raise UnreadableDataset(
            "expected data.yaml, or images/ and labels/ with rows of labels, or classes.txt beside pictures and their labels, "
            f"got none of these in {source}"
        )
    folders = [folder for folder in sorted(images.iterdir()) if folder.is_dir() and has_picture(folder)]
    flat = any(is_picture(file.name) for file in images.iterdir() if file.is_file())
    if folders and not flat and all(find_split(folder.name) for folder in folders):
        entries = [YoloEntry(find_split(folder.name), folder) for folder in folders]
    else:
        entries = [YoloEntry(None, images)]
    return YoloLayout(root=source, names=names, entries=entries)


def collect_class_numbers(labels: Path | None) -> dict[int, str]:
    """Without names anywhere: a name made of the number for every class that rows use."""
    numbers: set[int] = set()
    for path in walk_files(labels) if labels is not None else ():
        if is_label_file(path):
            for line in path.read_text(errors="replace").splitlines():
                word = line.split(maxsplit=1)[:1]
                numbers.update(int(part) for part in word if part.isdigit())
    return {number: f"class_{number}" for number in sorted(numbers)}


def iterate_items(layout: YoloLayout, report: ConversionReport) -> Iterator[SourceItem]:
    """Every picture of every entry with its labels; then the labels that have no picture, and splits that have no labels."""
    finder = LabelFinder(layout.root)
    has_labels: dict[str, bool] = {}
    earlier: list[Path] = []
    listed: set[int] = set()
    for entry in layout.entries:
        for path in iterate_pictures(entry.path, layout.root, report):
            if hash(path) in listed or any(path.is_relative_to(folder) for folder in earlier):
                if entry.path not in earlier:
                    report.drop("image", "picture is listed twice; the first split keeps it", path.name)
                continue
            if not entry.path.is_dir():
                listed.add(hash(path))
            name = name_picture(path, entry, earlier, layout.root)
            size = read_picture_size(path, report, name)
            if size is not None:
                labels = finder.find(path)
                split = entry.split or UNSPLIT
                has_labels[split] = has_labels.get(split, False) or labels is not None
                annotations, seen_by = read_label_file(
                    labels, layout.names, size=size, keypoint_values=layout.keypoint_values, report=report, where=name
                )
                yield SourceItem(
                    file_name=name,
                    path=path,
                    split=entry.split,
                    annotations=annotations,
                    is_upright=has_facts(labels),
                    seen_by=seen_by,
                )
        if entry.path.is_dir():
            if entry.path not in earlier:
                report_orphan_labels(entry.path, finder, report)
            earlier.append(entry.path)
    for split in (split for split, found in has_labels.items() if not found):
        report.warn("file", "no picture of the split has a file of labels, neither in a folder labels nor beside it", split)


def iterate_pictures(place: Path, root: Path, report: ConversionReport) -> Iterator[Path]:
    """Pictures of a folder, of a list file, or the one picture."""
    if place.is_dir():
        yield from walk_pictures(place)
    elif is_picture(place.name):
        yield place
    else:
        yield from iterate_list(place, (place.parent, root), report)


def name_picture(path: Path, entry: YoloEntry, earlier: list[Path], root: Path) -> str:
    """The path below the entry's folder; below the dataset's where an earlier split has a picture of that name."""
    if entry.path.is_dir():
        name = path.relative_to(entry.path)
        if not any((folder / name).exists() for folder in earlier):
            return name.as_posix()
    parts = path.relative_to(root).parts
    return "/".join(parts[1:] if parts[0] == "images" and len(parts) > 1 else parts)


def check_splits(version: DatasetVersion) -> None:
    """Raises: InvalidInput for a split whose name means something else in data.yaml: its pictures would not be read again."""
    clash = sorted(set(OTHER_KEYS) & version.splits.keys())
    if clash:
        raise InvalidInput(
            f"expected splits with names that are no keys of data.yaml, got {', '.join(clash)}; rename the split"
        )


def write_yaml(version: DatasetVersion, target: Path) -> None:
    """Write data.yaml. Ultralytics wants the keys train and val; without a training split the unsplit pictures stand there."""
    places: dict[str, str | None] = {"train": None, "val": None, **{split: f"images/{split}" for split in version.splits}}
    if places["train"] is None and UNSPLIT in places:
        places["train"] = places[UNSPLIT]
    facts = {**places, "nc": len(version.categories), "names": dict(enumerate(version.categories))}
    (target / "data.yaml").write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), encoding="utf-8")
