"""Semantic masks beside pictures: index or colour PNGs in a folder of their own, CamVid's layout, or binary 0/255 masks.

**Folders** are paired by name: images/ and masks/ (labels/, SegmentationClass/ ...), also inside splits; train/ and
trainannot/, train_masks/ or train_labels/. Roboflow keeps `1.jpg` and `1_mask.png` in one folder; its `_classes.csv` tells.
Other folders of pictures are not read, and the report says so.

**Classes** come from the first of these that has them:

1. the option `classes`: a list of names, or a file;
2. a table beside the masks (classes.csv, dataset_meta.json, label_colors.txt, labelmap.txt, classes.txt, codes.txt);
3. CamVid's own names, for its layout;
4. the masks themselves: 0 is background; 255, if it is the only other value, is `foreground`; other values are `class_N`, and
   255 among them is void.

A list that names no background or void may leave out the background. If the masks then hold the value after the last class,
classes count from 1 and 0 is background. A single class may be 255 instead. The report says so; other values are refused.

**Soft edges and JPEGs.** Masks of one class with soft edges (0 and 255, with few pixels of many values between) are cut at
128, and so are JPEGs of 0 and 255; the report says so. JPEG masks of several classes are refused: their values are not those
that were drawn.

**Written:** `images/SPLIT/`, `masks/SPLIT/` (PNG with a palette; 16-bit gray above 255 classes) and `classes.csv`.
"""

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from msgspec.structs import replace
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset, UnreadableImage
from sightline.core.manifests import UnlabelledPixels
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.label_masks.classes import (
    IGNORE_VALUE,
    TABLE_NAME,
    MaskClass,
    MaskTable,
    find_free_name,
    write_table,
)
from sightline.data.formats.label_masks.pairs import MaskFolders, MaskLayout, find_layout, iterate_pairs
from sightline.data.formats.label_masks.tables import find_table
from sightline.data.formats.losses import (
    read_split_folders,
    report_lost_facts,
    report_lost_item_facts,
    report_lost_viewer,
    report_no_pixels,
    report_other_box,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import FileNamer, has_picture, list_folder
from sightline.data.formats.text_files import open_text
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.files.reading import read_image, read_label_map
from sightline.imaging.masks import (
    annotations_to_label_map,
    count_mask_pixels,
    draw_annotation,
    encode_mask,
    label_map_to_annotations,
)

MAX_PALETTE_VALUE = 255
MAX_GRAY_VALUE = 65535


class LabelMasksFormat:
    """A mask a picture, each pixel of one class or none."""

    name = "label_masks"
    description = "index or colour masks beside the pictures (images/ and masks/, CamVid's train/ and trainannot/)"

    def detect(self, source: Path) -> float:
        """Fairly sure of a folder of pictures with a folder of masks beside it."""
        layout = find_layout(source) if source.is_dir() else None
        return 0.0 if layout is None else 0.8 if layout.is_camvid else 0.75

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a folder. Options: `classes`. Raises: UnreadableDataset, NotFound, InvalidInput."""
        check_options(self.name, options, ("classes",))
        layout = find_layout(source) if source.is_dir() else None
        if layout is None:
            raise UnreadableDataset(f"expected images/ and masks/, or train/ and trainannot/, got {source} without them")
        warn_left_out(layout, report)
        table = find_table(layout, source, options.get("classes"), report)
        items = iterate_items(layout, table, report)
        return SourceDataset(categories=Categories(table.names), items=items, unlabelled_pixels=table.unlabelled_pixels)

    def check(self, version: DatasetVersion) -> ConversionReport:
        """What `write` would lose: draws every mask, decodes no picture."""
        report = ConversionReport()
        for _ in draw_items(version, report):
            pass
        return report

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write images/, masks/ and classes.csv."""
        classes = make_written_classes(version)
        shift = 1 if version.manifest.unlabelled_pixels == "background" else 0
        for item, path, label_map in draw_items(version, report):
            values = np.where(label_map == find_unlabelled(version), 0, label_map + 1) if shift else label_map
            version.blobs.copy_to(item.blob, target / "images" / path)
            write_label_map((target / "masks" / path).with_suffix(".png"), values, classes)
            report.keep("image")
            report.keep("annotation", sum(annotation.geometry in ("mask", "polygons") for annotation in item.annotations))
        target.mkdir(parents=True, exist_ok=True)
        write_table(target / TABLE_NAME, classes)


def warn_left_out(layout: MaskLayout, report: ConversionReport) -> None:
    """Tell of folders beside those that are read which hold pictures, too."""
    used = [folder for folders in layout.folders for folder in (folders.images, folders.masks)]
    for name in list_folder(layout.root)[1]:
        folder = layout.root / name
        if not any(other.is_relative_to(folder) for other in used) and has_picture(folder):
            report.warn("file", "folder of pictures without masks beside it is not read", name)


def iterate_items(layout: MaskLayout, table: MaskTable, report: ConversionReport) -> Iterator[SourceItem]:
    """Every picture with one mask annotation for each class in its mask."""
    earlier: list[Path] = []
    unpaired, has_pair = "", False
    for folders in layout.folders:
        listed = read_split_list(layout.root, folders, report)
        for path, mask_path in iterate_pairs(folders, report):
            name = path.relative_to(folders.images)
            has_pair, unpaired = has_pair or mask_path is not None, unpaired or name.as_posix()
            if listed is not None and path.stem not in listed:
                report.warn("image", "picture that the list of its split does not name", name.as_posix())
            elif listed is not None:
                listed.discard(path.stem)
            annotations, size = read_mask(mask_path, table, report) if mask_path is not None else ([], None)
            if any((folder / name).exists() for folder in earlier):
                name = Path(folders.images.name) / name
            yield SourceItem(
                file_name=name.as_posix(),
                path=path,
                split=folders.split,
                annotations=tuple(annotations),
                declared_size=size,
                warning="picture without a mask has no labels" if mask_path is None else None,
                seen_by="human" if size is not None else "nobody",
            )
        for stem in sorted(listed or ()):
            report.drop("image", "picture is missing", f"{folders.images.name}/{stem}")
        earlier.append(folders.images)
    if unpaired and not has_pair:
        raise UnreadableDataset(
            f"expected masks named like their pictures in {layout.folders[0].masks.name}, got none for any, as for {unpaired}; "
            "rename them, or name another format"
        )


def read_split_list(root: Path, folders: MaskFolders, report: ConversionReport) -> set[str] | None:
    """Stems of the pictures that `train.txt` beside `train/` names (with any path before them), or None without a list."""
    path = root / f"{folders.images.name}.txt"
    if not path.is_file() or folders.images.parent != root:
        return None
    with open_text(path, report) as lines:
        return {Path(line.split()[0]).stem for line in lines if line.strip()}


def read_mask(path: Path, table: MaskTable, report: ConversionReport) -> tuple[list[Annotation], tuple[int, int] | None]:
    """Annotations of a mask and its `(width, height)`; none when it cannot be read."""
    try:
        try:
            label_map, strange = table.convert_values(read_label_map(path))
        except UnreadableImage:
            label_map, strange = convert_colour_mask(path, table)
    except SightlineError as error:
        report.drop("annotation", "mask cannot be read", f"{path.name}: {error}")
        return [], None
    for value in strange:
        report.drop(
            "annotation", "mask has a value or colour that no class has; its pixels are unlabelled", f"{path.name}: {value}"
        )
    annotations = label_map_to_annotations(label_map, Categories(table.names))
    return annotations, (label_map.shape[1], label_map.shape[0])


def convert_colour_mask(path: Path, table: MaskTable) -> tuple[np.ndarray, list[Any]]:
    """A colour picture as category indices: by the table's colours, or as gray values stored in three equal channels."""
    image = read_image(path)
    if not table.has_colours and (image == image[..., :1]).all():
        return table.convert_values(image[..., 0])
    return table.convert_colours(image)


def find_unlabelled(version: DatasetVersion) -> int:
    """The value of pixels nothing covers: 255, or 65535 when there are more categories than 255."""
    shift = 1 if version.manifest.unlabelled_pixels == "background" else 0
    if len(version.categories) + shift > MAX_GRAY_VALUE:
        raise InvalidInput(
            f"expected at most {MAX_GRAY_VALUE - 1} categories for masks, got {len(version.categories)}; merge some"
        )
    return IGNORE_VALUE if len(version.categories) + shift <= IGNORE_VALUE else MAX_GRAY_VALUE


def make_written_classes(version: DatasetVersion) -> list[MaskClass]:
    """The table of our own export: 0 background and categories from 1, or categories from 0 and the last value void."""
    names, unlabelled = version.categories, version.manifest.unlabelled_pixels
    shift = 1 if unlabelled == "background" else 0
    classes = [
        MaskClass(name=name, value=index + shift, colour=names.colour(index), kind="category")
        for index, name in enumerate(names)
    ]
    nothing = make_unlabelled_class(unlabelled, find_unlabelled(version), names.names)
    return [nothing, *classes] if shift else [*classes, nothing]


def make_unlabelled_class(unlabelled: UnlabelledPixels, value: int, taken: Collection[str]) -> MaskClass:
    """The row of the table for pixels nothing covers, under a name that no category has (`taken`)."""
    if unlabelled == "background":
        return MaskClass(name=find_free_name("background", taken), value=0, colour=(0, 0, 0), kind="background")
    return MaskClass(name=find_free_name("void", taken), value=value, colour=(255, 255, 255), kind="void")


def draw_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, PurePosixPath, np.ndarray]]:
    """Every item with its picture's path and its label map; what is lost of it is told."""
    report_renamed_splits(report, version, read_split_folders(version))
    namer = FileNamer(version, report)
    for item in version.items():
        path = namer.place(item.split or UNSPLIT, item)
        yield item, path, draw_label_map(item, version.categories, find_unlabelled(version), report)


