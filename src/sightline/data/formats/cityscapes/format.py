"""Cityscapes: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` and, below `gtFine`, polygons and label pictures of the same name.

**Options of the reader:**

- `annotations`: "semantic" makes one mask per class, from labelIds, instanceIds or labelTrainIds, else painted from the
  polygons in order, later ones on top. "instance" makes every polygon an object.
- `classes`: "evaluated" reads the 19 classes that count and ignores the rest; "all" reads every class but the void ones.

Without options it reads semantic masks of the evaluated classes. A folder that Sightline wrote (it has a `classes.csv`) comes
back as it was.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cityscapes.labels import BY_NAME, make_cityscapes_classes, split_group
from sightline.data.formats.cityscapes.writing import DEFAULT_CITY, PICTURES, check_version, write_version
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.label_masks.classes import TABLE_NAME, MaskClass, MaskTable, read_table
from sightline.data.formats.label_masks.pairs import split_order
from sightline.data.formats.picture_files import (
    PICTURE_SUFFIXES,
    has_picture,
    list_folder,
    read_split,
    walk_files,
    walk_pictures,
)
from sightline.data.versions import DatasetVersion
from sightline.imaging.files.reading import find_pixel_limit, read_label_map
from sightline.imaging.masks import (
    compute_ring_area,
    draw_polygons,
    encode_mask,
    find_polygons_box,
    label_map_to_annotations,
)

LABELS = ("gtFine", "gtCoarse")
INSTANCE_FACTOR = 1000


class CityscapesObject(msgspec.Struct):
    """One object of a polygons file; parts with the same id belong together in files we wrote."""

    label: str
    polygon: list[tuple[float, float]]
    id: int | None = None
    deleted: int = 0


class CityscapesPolygons(msgspec.Struct):
    """A `*_polygons.json` file."""

    imgHeight: int  # noqa: N815 - the file's own word
    imgWidth: int  # noqa: N815
    objects: list[CityscapesObject]
    geometry: str = ""


class CityscapesLayout(msgspec.Struct, frozen=True):
    """Folders of pictures and labels, the class table, and what to read."""

    pictures: Path
    labels: Path
    classes: list[MaskClass]
    annotations: str
    is_ours: bool


class CityscapesFormat:
    """Road scenes with polygons in drawing order and label pictures."""

    name = "cityscapes"
    description = "Cityscapes: leftImg8bit/ and gtFine/ with polygons and labelIds pictures"

    def detect(self, source: Path) -> float:
        """Sure of the two folders' names."""
        return 0.9 if source.is_dir() and find_folders(source) is not None else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder. Options: see the module. Raises: UnreadableDataset, InvalidInput."""
        layout = open_layout(source, options)
        table = MaskTable(layout.classes)
        items = iterate_items(layout, table, report)
        return SourceDataset(categories=Categories(table.names), items=items, unlabelled_pixels=table.unlabelled_pixels)

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose: draws every mask, decodes no picture."""
        return check_version(version)

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write leftImg8bit/, gtFine/ (polygons and labelIds) and classes.csv; pictures keep their file type."""
        write_version(version, target, report)


def find_folders(source: Path) -> tuple[Path, Path] | None:
    """The folders of pictures and of labels at most one level down, or None."""
    places = [source, *(source / name for name in list_folder(source)[1])]
    pictures = next((place / PICTURES for place in places if (place / PICTURES).is_dir()), None)
    labels = next((place / name for name in LABELS for place in places if (place / name).is_dir()), None)
    return (pictures, labels) if pictures is not None and labels is not None and has_picture(pictures) else None


def open_layout(source: Path, options: dict[str, Any]) -> CityscapesLayout:
    """Folders, table and options together. Raises: UnreadableDataset, InvalidInput."""
    allowed = {"annotations": ("auto", "semantic", "instance"), "classes": ("auto", "evaluated", "all")}
    for key, value in options.items():
        if key not in allowed or value not in allowed[key]:
            hint = " and ".join(f"{name} ({', '.join(values)})" for name, values in allowed.items())
            raise InvalidInput(f"expected the options {hint}, got {key}={value}; correct it")
    found = find_folders(source) if source.is_dir() else None
    if found is None:
        raise UnreadableDataset(f"expected folders {PICTURES} and {' or '.join(LABELS)} with pictures, got {source}")
    choice = options.get("classes", "auto")
    path = found[0].parent / TABLE_NAME
    is_ours = choice == "auto" and path.is_file()
    classes = read_table(path) if is_ours else make_cityscapes_classes(evaluated_only=choice != "all")
    return CityscapesLayout(*found, classes, options.get("annotations", "auto"), is_ours)


def iterate_items(layout: CityscapesLayout, table: MaskTable, report: ConversionReport) -> Iterator[SourceItem]:
    """Every picture with its labels, a split's folder at a time."""
    for folder in sorted(list_folder(layout.pictures)[1], key=split_order):
        for path in walk_pictures(layout.pictures / folder):
            inside = path.relative_to(layout.pictures / folder)
            base = path.stem.removesuffix(f"_{PICTURES}")
            stem = layout.labels / folder / inside.parent / f"{base}_{layout.labels.name}"
            name = inside.with_name(base + path.suffix).as_posix().removeprefix(f"{DEFAULT_CITY}/")
            annotations, size = read_labels(stem, layout, table, name, report)
            yield SourceItem(
                file_name=name,
                path=path,
                split=read_split(folder),
                annotations=tuple(annotations),
                declared_size=size,
                seen_by="human" if size is not None else "nobody",
            )
    report_orphans(layout, report)


