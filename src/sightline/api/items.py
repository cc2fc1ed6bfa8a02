"""`/v1/datasets/{name}/items`: which pictures there are, their labels, and the edits that change these."""

from functools import partial
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Path, Query, Request
from msgspec.structs import replace

from sightline.api import schemas
from sightline.api.parts import DatasetOf, PartsOf
from sightline.api.people import Person, PersonOf
from sightline.api.uploads import MORE_PICTURES, receive_pictures
from sightline.core.annotations import Annotation
from sightline.data.editing import Operation, Put
from sightline.store.datasets import MAX_PAGE, Dataset, ItemChanges

PositionOf = Annotated[int, Path(ge=0, le=schemas.MOST, description="Place of the picture in the dataset, from 0.")]

WRITTEN = ("revision", "state", "annotation_count", "seen_by")

router = APIRouter(prefix="/v1/datasets/{name}/items", tags=["Pictures"])


@router.get("", response_model=schemas.Items)
def list_items(
    dataset: DatasetOf,
    state: Annotated[schemas.ItemState | None, Query(description="Only pictures in this state.")] = None,
    category: Annotated[str | None, Query(description="Only pictures with a label of this category.")] = None,
    split: Annotated[str | None, Query(description="Only pictures of this split; `unsplit` for those without one.")] = None,
    search: Annotated[
        str | None, Query(max_length=200, description="Only pictures whose file name holds this, whatever its case.")
    ] = None,
    video: Annotated[str | None, Query(description="Only frames of this video.")] = None,
    cursor: Annotated[
        int, Query(ge=0, le=schemas.MOST, description="Where the page begins: `next_cursor` of the one before.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most pictures of the page.")] = 100,
) -> Any:
    """A page of the pictures that the filter lets through, in the dataset's order."""
    return dataset.list_items(
        state=state, category=category, split=split, search=search, video=video, cursor=cursor, limit=limit
    )


@router.post("", status_code=201, response_model=schemas.Addition, openapi_extra=MORE_PICTURES)
async def add_items(request: Request, dataset: DatasetOf, parts: PartsOf, person: PersonOf) -> Any:
    """Add pictures, or those of one archive with their labels, in a new version; other parts come before the files."""
    return await receive_pictures(request, parts, dataset, person.name)


@router.post("/remove", response_model=schemas.Revised)
async def remove_items(dataset: DatasetOf, parts: PartsOf, person: PersonOf, chosen: schemas.Chosen) -> Any:
    """Leave pictures out of a new version; earlier versions keep them. If one is another by now, nothing is changed."""
    work = partial(revise, dataset, ItemChanges(removed=chosen.by_position()), person)
    return await anyio.to_thread.run_sync(work, limiter=parts.revising)


@router.post("/move", response_model=schemas.Revised)
async def move_items(dataset: DatasetOf, parts: PartsOf, person: PersonOf, moving: schemas.Moving) -> Any:
    """Put pictures into a split, in a new version. If one is another by now, nothing is changed."""
    work = partial(revise, dataset, ItemChanges(moved=moving.by_position(), split=moving.split), person)
    return await anyio.to_thread.run_sync(work, limiter=parts.revising)


@router.get("/{position}", response_model=schemas.LabelledItem, response_model_exclude_defaults=True)
def read_item(dataset: DatasetOf, position: PositionOf) -> Any:
    """A picture with its labels and attributes."""
    return dataset.read_item(position)


@router.post(
    "/{position}/edits",
    response_model=schemas.WrittenEdit,
    response_model_exclude_defaults=True,
    responses={409: {"model": schemas.StaleProblem, "description": "The picture was edited meanwhile"}},
)
def append_edit(dataset: DatasetOf, person: PersonOf, position: PositionOf, edit: schemas.Edit) -> Any:
    """Change the labels and attributes of a picture. Sent again under the same `edit_id` it changes nothing more."""
    operations = msgspec.convert(edit.model_dump()["operations"], list[Operation])
    item = dataset.append_edit(position, edit.edit_id, edit.revision, operations, person.name, blob=edit.blob)
    sent = {operation.id: operation.annotation for operation in operations if isinstance(operation, Put)}
    cleaned = [label for label in item.labels if label.id in sent and is_cleaned(sent[label.id], label.annotation)]
    return {**{name: getattr(item, name) for name in WRITTEN}, "cleaned": cleaned}


def is_cleaned(sent: Annotation, kept: Annotation) -> bool:
    """Whether an annotation is kept otherwise than it was sent; that an outline was given the box around it is no news."""
    has_outline = sent.box_xyxy is None and (sent.polygons is not None or sent.mask is not None)
    return sent != (replace(kept, box_xyxy=None) if has_outline else kept)


@router.get("/{position}/edits", response_model=schemas.History)
def read_history(dataset: DatasetOf, position: PositionOf) -> Any:
    """The edits of a picture."""
    return {"edits": dataset.read_history(position)}


@router.post("/{position}/restore", response_model=schemas.LabelledItem, response_model_exclude_defaults=True)
def restore_item(dataset: DatasetOf, person: PersonOf, position: PositionOf, restoring: schemas.Restoring) -> Any:
    """Bring back the labels and attributes of an earlier revision, as one more edit."""
    return dataset.restore(position, restoring.revision, restoring.edit_id, person.name, blob=restoring.blob)


def revise(dataset: Dataset, changes: ItemChanges, person: Person) -> dict[str, Any]:
    """Change which pictures there are, and say how many changed and what the dataset is then."""
    revised = dataset.revise(changes, person.name)
    return {"dataset": dataset.summarise(), "removed": revised.removed, "moved": revised.moved}
