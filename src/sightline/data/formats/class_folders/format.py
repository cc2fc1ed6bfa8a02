"""One folder for each class, as ImageNet, CIFAR and Ultralytics' classification keep it: `split/class/file` or `class/file`.

`class/split/file` is read too. A class is the folder below the split (or below the dataset); deeper folders only sort its
pictures. A `classes.txt` beside the folders sets the order of the classes; without it they are in the order of their names.

- Folders named like pictures or masks (images, masks, labels, ground_truth ...) are no classes, unless classes.txt names them.
- Splits are recognised by name (train, valid, TESTING), also with further words if one of them is for training (training_set,
  seg_test).
- Folders beside splits and folders of masks inside a class are not read, and the report says so. Of MVTec AD the splits and
  the kinds of defects are read, not the masks.
- The report names classes that are named like cameras, dates or lots.

**Option of the reader:** with `labels=none` no folder is a class. All pictures come without labels, and a folder named like a
split is one.

The format is found without `--format` only if no file among the pictures looks like their annotations.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.class_folders.layout import (
    MANY_FILES,
    ClassPlace,
    find_places,
    find_role,
    find_splits,
    is_sorting,
    list_filled,
    skip_wrappers,
)
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.losses import (
    report_lost_facts,
    report_lost_ignore,
    report_lost_item_facts,
    report_renamed_splits,
)
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import (
    FileNamer,
    find_split,
    has_picture,
    is_picture,
    list_folder,
    report_no_picture,
    walk_files,
)
from sightline.data.formats.text_files import read_text, write_names
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion

ORDER_NAME = "classes.txt"
EXPECTED_FILES = ("readme", "license", "licence", "copying", "classes.txt", "manifest")
LOOKED_AT = 2000
SORTED = "class named like a camera, a date or a lot; if folders only sort the pictures, import with the option labels=none"


class ClassFoldersFormat:
    """Pictures sorted into folders by class; one label a picture."""

    name = "class_folders"
    description = "one folder per class (ImageNet, CIFAR, YOLO classification): split/class/picture or class/picture"

    def detect(self, source: Path) -> float:
        """Fairly sure of two or more folders with pictures; a plain folder of pictures is one without labels."""
        if not source.is_dir():
            return 0.0
        root = skip_wrappers(source)
        try:
            splits = find_splits(root, list_names(root), LOOKED_AT)
        except UnreadableDataset:
            return 0.5  # `read` says what is wrong with it
        if splits:
            return 0.6 if any(list_folder(root / split)[1] for split in splits) else 0.2
        if len(list_filled(root, LOOKED_AT)) > 1:
            return 0.5
        return 0.1 if has_picture(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder. Options: see the module. Raises: InvalidInput; UnreadableDataset for a folder of other kinds."""
        check_options(self.name, options, ("labels",))
        if options.get("labels", "none") != "none":
            raise InvalidInput(
                f"expected labels=none for format {self.name}, got {options['labels']!r}; leave it out for labels"
            )
        if not source.is_dir() or not has_picture(source, MANY_FILES):
            raise UnreadableDataset(f"expected a folder of class folders with pictures, got {source}, which holds no picture")
        if "labels" in options:
            return SourceDataset(categories=Categories(()), items=iterate_unlabelled(source, report))
        root = skip_wrappers(source)
        report_bystanders(source, root, report)
        places = list(find_places(root, list_names(root), report))
        names = sorted({place.category for place in places if place.category is not None})
        if len(names) == 1:
            report.warn("category", "one class only: the one folder of pictures", names[0])
        return SourceDataset(categories=Categories(order_names(root, names, report)), items=iterate_items(places, report))

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose."""
        report = ConversionReport()
        for _ in place_items(version, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write split/class/picture, a folder for every class, and classes.txt."""
        folders = name_folders(version.categories, ConversionReport())
        for split in version.splits:
            for folder in folders.values():
                (target / split / folder).mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        write_names(target / ORDER_NAME, folders.values())
        for item, path in place_items(version, report):
            version.blobs.copy_to(item.blob, target / path)
            report.keep("image")
            report.keep("annotation", min(1, len(item.annotations)))


def report_bystanders(source: Path, root: Path, report: ConversionReport) -> None:
    """Tell of files and folders beside the class folders and beside the lone folders around them: they may hold labels."""
    folder = root
    while True:
        files, _ = list_folder(folder)
        for name in [] if any(map(is_picture, files)) else files:  # beside pictures they are told with these
            if not name.lower().startswith(EXPECTED_FILES):
                report_no_picture(report, name)
        if folder == source:
            return
        for name in list_folder(folder.parent)[1]:
            if name != folder.name:
                report.warn("file", "folder without a picture is ignored", name)
        folder = folder.parent