def read_labels(
    stem: Path, layout: CityscapesLayout, table: MaskTable, name: str, report: ConversionReport
) -> tuple[list[Annotation], tuple[int, int] | None]:
    """Annotations of a picture and the `(width, height)` its labels state; none without readable labels."""
    try:
        polygons = None
        path = stem.with_name(f"{stem.name}_polygons.json")
        wants_polygons = layout.annotations == "instance" or (layout.is_ours and layout.annotations == "auto")
        if wants_polygons and path.is_file():
            polygons = read_polygons(path)
            if layout.annotations == "instance" or polygons.geometry == "polygons":
                return make_objects(polygons, layout, name, report), (polygons.imgWidth, polygons.imgHeight)
        if layout.annotations == "instance" and suffixed(stem, "instanceIds").is_file():
            return split_instances(read_label_map(suffixed(stem, "instanceIds")), layout)
        values = read_ids(stem)
        if values is None and path.is_file():
            values = paint_polygons(polygons or read_polygons(path), layout, name, report)
    except SightlineError as error:
        report.drop("annotation", "labels cannot be read", f"{name}: {error}")
        return [], None
    if values is None:
        report.warn("image", "picture without labels", name)
        return [], None
    label_map, strange = table.convert_values(values)
    for value in strange:
        report.drop("annotation", "label id that no class has; its pixels are unlabelled", f"{name}: {value}")
    report_left_out(values, layout, name, report)
    return label_map_to_annotations(label_map, Categories(table.names)), (values.shape[1], values.shape[0])


def suffixed(stem: Path, kind: str) -> Path:
    """Path of a label picture."""
    return stem.with_name(f"{stem.name}_{kind}.png")