def draw_label_map(item: Item, categories: Categories, unlabelled: int, report: ConversionReport) -> np.ndarray:
    """The item's label map `(H, W)`; what a map cannot hold of its annotations is told."""
    report_lost_item_facts(report, item)
    report_lost_viewer(report, item)
    warn_turned(report, item)
    drawn: list[Annotation] = []
    for annotation in item.annotations:
        if report_no_pixels(report, annotation, item.file_name):
            continue
        if annotation.mask is not None:
            report_other_box(report, annotation, item.file_name)
        else:
            report.change("annotation", "polygon drawn as pixels", item.file_name)
            mask = encode_mask(draw_annotation(annotation, item.height, item.width))
            annotation = replace(annotation, mask=mask)
        if any(annotation.category == other.category for other in drawn):
            report.change("annotation", "objects of one category become one region", f"{item.file_name}: {annotation.category}")
        report_lost_facts(report, item, annotation)
        drawn.append(annotation)
    label_map = annotations_to_label_map(drawn, categories, item.height, item.width, unlabelled)
    total = sum(count_mask_pixels(annotation.mask) for annotation in drawn if annotation.mask is not None)
    if total > int((label_map != unlabelled).sum()):
        report.change("annotation", "annotations overlap; a pixel keeps the last", item.file_name)
    return label_map


def write_label_map(path: Path, values: np.ndarray, classes: list[MaskClass]) -> None:
    """Write an index PNG `(H, W)`: 8 bit with the classes' colours as palette, or 16-bit gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if max(entry.value for entry in classes) > MAX_PALETTE_VALUE:
        Image.fromarray(values.astype(np.uint16)).save(path)
        return
    palette = np.zeros((MAX_PALETTE_VALUE + 1, 3), np.uint8)
    for entry in classes:
        palette[entry.value] = entry.colour or (0, 0, 0)
    picture = Image.fromarray(values.astype(np.uint8))
    picture.putpalette(palette.tobytes())
    picture.save(path)
