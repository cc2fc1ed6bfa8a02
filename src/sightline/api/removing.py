"""Whole datasets, models, artifacts and reports are removed: into the workspace's trash, from where they can be moved back."""

from typing import Any

from fastapi import APIRouter

from sightline.api import schemas
from sightline.api.job_schemas import ThingName, VersionId
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.api.shelves import FileShelf
from sightline.jobs.removing import Reference, find_dependents, remove_thing

router = APIRouter(prefix="/v1", tags=["Removing"])


@router.get("/datasets/{name}/dependents", response_model=schemas.Dependents)
def list_dataset_dependents(name: ThingName, parts: PartsOf) -> Any:
    """What was made of a dataset; it stays when that is removed."""
    return {"dependents": find_dependents(parts.workspace, Reference(shelf="datasets", thing=name))}


@router.delete("/datasets/{name}", response_model=schemas.Removal)
def remove_dataset(name: ThingName, parts: PartsOf, person: PersonOf) -> Any:
    """Move a dataset with all its versions to the trash, its edits frozen before. Refused while a job works on it."""
    return remove(parts, Reference(shelf="datasets", thing=name), person.name)


@router.get("/{shelf}/{name}/{thing_id}/dependents", response_model=schemas.Dependents)
def list_dependents(shelf: FileShelf, name: ThingName, thing_id: VersionId, parts: PartsOf) -> Any:
    """What was made of a Model, Artifact or Report; it stays when that is removed."""
    return {"dependents": find_dependents(parts.workspace, Reference(shelf=shelf, thing=f"{name}@{thing_id}"))}


@router.delete("/{shelf}/{name}/{thing_id}", response_model=schemas.Removal)
def remove_made(shelf: FileShelf, name: ThingName, thing_id: VersionId, parts: PartsOf, person: PersonOf) -> Any:
    """Move a Model, Artifact or Report to the trash. Refused while a job works on it."""
    return remove(parts, Reference(shelf=shelf, thing=f"{name}@{thing_id}"), person.name)


def remove(parts: Parts, reference: Reference, author: str) -> dict[str, Any]:
    """Remove something, and say where it lies now, below the workspace."""
    gone = remove_thing(parts.workspace, reference, author, parts.store, parts.jobs.store)
    root = parts.workspace.root
    return {"trash": gone.trash.relative_to(root).as_posix(), "place": gone.place.relative_to(root).as_posix()}
