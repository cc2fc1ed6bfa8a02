"""Write the Cityscapes layout: the picture as it is, its polygons in drawing order, and a labelIds picture painted from them.

A picture whose annotations are all masks keeps them exactly in labelIds; its polygons file is then a tracing for other tools.
With a polygon among them the polygons file is what counts, and says so by its key `geometry`.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from msgspec.structs import replace
from PIL import Image

from sightline.core.annotations import Annotation, Ring
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cityscapes.labels import BY_NAME, GROUP_SUFFIX, LABELS, make_written_ids
from sightline.data.formats.label_masks.classes import TABLE_NAME, MaskClass, find_free_name, write_table
from sightline.data.formats.label_masks.format import draw_label_map
from sightline.data.formats.losses import (
    report_lost_facts,
    report_lost_item_facts,
    report_no_pixels,
    report_other_box,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.picture_files import FileNamer
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.masks import annotations_to_label_map, decode_mask, has_holes, trace_mask

PICTURES = "leftImg8bit"
POLYGONS = "gtFine"
DEFAULT_CITY = "default"
UNLABELLED = 65535
MAX_ID = 255


def check_version(version: DatasetVersion) -> ConversionReport:
    """What `write_version` would lose."""
    report = ConversionReport()
    find_ids(version)
    for _ in convert_items(version, report):
        pass
    return report


def write_version(version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    """Write every item, then classes.csv."""
    ids = find_ids(version)
    # Category index -> id; the last entry stands for pixels nothing covers.
    values = np.array([*(ids[name] for name in version.categories), 0], np.uint8)
    for item, place, (objects, label_map, geometry) in convert_items(version, report):
        picture = place.with_name(f"{place.stem}_{PICTURES}{place.suffix}")
        version.blobs.copy_to(item.blob, target / PICTURES / picture)
        stem = target / POLYGONS / place.with_name(f"{place.stem}_{POLYGONS}")
        stem.parent.mkdir(parents=True, exist_ok=True)
        facts = {"imgHeight": item.height, "imgWidth": item.width, "geometry": geometry, "objects": objects}
        stem.with_name(f"{stem.name}_polygons.json").write_bytes(msgspec.json.encode(facts))
        indices = np.where(label_map == UNLABELLED, len(values) - 1, label_map)
        Image.fromarray(values[indices]).save(stem.with_name(f"{stem.name}_labelIds.png"))
        report.keep("image")
        report.keep("annotation", sum(annotation.geometry in ("mask", "polygons") for annotation in item.annotations))
    target.mkdir(parents=True, exist_ok=True)
    write_table(target / TABLE_NAME, make_table(version, ids))


def find_ids(version: DatasetVersion) -> dict[str, int]:
    """The label id of each category. Raises: InvalidInput when they do not fit into a byte."""
    ids = make_written_ids(version.categories.names)
    if max(ids.values(), default=0) > MAX_ID:
        raise InvalidInput(f"expected at most 222 categories for Cityscapes' 8-bit ids, got {len(ids)}; export as label_masks")
    return ids


def make_table(version: DatasetVersion, ids: dict[str, int]) -> list[MaskClass]:
    """classes.csv: the version's categories in their order, then what counts as nothing."""
    kind = "void" if version.manifest.unlabelled_pixels == "ignore" else "background"
    classes = [
        MaskClass(
            name=name,
            value=ids[name],
            colour=BY_NAME[name].colour if name in BY_NAME else version.categories.colour(index),
        )
        for index, name in enumerate(version.categories)
    ]
    free_name = find_free_name(LABELS[0].name, version.categories.names)
    return [*classes, MaskClass(name=free_name, value=0, colour=(0, 0, 0), kind=kind)]


Converted = tuple[list[dict[str, object]], np.ndarray, str]


def convert_items(version: DatasetVersion, report: ConversionReport) -> Iterator[tuple[Item, PurePosixPath, Converted]]:
    """Every item with its place, SPLIT/CITY/NAME, and what `convert_item` makes of it; an item's own folder is its city."""
    report_renamed_splits(report, version)
    namer = FileNamer(version, report)
    for item in version.items():
        name = item.file_name if "/" in item.file_name else f"{DEFAULT_CITY}/{item.file_name}"
        place = namer.place(item.split or UNSPLIT, item, name)
        yield item, place, convert_item(item, version.categories, report)


def convert_item(item: Item, categories: Categories, report: ConversionReport) -> Converted:
    """Objects of the polygons file, the label map `(H, W)`, and which of the two is exact: "polygons" or "mask"."""
    if not any(annotation.geometry == "polygons" for annotation in item.annotations):
        label_map = draw_label_map(item, categories, UNLABELLED, report)
        shown = [annotation for annotation in item.annotations if annotation.mask is not None]
        return make_objects(shown), label_map, "mask"
    report_lost_item_facts(report, item)
    warn_turned(report, item)
    kept: list[Annotation] = []
    for annotation in item.annotations:
        if report_no_pixels(report, annotation, item.file_name):
            continue
        if annotation.mask is not None:
            report.change("annotation", "mask among polygons traced as polygons", item.file_name)
            if has_holes(decode_mask(annotation.mask)):
                report.change("annotation", "mask has holes, its polygons have none", item.file_name)
        report_other_box(report, annotation, item.file_name)
        report_lost_facts(report, item, replace(annotation, is_crowd=False))  # a crowd stays one: "cargroup"
        kept.append(annotation)
    return make_objects(kept), annotations_to_label_map(kept, categories, item.height, item.width, UNLABELLED), "polygons"


def make_objects(annotations: list[Annotation]) -> list[dict[str, object]]:
    """Objects in drawing order; the rings of one annotation follow each other with the same id."""
    objects: list[dict[str, object]] = []
    for number, annotation in enumerate(annotations):
        label = annotation.category + (GROUP_SUFFIX if annotation.is_crowd else "")
        for ring in find_rings(annotation):
            points = list(zip(ring[::2], ring[1::2], strict=True))
            objects.append({"id": number, "label": label, "polygon": points})
    return objects


def find_rings(annotation: Annotation) -> tuple[Ring, ...]:
    """The polygons, or the tracing of the mask."""
    if annotation.mask is not None:
        return tuple(trace_mask(decode_mask(annotation.mask)))
    return annotation.polygons or ()