def list_names(root: Path, report: ConversionReport | None = None) -> list[str]:
    """The names of classes.txt, or none."""
    path = root / ORDER_NAME
    if not path.is_file():
        return []
    return [line for line in read_text(path, report).splitlines() if line]


def order_names(root: Path, names: list[str], report: ConversionReport) -> list[str]:
    """Class names in the order of classes.txt where there is one that knows them all."""
    if not (root / ORDER_NAME).is_file():
        return names
    ordered = list_names(root, report)
    if len(set(ordered)) != len(ordered) or not set(names) <= set(ordered):
        report.warn("category", "classes.txt names other classes than the folders and is ignored", ORDER_NAME)
        return names
    return ordered


def iterate_unlabelled(source: Path, report: ConversionReport) -> Iterator[SourceItem]:
    """Every picture below a folder, without a label; a folder right inside that is named like a split is one."""
    for path in walk_files(source):
        name = path.relative_to(source)
        if not is_picture(path.name):
            report_no_picture(report, name.as_posix())
            continue
        split = find_split(name.parts[0]) if len(name.parts) > 1 else None
        yield SourceItem(file_name=name.as_posix(), path=path, split=split, seen_by="nobody")


def iterate_items(places: list[ClassPlace], report: ConversionReport) -> Iterator[SourceItem]:
    """The pictures of every place, with the class as label."""
    bases: list[Path] = []
    counts: Counter[str] = Counter()
    has_classes = any(place.category is not None for place in places)  # else it is a plain folder of pictures
    for place in places:
        if place.base not in bases:
            bases.append(place.base)
        earlier = bases[: bases.index(place.base)]
        loose = place.category is None
        for path in (place.folder / name for name in list_folder(place.folder)[0]) if loose else walk_files(place.folder):
            if place.masks and path.relative_to(place.folder).parts[0] in place.masks:
                continue
            if not is_picture(path.name):
                if not path.name.lower().startswith(EXPECTED_FILES):
                    report_no_picture(report, path.relative_to(place.base).as_posix())
                continue
            name = path.relative_to(place.base)
            if any((base / name).exists() for base in earlier):
                name = Path(place.base.name) / name
            annotations = () if place.category is None else (Annotation(category=place.category),)
            counts.update(annotation.category for annotation in annotations)
            warning = "picture outside of a class folder has no label" if loose and has_classes else None
            yield SourceItem(
                file_name=name.as_posix(),
                path=path,
                split=place.split,
                annotations=annotations,
                warning=warning,
                seen_by="nobody" if loose else None,
            )
    if is_sorting(list(counts)):
        for category, count in counts.items():
            report.warn("category", SORTED, f"{category}: {count:,}")


def name_folders(categories: Categories, report: ConversionReport) -> dict[str, str]:
    """A folder's name for every category; the report is told where a category's name is none."""
    folders: dict[str, str] = {}
    for category in categories:
        folder = "".join("_" if letter in '/\\:*?"<>|\0\n\r' else letter for letter in category).strip()
        folder = folder.lstrip(".").rstrip(".") or "class"
        while folder in folders.values():
            folder += "_"
        if folder != category:
            report.change("category", "name changed to one a folder can have", f"{category} -> {folder}")
        folders[category] = folder
    return folders


def rename_mask_folder(name: str, report: ConversionReport) -> str:
    """A picture's path inside its class, its first folder renamed where readers would take it for one of masks."""
    first, slash, rest = name.partition("/")
    if not slash or find_role(first) != "masks":
        return name
    renamed = f"{first}_/{rest}"
    report.change("file", "folder named like one of masks, which are not read, renamed", f"{name} -> {renamed}")
    return renamed


def place_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, Path]]:
    """Items that have a class, with the path their picture gets; what is lost of any item is told."""
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    folders = name_folders(version.categories, report)
    namer = FileNamer(version, report, by_stem=False)
    for item in version.items():
        labels = [annotation for annotation in item.annotations if annotation.geometry == "image"]
        for annotation in item.annotations:
            if annotation.geometry != "image":
                report.drop(
                    "annotation", f"{annotation.geometry} lost: a folder holds labels of whole pictures", item.file_name
                )
        for annotation in labels[1:]:
            report.drop(
                "annotation", "a picture in a folder has one label, the first", f"{item.file_name}: {annotation.category}"
            )
        if not labels:
            report.drop("image", "picture without a label has no folder", item.file_name)
            continue
        report_lost_facts(report, item, labels[0])
        report_lost_item_facts(report, item)
        folder = folders[labels[0].category]
        name = rename_mask_folder(item.file_name.removeprefix(f"{folder}/"), report)
        yield item, Path(namer.place(f"{item.split or UNSPLIT}/{folder}", item, name))
