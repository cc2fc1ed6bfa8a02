"""`/api/datasets/ID/object-labels`, of the whole dataset and below `files/ID`, and `files/ID/labels`: our labels.

Every change is an edit in the journal, by whoever asked for it.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.identifiers import find_half, make_label_id
from sightline.api.mvi.labels import describe_label, describe_labels, make_name, read_label
from sightline.api.mvi.lookup import (
    DatasetOf,
    File,
    FileIndexes,
    FileOf,
    IndexesOf,
    find_file,
    find_item,
    make_file_id,
    walk_items,
)
from sightline.api.mvi.naming import CategoryIds
from sightline.api.mvi.queries import split_list
from sightline.api.people import PersonOf
from sightline.core.errors import NotFound, Unsupported
from sightline.data.editing import Label, Operation, Put, Remove
from sightline.store.datasets import Dataset, LabelledItem

router = APIRouter(prefix="/datasets/{dataset_id}")


class Filter(NamedTuple):
    """Which labels are meant. None: any."""

    tag_ids: list[str] | None
    file_ids: list[str] | None
    generate_type: str | None
    min_conf: float
    max_conf: float
    limit: int | None
    skip: int

    def fits(self, row: dict[str, Any]) -> bool:
        """Whether a label is meant; one without a confidence is as sure as can be."""
        return (
            (self.tag_ids is None or row["tag_id"] in self.tag_ids)
            and self.generate_type in (None, row["generate_type"])
            and self.min_conf <= row.get("confidence", 1.0) <= self.max_conf
        )

    def cut(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The wanted part of those that are meant."""
        return rows[self.skip :] if self.limit is None else rows[self.skip : self.skip + self.limit]


