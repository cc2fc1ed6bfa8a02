"""`/api/datasets/ID/files`: the pictures of a dataset, and `/api/uploads/...`, where their bytes and thumbnails are."""

from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer, read_age
from sightline.api.mvi.labels import make_name
from sightline.api.mvi.lookup import (
    DatasetOf,
    File,
    FileOf,
    IndexesOf,
    find_file,
    make_dataset_id,
    make_file_id,
    walk_items,
)
from sightline.api.mvi.naming import CategoryIds, find_category
from sightline.api.mvi.queries import PagingOf, QueryOf, parse_query
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.api.pictures import read_and_make
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.data.editing import Label, Operation, Put, Remove
from sightline.imaging.files.showing import ShownPicture, make_thumbnail
from sightline.store.datasets import Dataset, LabelledItem

THUMBNAIL_SIZE = 256
LABEL_TYPES = {"labelled": "manual", "proposed": "auto", "unlabelled": None}

router = APIRouter()


@router.get("/datasets/{dataset_id}/files")
def list_files(
    dataset: DatasetOf,
    parts: PartsOf,
    person: PersonOf,
    paging: PagingOf,
    category_id: str | None = None,
    parent_id: str | None = None,
    query: QueryOf = None,
) -> Response:
    """Pictures of a dataset. `category_id` is of their own label; `parent_id` finds none: frames are pictures of their own."""
    terms = parse_query(query) if query else []
    files = describe_files(parts, person.name, dataset) if not parent_id else []
    wanted = [file for file in files if category_id in (None, file["category_id"]) and all(term.fits(file) for term in terms)]
    return answer(paging.cut(wanted))


@router.get("/datasets/{dataset_id}/files/{file_id}")
def read_file(file: FileOf, parts: PartsOf, person: PersonOf) -> Response:
    """One picture. Its `file_name` is where `/uploads` has it, `original_file_name` what it is called in the dataset."""
    return answer(describe_file(file, CategoryIds(file.dataset), person.name, read_birth(parts, file.dataset)))


@router.get("/datasets/{dataset_id}/files/{file_id}/action")
def act_on_file(file: FileOf, person: PersonOf, body: bodies.Action) -> Response:
    """`change_category`: the picture's own label; an empty `target_category_id` takes it away. The body comes with a GET."""
    if body.action != "change_category" or body.target_category_id is None:
        raise InvalidInput(f"expected change_category with a target_category_id, got {body.action[:40]!r}; no other is known")
    wanted = body.target_category_id
    category = find_category("categories", file.dataset, wanted).name if wanted else None

    def make(item: LabelledItem) -> list[Operation]:
        operations: list[Operation] = [Remove(id=label.id) for label in find_whole_labels(item.labels)]
        if category is not None:
            operations.append(Put(id=make_name(), annotation=Annotation(category=category)))
        return operations

    file.edit(person.name, make)
    return answer(SUCCESS)


def open_upload(dataset: DatasetOf, indexes: IndexesOf, file_name: str) -> File:
    """The picture that a file's name in `/uploads` stands for: `FILE_ID.jpg`, whatever its own kind. Raises: NotFound."""
    return find_file(indexes, dataset, PurePosixPath(file_name).stem)


UploadOf = Annotated[File, Depends(open_upload)]


@router.get("/uploads/{owner}/datasets/{dataset_id}/files/{file_name}")
async def download_file(file: UploadOf, parts: PartsOf) -> Response:
    """The bytes of a picture, as they were imported. Whatever `owner` is named."""
    content = await anyio.to_thread.run_sync(file.dataset.version.blobs.read, file.item.blob, limiter=parts.decoders)
    return Response(content, headers={"Content-Disposition": "attachment"}, media_type="application/octet-stream")


@router.get("/uploads/{owner}/datasets/{dataset_id}/thumbnails/{file_name}")
async def download_thumbnail(file: UploadOf, parts: PartsOf) -> Response:
    """A picture as a JPEG of at most 256 pixels."""
    work = partial(read_and_make, file.dataset, file.item, make_small)
    shown = await anyio.to_thread.run_sync(work, limiter=parts.decoders)
    return Response(shown.content, media_type=shown.media_type)


def make_small(content: bytes, max_pixels: int, name: str) -> ShownPicture:
    """The thumbnail of a picture's file."""
    return make_thumbnail(content, THUMBNAIL_SIZE, max_pixels, name)


def describe_files(parts: Parts, owner: str, dataset: Dataset) -> list[dict[str, Any]]:
    """All pictures of a dataset, as they are answered."""
    birth, ids = read_birth(parts, dataset), CategoryIds(dataset)
    return [
        describe_file(File(dataset, make_file_id(dataset.name, item.file_name, item.blob), item), ids, owner, birth)
        for item in walk_items(dataset)
    ]


def describe_file(file: File, ids: CategoryIds, owner: str, birth: int) -> dict[str, Any]:
    """A picture as it is answered. Args: birth: when its dataset was made, milliseconds."""
    item, dataset = file.item, file.dataset
    whole = find_whole_labels(item.labels)
    category = whole[0].annotation.category if whole else None
    tags: dict[str, int] = {}
    for label in item.labels:
        if label.annotation.geometry != "image":
            tags[label.annotation.category] = tags.get(label.annotation.category, 0) + 1
    return {
        "_id": file.id,
        "dataset_id": make_dataset_id(dataset.name),
        "owner": owner,
        "original_file_name": item.file_name,
        "file_name": f"{file.id}{PurePosixPath(item.file_name).suffix}",
        "file_type": "image",
        "upload_type": "file_upload",
        "created_at": birth,
        "uploaded_at": birth,
        "category_id": None if category is None else ids.find("categories", category),
        "category_name": category,
        "label_type": LABEL_TYPES[item.state],
        "tag_list": [{"tag_id": ids.find("tags", name), "tag_name": name, "tag_count": count} for name, count in tags.items()],
        # IBM's own example of a query asks for `metadata.inspection_date`, which is no fact of a file, but its user's.
        "metadata": {**item.attributes, "width": item.width, "height": item.height},
        "user_metadata": item.attributes,
    }


def find_whole_labels(labels: Sequence[Label]) -> list[Label]:
    """Those that speak of the whole picture."""
    return [label for label in labels if label.annotation.geometry == "image"]


def read_birth(parts: Parts, dataset: Dataset) -> int:
    """When the dataset was made, milliseconds since 1970; what nobody noted of each picture."""
    return read_age(parts.workspace.list("datasets", dataset.name)[0])
