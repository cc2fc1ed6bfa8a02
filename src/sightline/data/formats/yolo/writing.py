"""From annotations to YOLO label files, telling the report whatever they cannot hold."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.core.categories import Categories
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import name_viewer
from sightline.data.formats.losses import (
    report_lost_ignore,
    report_lost_item_facts,
    report_other_box,
    report_renamed_splits,
    warn_turned,
)
from sightline.data.formats.picture_files import FileNamer
from sightline.data.formats.yolo.facts import write_facts
from sightline.data.formats.yolo.rows import format_box_row, format_polygon_row, join_rings
from sightline.data.items import Item
from sightline.data.versions import UNSPLIT, DatasetVersion
from sightline.imaging.masks import decode_mask, draw_polygons, find_mask_box, find_polygons_box, has_holes, trace_mask

Rows = list[tuple[str, Annotation]]  # of a label file, each with what it is made from


def format_items(
    version: DatasetVersion, folder: str | None, writes_polygons: bool, report: ConversionReport
) -> Iterator[tuple[Item, PurePosixPath, Rows]]:
    """Every item with its picture's path and the rows of its label file; what is lost of it is told.

    Args:
        folder: of all pictures; None: a folder a split.
        writes_polygons: whether outlines become polygons, else boxes.
    """
    report_lost_ignore(report, version)
    report_renamed_splits(report, version)
    namer = FileNamer(version, report)
    for item in version.items():
        path = namer.place(folder or item.split or UNSPLIT, item)
        report_lost_item_facts(report, item)
        warn_turned(report, item)
        yield item, path, format_rows(item, version.categories, writes_polygons, report)


def write_labels(path: Path, item: Item, rows: Rows) -> None:
    """Write a picture's label file, and its facts beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row + "\n" for row, _ in rows))
    write_facts(path, rows, item.orientation != 1, name_viewer(item, not rows))


def format_rows(item: Item, categories: Categories, writes_polygons: bool, report: ConversionReport) -> Rows:
    """Rows of a picture's label file: polygons where `writes_polygons`, boxes elsewhere."""
    size = (item.width, item.height)
    rows: Rows = []
    for annotation in item.annotations:
        index = categories.index(annotation.category)
        ring = find_ring(annotation, size, report, item.file_name) if writes_polygons else None
        if ring is not None:
            rows.append((format_polygon_row(index, ring, size), annotation))
        elif (box := find_box(annotation, report, item.file_name)) is not None:
            rows.append((format_box_row(index, box, size), annotation))
    return rows


def find_ring(annotation: Annotation, size: tuple[int, int], report: ConversionReport, where: str) -> Ring | None:
    """The outline as one ring, or None for an annotation that has none. Args: size: `(width, height)` of the picture."""
    if annotation.geometry not in ("mask", "polygons"):
        return None
    rings: tuple[Ring, ...] = annotation.polygons or ()
    if annotation.mask is not None:
        mask = decode_mask(annotation.mask)
        report.change("annotation", "mask traced as a polygon", where)
        if has_holes(mask):
            report.change("annotation", "mask has holes, its polygon has none", where)
        rings = tuple(trace_mask(mask))
    if not rings:
        return None
    if len(rings) > 1:
        report.change("annotation", "polygon of several rings joined to one by bridges of no width", where)
    report_other_box(report, annotation, where)
    return rings[0] if len(rings) == 1 else join_outlines(rings, size, report, where)


def join_outlines(rings: tuple[Ring, ...], size: tuple[int, int], report: ConversionReport, where: str) -> Ring:
    """Several rings as one that covers the same pixels: where they overlap, which one ring leaves out, by their outline."""
    width, height = size
    joined, pixels = join_rings(rings), draw_polygons(rings, height, width)
    if not pixels.any() or (draw_polygons([joined], height, width) == pixels).all():
        return joined
    report.change("annotation", "rings that overlap drawn as their common outline, of whole pixels", where)
    # A ring inside of another is traced, too, where it lies in a hole.
    filled = draw_polygons(trace_mask(pixels), height, width)
    if (filled != pixels).any():
        report.change("annotation", "overlapping rings leave a hole, their outline has none", where)
    return join_rings(tuple(trace_mask(filled)))


def find_box(annotation: Annotation, report: ConversionReport, where: str) -> BoxXyxy | None:
    """The box, or the bounds of polygon or mask, whose loss is told; None for the label of a whole picture."""
    if annotation.geometry == "image":
        report.drop("annotation", "label of the whole picture", f"{where}: {annotation.category}")
        return None
    box = annotation.box_xyxy
    if annotation.polygons is not None:
        report.change("annotation", "polygon lost, its box is kept", where)
        box = box or find_polygons_box(annotation.polygons)
    if annotation.mask is not None:
        report.change("annotation", "mask lost, its box is kept", where)
        box = box or find_mask_box(decode_mask(annotation.mask))
    if box is None:
        report.drop("annotation", "mask without a pixel", where)
    return box
