"""A picture of a Supervisely dataset with its file of labels."""

from pathlib import Path
from typing import Any

from sightline.core.annotations import Annotation
from sightline.core.errors import UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import NONE_KEPT, SourceItem
from sightline.data.formats.picture_files import find_split
from sightline.data.formats.supervisely.figures import Tag, make_attributes, read_figure, read_tags
from sightline.data.formats.supervisely.project import Dataset, Meta, read_json


def read_item(
    name: str, path: Path, labels: Path | None, dataset: Dataset, meta: Meta, report: ConversionReport
) -> SourceItem | None:
    """The picture `name` at `path`; None, after telling, when its file of labels cannot be read."""
    file_name = dataset.place(name)
    split = dataset.split
    if labels is None:
        report.warn("image", "picture without an annotation file", file_name)
        return SourceItem(file_name=file_name, path=path, split=split, seen_by="nobody")
    try:
        facts = read_json(labels)
    except UnreadableDataset as error:
        report.drop("file", "annotation file that cannot be read", str(error))
        report.drop("image", "its annotation file cannot be read", file_name)
        return None
    size = _read_size(facts.get("size"))
    records = facts["objects"] if isinstance(facts.get("objects"), list) else []
    read = (read_figure(record, size, report, file_name) for record in records)
    annotations = [annotation for annotation in read if annotation is not None]
    tags = read_tags(facts)
    labelled, others = _read_labels(tags, meta)
    if facts.get("description"):
        report.drop("attribute", "descriptions are not kept", file_name)
    is_lost = bool(records) and not annotations
    return SourceItem(
        file_name=file_name,
        path=path,
        split=split or next((find_split(tag) for tag, value in tags if value is None and find_split(tag)), None),
        annotations=(*labelled, *annotations),
        declared_size=size,
        warning=NONE_KEPT if is_lost else None,
        seen_by="nobody" if is_lost else None,
        attributes=make_attributes(others),
    )


def _read_labels(tags: list[Tag], meta: Meta) -> tuple[list[Annotation], list[Tag]]:
    """What tags say of the whole picture: labels of it, and the tags that are neither labels nor its split."""
    labels, others = [], []
    for tag, value in tags:
        known = meta.labels_by_tag.get(tag, {})
        if isinstance(value, str | None) and value in known:
            labels.append(Annotation(category=known[value]))
        elif value is not None or find_split(tag) is None:
            others.append((tag, value))
    return labels, others


def _read_size(size: Any) -> tuple[int, int] | None:
    """`(width, height)`; None when it is none."""
    sides = (size.get("width"), size.get("height")) if isinstance(size, dict) else ()
    whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool) and 0 < side < 1 << 31]
    return (whole[0], whole[1]) if len(whole) == 2 else None
