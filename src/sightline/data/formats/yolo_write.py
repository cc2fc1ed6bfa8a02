"""From annotations to YOLO label files, telling the report whatever they cannot hold."""

from pathlib import Path

from sightline.core.annotations import Annotation, BoxXyxy, Ring
from sightline.core.categories import Categories
from sightline.data.conversion import ConversionReport
from sightline.data.formats.losses import report_other_box
from sightline.data.formats.yolo_facts import write_facts
from sightline.data.formats.yolo_rows import format_box_row, format_polygon_row, join_rings
from sightline.data.items import Item
from sightline.imaging.masks import decode_mask, find_mask_box, find_polygons_box, has_holes, trace_mask


def write_labels(path: Path, item: Item, categories: Categories, writes_polygons: bool, report: ConversionReport) -> int:
    """Write a picture's label file, and its facts beside it; returns the number of rows."""
    rows, written = format_rows(item, categories, writes_polygons, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row + "\n" for row in rows))
    write_facts(path, rows, written)
    return len(rows)


def format_rows(
    item: Item, categories: Categories, writes_polygons: bool, report: ConversionReport
) -> tuple[list[str], list[Annotation]]:
    """Rows of a picture's label file and the annotation of each: polygons where `writes_polygons`, boxes elsewhere."""
    size = (item.width, item.height)
    rows, written = [], []
    for annotation in item.annotations:
        index = categories.index(annotation.category)
        ring = find_ring(annotation, report, item.file_name) if writes_polygons else None
        if ring is not None:
            rows.append(format_polygon_row(index, ring, size))
        else:
            box = find_box(annotation, report, item.file_name)
            if box is None:
                continue
            rows.append(format_box_row(index, box, size))
        written.append(annotation)
    return rows, written


def find_ring(annotation: Annotation, report: ConversionReport, where: str) -> Ring | None:
    """The outline as one ring, or None for an annotation that has none."""
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
    return rings[0] if len(rings) == 1 else join_rings(rings)


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
