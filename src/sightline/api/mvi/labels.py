"""Labels as this interface has them, and ours: an object label is a box or polygons, a picture's category its own label."""

import secrets
from typing import Any

from sightline.api.mvi.bodies import LabelChange
from sightline.api.mvi.identifiers import make_label_id
from sightline.api.mvi.lookup import File, make_dataset_id
from sightline.api.mvi.naming import CategoryIds, find_category
from sightline.core.annotations import Annotation, Ring
from sightline.core.errors import InvalidInput
from sightline.data.editing import Label
from sightline.imaging.masks import find_annotation_box
from sightline.imaging.rle import decode_mask
from sightline.imaging.tracing import trace_mask
from sightline.store.datasets import Dataset

GENERATE_TYPES = {"human": "manual", "model": "auto"}
MORE_IN_V1 = "GET /v1/datasets/NAME/items/POSITION has it as it is"


def describe_labels(file: File, ids: CategoryIds) -> list[dict[str, Any]]:
    """The object labels of a picture as they are answered."""
    return [describe_label(file, label, ids) for label in file.item.labels if label.annotation.geometry != "image"]


def describe_label(file: File, label: Label, ids: CategoryIds) -> dict[str, Any]:
    """One object label as it is answered."""
    annotation = label.annotation
    row: dict[str, Any] = {
        "_id": make_label_id(file.id, label.id),
        "file_id": file.id,
        "dataset_id": make_dataset_id(file.dataset.name),
        "tag_id": ids.find("tags", annotation.category),
        "name": annotation.category,
        "generate_type": GENERATE_TYPES[annotation.origin],
        "bnd_box": describe_box(annotation),
    }
    if annotation.confidence is not None:
        row["confidence"] = annotation.confidence
    if polygons := describe_polygons(annotation):
        row["segment_polygons"] = polygons
    return row


def describe_box(annotation: Annotation) -> dict[str, int]:
    """The box in whole pixels, or the bounds of an outline."""
    x_min, y_min, x_max, y_max = map(round, find_annotation_box(annotation) or (0, 0, 0, 0))
    return {"xmin": x_min, "ymin": y_min, "xmax": x_max, "ymax": y_max}


def describe_polygons(annotation: Annotation) -> list[list[list[int]]]:
    """The outline as points in whole pixels; of a mask the edges of its pixels, holes filled."""
    rings: tuple[Ring, ...] = annotation.polygons or ()
    if annotation.mask is not None:
        rings = trace_mask(decode_mask(annotation.mask))
    return [[[round(x), round(y)] for x, y in zip(ring[::2], ring[1::2], strict=True)] for ring in rings]


def read_label(dataset: Dataset, change: LabelChange, old: Annotation | None = None) -> Annotation:
    """The annotation that a client means. Args: old: what stays where the change says nothing.

    Raises: NotFound for a tag that is not there; InvalidInput without a tag, or without box and polygons.
    """
    category = old.category if old is not None else change.name
    if change.tag_id is not None:
        category = find_category("tags", dataset, change.tag_id).name
    if category is None:
        raise InvalidInput("expected the tag_id or the name of a tag, got neither; send one")
    box, rings, mask = (None, None, None) if old is None else (old.box_xyxy, old.polygons, old.mask)
    if change.segment_polygons is not None:
        rings = tuple(tuple(number for point in polygon for number in point) for polygon in change.segment_polygons) or None
        mask = None
    if change.box is not None:
        box = (change.box.xmin, change.box.ymin, change.box.xmax, change.box.ymax)
        rings, mask = (None, None) if change.segment_polygons is None else (rings, None)
    if box is None and rings is None and mask is None:
        raise InvalidInput("expected a bnd_box or segment_polygons, got neither; send one")
    origin = old.origin if old is not None else "human"
    if change.generate_type is not None:
        origin = "model" if change.generate_type == "auto" else "human"
    confidence = change.confidence if change.confidence is not None or old is None else old.confidence
    return Annotation(
        category=category,
        box_xyxy=box,
        polygons=rings,
        mask=mask,
        origin=origin,
        confidence=confidence if origin == "model" else None,
        is_crowd=False if old is None else old.is_crowd,
        attributes={} if old is None else old.attributes,
    )


def make_name() -> str:
    """A new label's name among its picture's."""
    return secrets.token_urlsafe(9)
