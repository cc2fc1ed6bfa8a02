"""`/api/datasets`: our datasets under ids."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer, fit_name, read_age
from sightline.api.mvi.lookup import DatasetOf, make_dataset_id
from sightline.api.mvi.queries import PagingOf
from sightline.api.mvi.receiving import import_archive
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import Person, PersonOf
from sightline.api.removing import remove
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput, SightlineError, Unsupported
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.jobs.removing import Reference
from sightline.store.datasets import Dataset
from sightline.store.settling import freeze_rest

NO_PROJECTS = "there are no project groups here; leave project_group_id empty"

router = APIRouter(prefix="/datasets")


@router.get("")
def list_datasets(parts: PartsOf, person: PersonOf, paging: PagingOf, pg_id: str | None = None) -> Response:
    """Every dataset of the workspace. `pg_id` finds none: there are no project groups."""
    rows = []
    for name in parts.store.names() if not pg_id else ():
        try:
            rows.append(describe_dataset(person, parts, parts.store.open(name)))
        except SightlineError:  # one that is damaged does not hide the others; GET /v1/datasets says what is wrong
            continue
    return answer(paging.cut(rows))


@router.post("")
def create_dataset(body: bodies.Named, parts: PartsOf) -> Response:
    """A new dataset without pictures. Its name is made fit for ours, and must be new. `purpose` is passed over."""
    name = claim_and_write(parts, fit_name(body.name), None)
    return answer({"dataset_id": make_dataset_id(name), **SUCCESS})


@router.post("/import")
async def import_dataset(request: Request, parts: PartsOf) -> Response:
    """A dataset from an archive: the original's export, or any format of an upload. It is whole when this answers."""
    name = await import_archive(request, parts)
    return answer({"dataset_id": make_dataset_id(name), **SUCCESS})


@router.get("/{dataset_id}")
def read_dataset(dataset: DatasetOf, parts: PartsOf, person: PersonOf) -> Response:
    """One dataset."""
    return answer(describe_dataset(person, parts, dataset))


@router.put("/{dataset_id}")
def update_dataset(dataset: DatasetOf, parts: PartsOf, person: PersonOf, body: bodies.DatasetUpdate) -> Response:
    """Nothing can be changed: other names and project groups are refused, `purpose` is passed over."""
    if body.project_group_id:
        raise Unsupported(NO_PROJECTS)
    if body.name is not None and body.name != dataset.name:
        raise Unsupported(f"a dataset keeps its name, {dataset.name!r}; clone it under another one")
    return answer(describe_dataset(person, parts, dataset) | SUCCESS)


@router.delete("/{dataset_id}")
def delete_dataset(dataset: DatasetOf, parts: PartsOf, person: PersonOf) -> Response:
    """Move the dataset to the workspace's trash. Refused while a job works on it."""
    remove(parts, Reference(shelf="datasets", thing=dataset.name), person.name)
    return answer(SUCCESS)


@router.post("/{dataset_id}/action")
def act_on_dataset(dataset: DatasetOf, parts: PartsOf, person: PersonOf, body: bodies.Action) -> Response:
    """`clone`: a dataset of the same pictures and labels, whose labels are frozen for it. No other action."""
    if body.action != "clone" or not body.name:
        raise InvalidInput(f"expected the action clone with a name, got {body.action[:40]!r}; no other is known")
    name = fit_name(body.name)
    freeze_rest(dataset, person.name)
    claim_and_write(parts, name, dataset.version)
    return answer({"dataset_id": make_dataset_id(name), **SUCCESS})


def claim_and_write(parts: Parts, name: str, origin: DatasetVersion | None) -> str:
    """Make a dataset of a name. Args: origin: whose pictures and labels it has; None: none. Raises: Conflict."""
    with parts.claim(name):
        if name in parts.store.names():
            raise Conflict(f"there is a dataset {name!r} already; choose another name")
        categories = Categories(()) if origin is None else Categories(origin.manifest.categories)
        source: dict[str, Any] = {"made_by": "up"} if origin is None else {"made_by": "clone", "parents": [origin.id]}
        unlabelled = "background" if origin is None else origin.manifest.unlabelled_pixels
        with VersionWriter(parts.workspace, name, categories, unlabelled_pixels=unlabelled, source=source) as writer:
            for item in () if origin is None else origin.items():
                writer.add(item)
            writer.close()
    return name


def describe_dataset(person: Person, parts: Parts, dataset: Dataset) -> dict[str, Any]:
    """A dataset as it is answered."""
    summary = dataset.summarise()
    folders = parts.workspace.list("datasets", dataset.name)
    return {
        "_id": make_dataset_id(dataset.name),
        "name": dataset.name,
        "owner": person.name,
        "usage": "generic",
        "type": 0,
        "project_group_id": None,
        "total_file_count": summary.item_count,
        "created_at": read_age(folders[0]),
        "updated_at": read_age(folders[-1]),
    }
