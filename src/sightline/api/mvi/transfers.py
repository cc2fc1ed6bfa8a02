"""Removing files of a dataset, and taking them over into another one."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter
from msgspec.structs import replace
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.lookup import (
    DatasetOf,
    File,
    FileIndexes,
    IndexesOf,
    find_dataset,
    find_file,
    make_file_id,
    walk_rows,
)
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.temporary import temporary_folder
from sightline.data.conversion import ConversionReport
from sightline.data.versions import VersionWriter
from sightline.store.adding import PREFIX, add_version
from sightline.store.datasets import Dataset, ItemChanges

UNKNOWN_DATASET = "Unknown dataset"  # as the original says here, and scripts look for

router = APIRouter(prefix="/datasets/{dataset_id}/files")


@router.delete("/{file_id}")
async def delete_file(parts: PartsOf, indexes: IndexesOf, person: PersonOf, dataset_id: str, file_id: str) -> Response:
    """Leave a picture out of the dataset's next version; earlier versions keep it. The last picture is refused."""

    def work() -> Response:
        dataset = find_dataset(parts, dataset_id, UNKNOWN_DATASET)
        remove(dataset, [find_file(indexes, dataset, file_id)], person.name)
        return answer(SUCCESS)

    return await anyio.to_thread.run_sync(work, limiter=parts.revising)


@router.post("/action")
async def act_on_files(
    dataset: DatasetOf, indexes: IndexesOf, parts: PartsOf, person: PersonOf, body: bodies.Action
) -> Response:
    """`delete`: leave pictures out of the dataset's next version. No other action."""
    if body.action != "delete":
        raise InvalidInput(f"expected the action delete, got {body.action[:40]!r}; no other is known")

    def work() -> Response:
        found = [file for _, file in find_files(indexes, dataset, body.id_list) if file is not None]
        if found:
            remove(dataset, found, person.name)
        return answer({"success_count": len(found), "fail_count": len(body.id_list) - len(found), **SUCCESS})

    return await anyio.to_thread.run_sync(work, limiter=parts.revising)


@router.post("/copy")
async def copy_files(
    dataset: DatasetOf, indexes: IndexesOf, parts: PartsOf, person: PersonOf, body: bodies.Transfer
) -> Response:
    """Add pictures with their labels and splits to another dataset, in its next version. Those that it has stay as they are."""
    work = partial(transfer, dataset, indexes, parts, person.name, body, is_move=False)
    return answer(await anyio.to_thread.run_sync(work, limiter=parts.revising))


@router.post("/move")
async def move_files(
    dataset: DatasetOf, indexes: IndexesOf, parts: PartsOf, person: PersonOf, body: bodies.Transfer
) -> Response:
    """As `copy`; then they are left out of the next version of this dataset, which must have others."""
    work = partial(transfer, dataset, indexes, parts, person.name, body, is_move=True)
    return answer(await anyio.to_thread.run_sync(work, limiter=parts.revising))


def find_files(indexes: FileIndexes, dataset: Dataset, ids: Sequence[str]) -> Iterator[tuple[str, File | None]]:
    """The pictures of ids; None for those that are not there."""
    for file_id in dict.fromkeys(ids):
        try:
            yield file_id, find_file(indexes, dataset, file_id)
        except NotFound:
            yield file_id, None


def remove(dataset: Dataset, files: Sequence[File], author: str) -> None:
    """Leave pictures out. Raises: Conflict when none would be left."""
    dataset.revise(ItemChanges(removed={file.item.position: file.item.blob for file in files}), author)


def transfer(
    dataset: Dataset, indexes: FileIndexes, parts: Parts, author: str, body: bodies.Transfer, is_move: bool
) -> dict[str, Any]:
    """Add files to another dataset, and say which they are there. Raises: Conflict when none of this one would be left."""
    target = find_dataset(parts, body.target_dataset_id)
    found = list(find_files(indexes, dataset, body.files))
    wanted = [file for _, file in found if file is not None]
    if is_move and len(wanted) == dataset.summarise().item_count:
        raise InvalidInput(f"expected a picture that stays in {dataset.name!r}, got all of them; copy them instead")
    if wanted and target.name != dataset.name:
        add(dataset, wanted, target, author)
        if is_move:
            remove(dataset, wanted, author)
    there = {row.blob: make_file_id(target.name, row.file_name, row.blob) for row in walk_rows(target)}
    results = [
        {"file_id": file_id, "result": "fail", "fault": "Could not find file"}
        if file is None
        else {"file_id": file_id, "result": "success", "new_file_id": there[file.item.blob]}
        for file_id, file in found
    ]
    return {"result_list": results, **SUCCESS}


def add(dataset: Dataset, files: Sequence[File], target: Dataset, author: str) -> None:
    """Add pictures to another dataset, labels and splits as they are here; nothing is decoded anew."""
    named = {label.annotation.category for file in files for label in file.item.labels}
    categories = Categories(category.name for category in dataset.categories if category.name in named)
    index, here, there = dataset.version.load_index(), dataset.version.blobs, target.version.blobs
    with temporary_folder(target.workspace.root, PREFIX) as folder:
        with VersionWriter(folder / "added", target.name, categories, there) as writer:
            for file in files:
                if not there.has(file.item.blob):
                    there.put_bytes(here.read(file.item.blob))
                annotations = tuple(label.annotation for label in file.item.labels)
                item = index.read_item(file.item.position)
                said = {"seen_by": file.item.seen_by, "attributes": file.item.attributes}
                writer.add(replace(item, annotations=annotations, **said))
            version = writer.close()
        add_version(target, version, author, ConversionReport(), split="given")
