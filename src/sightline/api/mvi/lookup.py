"""From identifiers to what they stand for: datasets, and pictures by an index that is made when it is first needed."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, NamedTuple

from fastapi import Depends, Path, Request

from sightline.api.mvi.identifiers import find_half, make_id
from sightline.api.parts import Parts, PartsOf
from sightline.core.errors import NotFound
from sightline.data.editing import Operation
from sightline.store.datasets import MAX_PAGE, Dataset, ItemRow, LabelledItem, StaleRevision

TRIES = 10  # of an edit, each on what another wrote meanwhile


class FileIndex(NamedTuple):
    """The pictures of one version of a dataset. Attributes: ids: by position; positions: by the half that labels share."""

    version_id: str
    ids: list[str]
    positions: dict[str, int]

    def find(self, half: str) -> int | None:
        """The position of the picture whose id, or whose labels' ids, begin so."""
        return self.positions.get(half)


class FileIndexes:
    """The indexes of the datasets that were asked for, each for as long as its dataset's version is the same."""

    def __init__(self) -> None:
        self._kept: dict[str, FileIndex] = {}

    def read(self, dataset: Dataset) -> FileIndex:
        """The index of a dataset as it is now."""
        version = dataset.version
        kept = self._kept.get(dataset.name)
        if kept is None or kept.version_id != version.id:
            index = version.load_index()
            ids = [
                make_file_id(dataset.name, name, index.read_blob(position))
                for position, name in enumerate(index.file_names.to_pylist())
            ]
            kept = FileIndex(version.id, ids, {find_half(one): position for position, one in enumerate(ids)})
            self._kept[dataset.name] = kept
        return kept


class File(NamedTuple):
    """A picture of a dataset, by its id here, with its labels as they were when it was looked up."""

    dataset: Dataset
    id: str
    item: LabelledItem

    def edit(self, author: str, make: Callable[[LabelledItem], Sequence[Operation]]) -> LabelledItem:
        """Change its labels. This interface knows no revisions: what others wrote meanwhile is what the edit is made on.

        Args: make: the operations on the labels as they are; none leave them.

        Raises: what `make` and the edit raise.
        """
        item, edit_id = self.item, f"api-{secrets.token_urlsafe(12)}"
        for number in range(TRIES):
            operations = make(item)
            if not operations:
                break
            try:
                return self.dataset.append_edit(item.position, edit_id, item.revision, operations, author, blob=item.blob)
            except StaleRevision as error:
                if number == TRIES - 1:
                    raise
                item = error.present
        return item


def make_dataset_id(name: str) -> str:
    """The id of a dataset."""
    return make_id("datasets", name)


def make_file_id(dataset: str, file_name: str, blob: str) -> str:
    """The id of a picture of a dataset."""
    return make_id("files", dataset, file_name, blob)


def find_dataset(parts: Parts, dataset_id: str, unknown: str = "Could not find dataset") -> Dataset:
    """The dataset of an id. Raises: NotFound, beginning as `unknown` says."""
    for name in parts.store.names():
        if make_dataset_id(name) == dataset_id:
            return parts.store.open(name)
    raise NotFound(f"{unknown} {dataset_id[:100]}; GET /api/datasets lists those there are")


def open_dataset(dataset_id: Annotated[str, Path()], parts: PartsOf) -> Dataset:
    """The dataset that a path names."""
    return find_dataset(parts, dataset_id)


def find_indexes(request: Request) -> FileIndexes:
    """The indexes of this application."""
    indexes: FileIndexes = request.app.state.files
    return indexes


def find_file(indexes: FileIndexes, dataset: Dataset, file_id: str) -> File:
    """A picture with its labels. Raises: NotFound."""
    item = find_item(indexes, dataset, find_half(file_id))
    if item is None or make_file_id(dataset.name, item.file_name, item.blob) != file_id:
        raise NotFound(f"Could not find file {file_id[:100]} in {dataset.name!r}; GET /api/datasets/ID/files lists them")
    return File(dataset, file_id, item)


def find_item(indexes: FileIndexes, dataset: Dataset, half: str) -> LabelledItem | None:
    """The picture of which ids begin so; None where there is none, or where it is gone by now."""
    position = indexes.read(dataset).find(half)
    if position is None:
        return None
    try:
        item = dataset.read_item(position)
    except NotFound:
        return None
    return item if find_half(make_file_id(dataset.name, item.file_name, item.blob)) == half else None


def walk_rows(dataset: Dataset) -> Iterator[ItemRow]:
    """All pictures of a dataset, page by page."""
    cursor: int | None = 0
    while cursor is not None:
        page = dataset.list_items(cursor=cursor, limit=MAX_PAGE)
        yield from page.items
        cursor = page.next_cursor


def walk_items(dataset: Dataset) -> Iterator[LabelledItem]:
    """All pictures of a dataset with their labels, page by page."""
    cursor: int | None = 0
    while cursor is not None:
        page = dataset.list_items(cursor=cursor, limit=MAX_PAGE)
        yield from dataset.read_items([row.position for row in page.items])
        cursor = page.next_cursor


DatasetOf = Annotated[Dataset, Depends(open_dataset)]
IndexesOf = Annotated[FileIndexes, Depends(find_indexes)]


def open_file(file_id: Annotated[str, Path()], dataset: DatasetOf, indexes: IndexesOf) -> File:
    """The picture that a path names."""
    return find_file(indexes, dataset, file_id)


FileOf = Annotated[File, Depends(open_file)]