def read_filter(
    tag_ids: str | None = None,
    file_ids: str | None = None,
    generate_type: str | None = None,
    model_id: str | None = None,
    min_conf: float = 0.0,
    max_conf: float = 1.0,
    limit: Annotated[int | None, Query(ge=0)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Filter:
    """What a request says of it. Raises: Unsupported for `model_id`."""
    if model_id:
        raise Unsupported("labels do not say which model proposed them; leave model_id out, or ask by generate_type=auto")
    return Filter(split_list(tag_ids), split_list(file_ids), generate_type, min_conf, max_conf, limit, skip)


FilterOf = Annotated[Filter, Depends(read_filter)]


@router.get("/object-labels")
def list_labels(dataset: DatasetOf, indexes: IndexesOf, wanted: FilterOf) -> Response:
    """Boxes, polygons and masks of all pictures, in their order. A mask is told by its outline. `model_id` is refused."""
    ids, files = CategoryIds(dataset), walk_files(dataset, indexes, wanted)
    rows = [row for file in files for row in describe_labels(file, ids) if wanted.fits(row)]
    return answer(wanted.cut(rows))


@router.delete("/object-labels")
def delete_labels(dataset: DatasetOf, indexes: IndexesOf, person: PersonOf, wanted: FilterOf) -> Response:
    """Remove all labels that the filters let through: one edit for each picture, which its history can undo."""
    count = sum(remove_labels(file, wanted, person.name) for file in walk_files(dataset, indexes, wanted))
    return answer({"deleted_count": count, **SUCCESS})


@router.get("/object-labels/{label_id}")
def read_label_of_dataset(dataset: DatasetOf, indexes: IndexesOf, label_id: str) -> Response:
    """One label."""
    return show(*find_label(find_file_of_label(dataset, indexes, label_id), label_id))


@router.put("/object-labels/{label_id}")
def update_label_of_dataset(
    dataset: DatasetOf, indexes: IndexesOf, person: PersonOf, label_id: str, body: bodies.LabelChange
) -> Response:
    """Change a label: what is left out stays."""
    return change(find_file_of_label(dataset, indexes, label_id), label_id, body, person.name)


@router.delete("/object-labels/{label_id}")
def delete_label_of_dataset(dataset: DatasetOf, indexes: IndexesOf, person: PersonOf, label_id: str) -> Response:
    """Remove a label."""
    return remove(find_file_of_label(dataset, indexes, label_id), label_id, person.name)


@router.get("/files/{file_id}/object-labels")
def list_labels_of_file(file: FileOf, wanted: FilterOf) -> Response:
    """Boxes, polygons and masks of a picture."""
    return answer(wanted.cut([row for row in describe_labels(file, CategoryIds(file.dataset)) if wanted.fits(row)]))


@router.post("/files/{file_id}/object-labels")
def create_label(file: FileOf, person: PersonOf, body: bodies.LabelChange) -> Response:
    """A new label: a box, or polygons, whose box is drawn anew. What reaches over the edge of the picture is clipped."""
    annotation, name = read_label(file.dataset, body), make_name()
    file.edit(person.name, lambda item: [Put(id=name, annotation=annotation)])
    return answer({"id": make_label_id(file.id, name), **SUCCESS})


@router.delete("/files/{file_id}/object-labels")
def delete_labels_of_file(file: FileOf, person: PersonOf, wanted: FilterOf) -> Response:
    """Remove the labels of a picture that the filters let through."""
    return answer({"deleted_count": remove_labels(file, wanted, person.name), **SUCCESS})


@router.get("/files/{file_id}/object-labels/{label_id}")
def read_label_of_file(file: FileOf, label_id: str) -> Response:
    """One label."""
    return show(*find_label(file, label_id))


@router.put("/files/{file_id}/object-labels/{label_id}")
def update_label_of_file(file: FileOf, person: PersonOf, label_id: str, body: bodies.LabelChange) -> Response:
    """Change a label: what is left out stays."""
    return change(file, label_id, body, person.name)


@router.delete("/files/{file_id}/object-labels/{label_id}")
def delete_label_of_file(file: FileOf, person: PersonOf, label_id: str) -> Response:
    """Remove a label."""
    return remove(file, label_id, person.name)


@router.get("/files/{file_id}/labels")
def read_all_labels(file: FileOf) -> Response:
    """The object labels of a picture, as `object-labels` has them."""
    return answer(describe_labels(file, CategoryIds(file.dataset)))


@router.post("/files/{file_id}/labels")
def replace_all_labels(file: FileOf, person: PersonOf, body: list[bodies.LabelChange] | bodies.LabelChange) -> Response:
    """Replace all object labels of a picture by a list of labels, each with the `name` or `tag_id` of a tag that there is."""
    changes = body if isinstance(body, list) else [body]
    puts = [Put(id=make_name(), annotation=read_label(file.dataset, change)) for change in changes]

    def replace(item: LabelledItem) -> list[Operation]:
        return [*(Remove(id=label.id) for label in item.labels if label.annotation.geometry != "image"), *puts]

    file.edit(person.name, replace)
    return answer({"ids": [make_label_id(file.id, put.id) for put in puts], **SUCCESS})


def walk_files(dataset: Dataset, indexes: FileIndexes, wanted: Filter) -> Iterator[File]:
    """The pictures that may have labels of those that are meant."""
    if wanted.file_ids is not None:
        yield from (find_file(indexes, dataset, file_id) for file_id in wanted.file_ids)
        return
    for item in walk_items(dataset):
        if item.labels:
            yield File(dataset, make_file_id(dataset.name, item.file_name, item.blob), item)


def find_file_of_label(dataset: Dataset, indexes: FileIndexes, label_id: str) -> File:
    """The picture that a label belongs to. Raises: NotFound."""
    item = find_item(indexes, dataset, find_half(label_id))
    if item is None:
        raise NotFound(f"Could not find label {label_id[:100]} in {dataset.name!r}; GET .../object-labels lists them")
    return File(dataset, make_file_id(dataset.name, item.file_name, item.blob), item)


def find_label(file: File, label_id: str) -> tuple[File, Label]:
    """A picture and its label of this id. Raises: NotFound."""
    for label in file.item.labels:
        if label.annotation.geometry != "image" and make_label_id(file.id, label.id) == label_id:
            return file, label
    raise NotFound(f"Could not find label {label_id[:100]} of {file.item.file_name!r}; GET .../object-labels lists them")


def show(file: File, label: Label) -> Response:
    """One label as it is answered."""
    return answer(describe_label(file, label, CategoryIds(file.dataset)))


def change(file: File, label_id: str, body: bodies.LabelChange, author: str) -> Response:
    """Put a label in the place of what it was. Raises: NotFound."""

    def make(item: LabelledItem) -> list[Operation]:
        _, label = find_label(file._replace(item=item), label_id)
        return [Put(id=label.id, annotation=read_label(file.dataset, body, label.annotation))]

    file.edit(author, make)
    return answer(SUCCESS)


def remove(file: File, label_id: str, author: str) -> Response:
    """Take a label away. Raises: NotFound."""
    file.edit(author, lambda item: [Remove(id=find_label(file._replace(item=item), label_id)[1].id)])
    return answer(SUCCESS)


def remove_labels(file: File, wanted: Filter, author: str) -> int:
    """Take away the labels of a picture that are meant. Returns: how many these were."""
    meant: list[Operation] = []
    ids = CategoryIds(file.dataset)

    def make(item: LabelledItem) -> list[Operation]:
        meant.clear()
        fitting = {row["_id"] for row in describe_labels(file._replace(item=item), ids) if wanted.fits(row)}
        meant.extend(Remove(id=label.id) for label in item.labels if make_label_id(file.id, label.id) in fitting)
        return meant

    file.edit(author, make)
    return len(meant)