def read_ids(stem: Path) -> np.ndarray | None:
    """Label ids `(H, W)` from the first label picture that is there, or None."""
    if suffixed(stem, "labelIds").is_file():
        return read_label_map(suffixed(stem, "labelIds"))
    if suffixed(stem, "instanceIds").is_file():
        values = read_label_map(suffixed(stem, "instanceIds"))
        return np.where(values >= INSTANCE_FACTOR, values // INSTANCE_FACTOR, values)
    if suffixed(stem, "labelTrainIds").is_file():
        values = read_label_map(suffixed(stem, "labelTrainIds"))
        ids = np.zeros(int(max(values.max(initial=0), 255)) + 1, np.uint8)
        for label in BY_NAME.values():
            if not label.is_void and label.train_id < len(BY_NAME):
                ids[label.train_id] = label.id
        painted: np.ndarray = ids[values]
        return painted
    return None


def read_polygons(path: Path) -> CityscapesPolygons:
    """A polygons file. Raises: UnreadableDataset."""
    try:
        polygons = msgspec.json.decode(path.read_bytes(), type=CityscapesPolygons)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableDataset(f"expected imgWidth, imgHeight and objects in {path.name}: {error}") from error
    width, height, most = polygons.imgWidth, polygons.imgHeight, find_pixel_limit()
    if width < 1 or height < 1 or width * height > most:  # painted at that size: a few bytes could ask for all memory
        raise UnreadableDataset(
            f"expected a size of 1 to {most:,} pixels in {path.name}, got {width} x {height}; mend it, or raise "
            "SIGHTLINE_MAX_IMAGE_PIXELS"
        )
    return polygons


def make_objects(
    polygons: CityscapesPolygons, layout: CityscapesLayout, name: str, report: ConversionReport
) -> list[Annotation]:
    """Every object as polygons, in drawing order; void ones are no objects."""
    kinds = {entry.name: entry.kind for entry in layout.classes}
    objects: list[Annotation] = []
    ids: list[int | None] = []
    for thing in polygons.objects:
        if thing.deleted:
            continue
        label, is_crowd = split_group(thing.label, set(kinds))
        kind = kinds.get(label)
        if kind != "category":
            report_object_left_out(label, kind, name, report)
            continue
        ring = tuple(float(value) for point in thing.polygon for value in point)
        if ids and thing.id is not None and thing.id == ids[-1] and objects[-1].category == label:
            rings = (*(objects[-1].polygons or ()), ring)
            objects[-1] = Annotation(category=label, polygons=rings, box_xyxy=bound(rings), is_crowd=is_crowd)
        else:
            objects.append(Annotation(category=label, polygons=(ring,), box_xyxy=bound((ring,)), is_crowd=is_crowd))
            ids.append(thing.id)
    return objects


def bound(rings: tuple[tuple[float, ...], ...]) -> tuple[float, float, float, float] | None:
    """Bounds of the rings, None when they have no area."""
    return find_polygons_box(rings) if any(compute_ring_area(ring) > 0 for ring in rings) else None


def report_object_left_out(label: str, kind: str | None, name: str, report: ConversionReport) -> None:
    """Tell why a polygon gives no object."""
    if kind is None and label not in BY_NAME:
        report.drop("annotation", "unknown category", f"{name}: {label}")
    elif label in BY_NAME and BY_NAME[label].is_void:
        report.warn("annotation", "void region is no object", f"{name}: {label}")
    else:
        report.drop("annotation", "class is not among the 19 evaluated; the option classes=all keeps it", f"{name}: {label}")


def paint_polygons(polygons: CityscapesPolygons, layout: CityscapesLayout, name: str, report: ConversionReport) -> np.ndarray:
    """Label ids `(H, W)` uint16 painted in order, later on top, as cityscapesScripts makes labelIds; 0 where nothing lies."""
    values = np.zeros((polygons.imgHeight, polygons.imgWidth), np.uint16)
    ids = {entry.name: entry.value for entry in layout.classes if entry.value >= 0}
    for thing in polygons.objects:
        label, _ = split_group(thing.label, set(ids) | BY_NAME.keys())
        ring = tuple(float(value) for point in thing.polygon for value in point)
        if label not in ids and label not in BY_NAME:
            report.drop("annotation", "unknown category", f"{name}: {label}")
        elif label in ids and not thing.deleted and len(ring) < 6:
            report.drop("annotation", "polygon without area", f"{name}: {label}")
        elif label in ids and not thing.deleted:
            values[draw_polygons([ring], polygons.imgHeight, polygons.imgWidth)] = ids[label]
    return values


def split_instances(values: np.ndarray, layout: CityscapesLayout) -> tuple[list[Annotation], tuple[int, int]]:
    """Objects of an instanceIds picture: id * 1000 + number where they are told apart, the bare id for a crowd or a region."""
    names = {entry.value: entry.name for entry in layout.classes if entry.kind == "category"}
    objects = []
    for value in (int(value) for value in np.unique(values)):
        name = names.get(value // INSTANCE_FACTOR if value >= INSTANCE_FACTOR else value)
        if name is not None:
            is_crowd = value < INSTANCE_FACTOR and name in BY_NAME and BY_NAME[name].has_instances
            objects.append(Annotation(category=name, mask=encode_mask(values == value), is_crowd=is_crowd))
    return objects, (values.shape[1], values.shape[0])


def report_left_out(values: np.ndarray, layout: CityscapesLayout, name: str, report: ConversionReport) -> None:
    """Tell of classes that are in the picture, are not void, and are ignored all the same."""
    ignored = {entry.value: entry.name for entry in layout.classes if entry.kind == "void" and entry.name in BY_NAME}
    for value in np.unique(values):
        label = ignored.get(int(value))
        if label is not None and not BY_NAME[label].is_void:
            report.drop(
                "annotation", "class is not among the 19 evaluated; the option classes=all keeps it", f"{name}: {label}"
            )


def report_orphans(layout: CityscapesLayout, report: ConversionReport) -> None:
    """Tell of labels without a picture."""
    for path in walk_files(layout.labels):
        if not path.name.endswith("_polygons.json"):
            continue
        inside = PurePosixPath(path.relative_to(layout.labels).as_posix())
        base = inside.name.removesuffix(f"_{layout.labels.name}_polygons.json")
        folder = layout.pictures / inside.parent
        if not any((folder / f"{base}_{PICTURES}{suffix}").is_file() for suffix in PICTURE_SUFFIXES):
            report.drop("image", "picture is missing, only its labels are there", str(inside))
