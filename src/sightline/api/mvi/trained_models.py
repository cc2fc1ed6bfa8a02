"""`/api/trained-models`: our Models, those that were imported, too."""

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.responses import FileResponse, Response, StreamingResponse

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer, read_moment
from sightline.api.mvi.datasets import NO_PROJECTS
from sightline.api.mvi.dltasks import find_usage, make_task_id, walk_trainings
from sightline.api.mvi.identifiers import make_id
from sightline.api.mvi.lookup import make_dataset_id
from sightline.api.mvi.outbox import Outbox
from sightline.api.mvi.queries import PagingOf
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.api.removing import remove
from sightline.api.shelves import walk
from sightline.core.errors import Conflict, InvalidInput, NotFound, SightlineError, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.workspace import ID_LENGTH
from sightline.jobs.removing import Reference

UNTESTED = "untested"
NO_STATES = "models have no production status here; deploy the one that shall answer, under a name that stays"
GRAPH = "model.onnx"

router = APIRouter(prefix="/trained-models")


class FoundModel(NamedTuple):
    """A Model and where it lies."""

    folder: Path
    manifest: ModelManifest

    @property
    def id(self) -> str:
        """Its id here."""
        return make_model_id(self.folder)

    @property
    def reference(self) -> str:
        """What our verbs call it."""
        return f"{self.folder.parent.name}@{self.folder.name}"


@router.get("")
def list_models(
    parts: PartsOf,
    person: PersonOf,
    paging: PagingOf,
    usage: str | None = None,
    pg_id: str | None = None,
    production_status: str | None = None,
) -> Response:
    """Every Model; those of a task that the original lacks have the usage cod. All are `untested`; `pg_id` finds none."""
    if pg_id or production_status not in (None, UNTESTED):
        return answer([])
    makers = {(job.made["name"], job.made["id"]): job.author for job in walk_trainings(parts) if job.made}
    datasets = name_datasets(parts)
    rows = [
        describe_model(found, makers.get((found.folder.parent.name, found.folder.name), person.name), datasets)
        for found in walk_models(parts)
    ]
    return answer(paging.cut([row for row in rows if usage in (None, row["usage"])]))


@router.get("/{model_id}")
def read_model(parts: PartsOf, person: PersonOf, model_id: str) -> Response:
    """One Model, by its id or by that of the training that made it."""
    return answer(describe_model(find_model(parts, model_id), person.name, name_datasets(parts)))


@router.put("/{model_id}")
def update_model(parts: PartsOf, person: PersonOf, model_id: str, body: bodies.ModelUpdate) -> Response:
    """Nothing can be changed: project groups and a production status are refused."""
    found = find_model(parts, model_id)
    if body.pg_id or body.project_group_id:
        raise Unsupported(NO_PROJECTS)
    if body.production_status not in (None, UNTESTED):
        raise Unsupported(NO_STATES)
    return answer(describe_model(found, person.name, name_datasets(parts)))


@router.delete("/{model_id}")
def delete_model(parts: PartsOf, person: PersonOf, model_id: str) -> Response:
    """Move a Model to the trash, and forget its training; its Deployments go on. Refused while a job works on it."""
    remove_model(parts, find_model(parts, model_id), person.name)
    return answer(SUCCESS)


@router.post("/action")
def act_on_models(parts: PartsOf, person: PersonOf, body: bodies.Action) -> Response:
    """`delete`: as `DELETE` does, each of `model_list`; those that are not there count as failed. No other action."""
    if body.action != "delete":
        raise InvalidInput(f"expected the action delete, got {body.action[:40]!r}; no other is known")
    removed = 0
    for model_id in dict.fromkeys(body.model_list):
        with suppress(NotFound, Conflict):
            remove_model(parts, find_model(parts, model_id), person.name)
            removed += 1
    return answer({"success_count": removed, "fail_count": len(body.model_list) - removed, **SUCCESS})


