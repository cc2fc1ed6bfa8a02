"""`/api/system`, `/version-info`, `/users/{token}` and `/bgtasks`: the server, who asks, and what runs."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from sightline import __version__
from sightline.api.mvi.answers import SUCCESS, answer, read_moment
from sightline.api.mvi.identifiers import make_id
from sightline.api.mvi.lookup import make_dataset_id
from sightline.api.parts import PartsOf
from sightline.api.people import PersonOf
from sightline.core.errors import Unsupported
from sightline.store.jobs import MAX_PAGE, Job

# The original tells only of work, not of what waits.
STATUSES = {"queued": "working", "waiting_for_device": "working", "running": "working", "succeeded": "completed"}

router = APIRouter()


@router.get("/system")
def read_system(parts: PartsOf) -> Response:
    """What this server is, and what it computes on."""
    facts = {"cores": len(parts.jobs.cores), "gpus": len(parts.jobs.gpus)}
    return answer({"product": "Sightline", "version": __version__, **facts, **SUCCESS})


@router.get("/version-info")
def read_version() -> Response:
    """The version of this server; only for those who are let in."""
    return answer({"product": "Sightline", "version": __version__, **SUCCESS})


@router.get("/users/{token}")
def read_user(person: PersonOf, token: str) -> Response:
    """Who asks, whatever token is named."""
    return answer({"username": person.name, "role": person.role, **SUCCESS})


@router.get("/bgtasks")
def list_tasks(parts: PartsOf, person: PersonOf) -> Response:
    """The newest 200 jobs, and each dataset as an import that is completed, under the dataset's id."""
    imports = [
        {"_id": make_dataset_id(name), "type": "import", "status": "completed", "owner": person.name}
        for name in parts.store.names()
    ]
    return answer({"task_list": [*map(describe_task, parts.jobs.store.list(limit=MAX_PAGE).jobs), *imports], **SUCCESS})


@router.delete("/bgtasks")
def forget_tasks() -> Response:
    """Refused: ended jobs are forgotten by themselves, the oldest first; one that runs is cancelled with DELETE /dltasks."""
    raise Unsupported("ended tasks are forgotten by themselves; DELETE /api/dltasks/ID cancels a training that runs")


def describe_task(job: Job) -> dict[str, Any]:
    """A job as it is answered."""
    return {
        "_id": make_id("jobs", job.id),
        "type": job.kind,
        "status": STATUSES.get(job.state, "failed"),
        "owner": job.author,
        "created_at": read_moment(job.created_at),
    }
