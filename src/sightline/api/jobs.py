"""`/v1/train`, `/compile`, `/deploy`, `/measure`, `/annotate`, which make jobs, and `/v1/jobs`, which tells of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query

from sightline.api import job_schemas as schemas
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import Person, PersonOf
from sightline.api.schemas import MOST
from sightline.core.errors import InvalidInput
from sightline.jobs.kinds.table import load_kind
from sightline.store.jobs import MAX_PAGE, Job

LOG_PART = 256 << 10  # bytes of the log in one answer
KeyOf = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A random name of this request: sent again with it, it makes no second job.",
    ),
]

router = APIRouter(tags=["Jobs"])


@router.post("/v1/train", status_code=202, response_model=schemas.Job)
def train(request: schemas.Train, parts: PartsOf, person: PersonOf, key: KeyOf = None) -> Any:
    """Train a Model on a dataset, whose labels are frozen first."""
    arguments = request.model_dump(exclude={"version"})
    if request.version is not None:
        arguments["dataset"] += f"@{request.version}"
    return submit(parts, person, "train", arguments, key)


@router.post("/v1/compile", status_code=202, response_model=schemas.Job)
def compile_artifact(request: schemas.Compile, parts: PartsOf, person: PersonOf, key: KeyOf = None) -> Any:
    """Compile a Model for a device into an Artifact."""
    return submit(parts, person, "compile", request.model_dump(), key)


@router.post("/v1/deploy", status_code=202, response_model=schemas.Job)
def deploy(request: schemas.Deploy, parts: PartsOf, person: PersonOf, key: KeyOf = None) -> Any:
    """Have an Artifact answer under a name."""
    return submit(parts, person, "deploy", request.model_dump(), key)


@router.post("/v1/measure", status_code=202, response_model=schemas.Job)
def measure(request: schemas.Measure, parts: PartsOf, person: PersonOf, key: KeyOf = None) -> Any:
    """Measure accuracy and speed into a Report."""
    return submit(parts, person, "measure", request.model_dump(), key)


@router.post("/v1/annotate", status_code=202, response_model=schemas.Job)
def annotate(request: schemas.Annotate, parts: PartsOf, person: PersonOf, key: KeyOf = None) -> Any:
    """Propose labels for the pictures that no person looked at."""
    return submit(parts, person, "annotate", request.model_dump(by_alias=True), key)


@router.get("/v1/jobs", response_model=schemas.Jobs)
def list_jobs(
    parts: PartsOf,
    state: schemas.JobState | None = None,
    kind: schemas.JobKind | None = None,
    cursor: Annotated[
        int | None, Query(ge=1, le=MOST, description="A page's `next_cursor`; by default the newest job.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Any:
    """Jobs, the newest first."""
    page = parts.jobs.store.list(state, kind, cursor, limit)
    return {"jobs": [describe_job(job) for job in page.jobs], "next_cursor": page.next_cursor}


@router.get("/v1/jobs/{job_id}", response_model=schemas.Job)
def read_job(job_id: str, parts: PartsOf) -> Any:
    """One job."""
    return describe_job(parts.jobs.store.read(job_id))


@router.post("/v1/jobs/{job_id}/cancel", status_code=202, response_model=schemas.Job)
def cancel_job(job_id: str, parts: PartsOf) -> Any:
    """End a job within seconds and keep nothing; one that waits is gone at once."""
    return describe_job(parts.jobs.cancel(job_id))


@router.post("/v1/jobs/{job_id}/stop", status_code=202, response_model=schemas.Job)
def stop_job(job_id: str, parts: PartsOf) -> Any:
    """End a training early and keep its best weights."""
    return describe_job(parts.jobs.stop(job_id))


@router.get("/v1/jobs/{job_id}/log", response_model=schemas.JobLog)
def read_log(job_id: str, parts: PartsOf, offset: Annotated[int, Query(ge=0)] = 0) -> Any:
    """What the job's process printed, from a place on."""
    has_ended = parts.jobs.store.read(job_id).has_ended  # before the file is read: what came in between comes next time
    text, offset, is_rest = parts.jobs.folder(job_id).read_log(offset, LOG_PART)
    return {"text": text, "offset": offset, "has_ended": has_ended and is_rest}


@router.get("/v1/jobs/{job_id}/progress", response_model=schemas.JobProgress)
def read_progress(job_id: str, parts: PartsOf) -> Any:
    """Everything a job told so far, for its curve."""
    parts.jobs.store.read(job_id)
    return {"events": parts.jobs.folder(job_id).read_events()}


def submit(parts: Parts, person: Person, kind: str, arguments: dict[str, Any], key: str | None) -> Any:
    """Put a job into the queue. Raises: what the verb would raise for these arguments."""
    if key is not None and not key.isascii():
        raise InvalidInput(f"expected an Idempotency-Key of ASCII characters, got {key!r}; make a random one")
    return describe_job(parts.jobs.submit(kind, arguments, person.name, key))


def describe_job(job: Job) -> dict[str, Any]:
    """A job as it stands on the wire."""
    can_stop = job.state == "running" and job.progress > 0 and job.asked is None and load_kind(job.kind).can_stop
    return {**{name: getattr(job, name) for name in job.__struct_fields__}, "can_stop": can_stop}