@router.post("/import")
def import_model() -> Response:
    """Refused: a network of others is run when it is imported, so that a person does it, with `sightline import`."""
    raise Unsupported("networks are imported by `sightline import` on the machine of the server, which runs them")


@router.get("/{model_id}/export")
def export_model(parts: PartsOf, model_id: str) -> StreamingResponse:
    """The Model's folder as a zip: graph, weights, manifest and curve. It is ours, and no original can import it."""
    found = find_model(parts, model_id)
    headers = {"Content-Disposition": f"attachment; filename={found.folder.parent.name}.zip"}
    return StreamingResponse(pack(found.folder), headers=headers, media_type="application/zip")


@router.get("/{model_id}/assets/{asset}/download")
def download_asset(parts: PartsOf, model_id: str, asset: str) -> Response:
    """`onnx`: the graph with its weights. `coreml` and `tensorrt` are refused: convert the ONNX file with their tools."""
    found = find_model(parts, model_id)
    if asset != "onnx":
        raise Unsupported(f"expected the asset onnx, got {asset[:40]}; other tools make theirs of it")
    return FileResponse(found.folder / GRAPH, filename=f"{found.folder.parent.name}.onnx")


def make_model_id(folder: Path) -> str:
    """The id of the Model in a folder of the shelf."""
    return make_id("trained-models", folder.parent.name, folder.name)


def walk_models(parts: Parts) -> Iterator[FoundModel]:
    """Every Model that can be read."""
    for folder, _ in walk(parts, "models"):
        try:
            yield FoundModel(folder, read_manifest(folder, ModelManifest))
        except SightlineError:  # GET /v1/models says what is wrong with it
            continue


def find_model(parts: Parts, model_id: str) -> FoundModel:
    """The Model of an id, or that the training of this id made. Raises: NotFound."""
    for folder, _ in walk(parts, "models"):
        if make_model_id(folder) == model_id:
            return FoundModel(folder, read_manifest(folder, ModelManifest))
    for job in walk_trainings(parts):
        if job.made and make_task_id(job) == model_id:
            folder = parts.workspace.find("models", f"{job.made['name']}@{job.made['id']}")
            return FoundModel(folder, read_manifest(folder, ModelManifest))
    raise NotFound(f"Could not find trainedModel {model_id[:100]}; GET /api/trained-models lists those there are")


def remove_model(parts: Parts, found: FoundModel, author: str) -> None:
    """Move a Model to the trash, and forget the training that made it. Raises: Conflict while a job works on it."""
    remove(parts, Reference(shelf="models", thing=found.reference), author)
    made = found.folder.parent.name, found.folder.name
    for job in list(walk_trainings(parts)):
        if job.made and (job.made["name"], job.made["id"]) == made:
            parts.jobs.remove(job.id)


def name_datasets(parts: Parts) -> dict[str, str]:
    """The dataset of each version, by the version's folder."""
    return {folder.name: folder.parent.name for folder, _ in walk(parts, "datasets")}


def describe_model(found: FoundModel, owner: str, datasets: dict[str, str]) -> dict[str, Any]:
    """A Model as it is answered."""
    manifest = found.manifest
    dataset = datasets.get((manifest.dataset_version or "")[:ID_LENGTH])
    return {
        "_id": found.id,
        "name": found.folder.parent.name,
        "usage": find_usage(manifest.task),
        "nn_arch": manifest.network,
        "status": "trained",
        "production_status": UNTESTED,
        "owner": owner,
        "dataset_id": None if dataset is None else make_dataset_id(dataset),
        "dataset_name": dataset,
        "project_group_id": None,
        "categories": list(manifest.categories),
        "metrics": {name: value for name, value in manifest.metrics.items() if isinstance(value, int | float | str)},
        "created_at": read_moment(manifest.created_at),
    }


def pack(folder: Path) -> Iterator[bytes]:
    """A folder as a zip, a file at a time."""
    outbox = Outbox()
    with zipfile.ZipFile(outbox, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, f"{folder.parent.name}/{path.relative_to(folder)}")
            yield outbox.take()
    yield outbox.take()
