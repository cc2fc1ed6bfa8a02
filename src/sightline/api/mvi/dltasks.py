"""`/api/dltasks`: trainings, which are our jobs that train.

Words of the original stand for our tasks and dials: `cic` classifies whole pictures, `cod` finds objects, and the outlines of
objects, where `nn_arch` or `segmentation_flag` asks for them, are learned as a mask of each.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer, fit_name, read_moment
from sightline.api.mvi.identifiers import make_id
from sightline.api.mvi.lookup import find_dataset, make_dataset_id
from sightline.api.mvi.queries import PagingOf, read_number
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.core.errors import Conflict, InvalidInput, NotFound, Unsupported
from sightline.data.splits import SPLIT_NAMES
from sightline.store.datasets import DatasetSummary
from sightline.store.jobs import MAX_PAGE, Job

TRAIN = "train"
STATUSES = {
    "queued": "scheduled",
    "waiting_for_device": "scheduled",
    "running": "training",
    "succeeded": "trained",
    "failed": "failed",
    "cancelled": "aborted",
}
PATIENCE = 3  # validations without a better metric, of 10 over the whole budget


class Architecture(NamedTuple):
    """What a word of the original stands for."""

    task: str
    model: str


USAGES = {"cic": Architecture("classification", "fast"), "cod": Architecture("detection", "accurate")}
NN_ARCHS = {
    "frcnn": Architecture("detection", "accurate"),
    "tiny_yolo_v2": Architecture("detection", "fast"),
    "ssd": Architecture("detection", "fast"),
    "frcnn_mrcnn": Architecture("instance", "fast"),
}
NN_ARCH_OF = {
    Architecture("detection", "accurate"): "frcnn",
    Architecture("detection", "fast"): "tiny_yolo_v2",
    Architecture("instance", "fast"): "frcnn_mrcnn",
}

router = APIRouter(prefix="/dltasks")


@router.get("")
def list_tasks(parts: PartsOf, paging: PagingOf, status: str | None = None, pg_id: str | None = None) -> Response:
    """Trainings: jobs that train, those of the web app, too. `pg_id` finds none: there are no project groups."""
    rows = [describe_task(job) for job in walk_trainings(parts)] if not pg_id else []
    return answer(paging.cut([row for row in rows if status in (None, row["status"])]))


@router.post("")
def create_task(parts: PartsOf, person: PersonOf, body: bodies.Training) -> Response:
    """Train: `cic` a classifier, `cod` a detector or, as `frcnn_mrcnn` or with `segmentation_flag`, masks of objects.

    The labels as they are now are frozen first. `frcnn` (the default) is our dial `accurate`, `ssd` and `tiny_yolo_v2` are
    `fast`; another `nn_arch` is taken for the name of one of our networks. The strategy's `iterations` or `max_iter` count, and
    `autoearlystop_flag`. Passed over are `ratio`, since datasets have splits, and rates, momentum and decay, which mean
    little to our optimisers. Refused: `act`, scripts, start weights, and a dataset without labels.
    """
    dataset = find_dataset(parts, body.dataset_id)
    architecture = choose_architecture(body)
    summary = dataset.summarise()
    if not any(summary.annotation_counts.values()):
        raise Conflict(f"expected labels in {dataset.name!r} to train on, got none; label some pictures first")
    arguments: dict[str, Any] = {
        "dataset": dataset.name,
        "name": fit_name(body.name),
        **architecture._asdict(),
        **read_strategy(body.strategy or {}, summary),
    }
    job = parts.jobs.submit(TRAIN, arguments, person.name)
    return answer({"task_id": make_task_id(job), **SUCCESS})


@router.get("/{task_id}")
def read_task(parts: PartsOf, task_id: str) -> Response:
    """One training. `status` is scheduled, training, trained, failed (`fault` says why) or aborted."""
    return answer(describe_task(find_task(parts, task_id)))


@router.delete("/{task_id}")
def delete_task(parts: PartsOf, task_id: str) -> Response:
    """Cancel a training that waits or runs; forget one that has ended. Its model stays."""
    job = find_task(parts, task_id)
    if job.has_ended:
        parts.jobs.remove(job.id)
    else:
        parts.jobs.cancel(job.id)
    return answer(SUCCESS)


@router.get("/{task_id}/status")
def read_status(parts: PartsOf, task_id: str) -> Response:
    """What a training told so far, in at most 500 messages."""
    job = find_task(parts, task_id)
    messages = [
        {"timestamp": int(event.at * 1000), "stage": event.stage, "progress": event.progress, "text": event.message}
        | event.metrics
        for event in parts.jobs.folder(job.id).read_events()
    ]
    return answer({**describe_task(job), "messages": messages})


@router.get("/{task_id}/action")
def act_on_task(parts: PartsOf, task_id: str, body: bodies.Action) -> Response:
    """`stop`: end a training early and keep its best weights. No other action. The body comes with a GET."""
    if body.action != "stop":
        raise InvalidInput(f"expected the action stop, got {body.action[:40]!r}; no other is known")
    parts.jobs.stop(find_task(parts, task_id).id)
    return answer(SUCCESS)


def make_task_id(job: Job) -> str:
    """The id of a training."""
    return make_id("dltasks", job.id)


def walk_trainings(parts: Parts) -> Iterator[Job]:
    """All trainings that are kept, the newest first."""
    cursor: int | None = None
    while True:
        page = parts.jobs.store.list(kind=TRAIN, cursor=cursor, limit=MAX_PAGE)
        yield from page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def find_task(parts: Parts, task_id: str) -> Job:
    """The training of an id. Raises: NotFound."""
    for job in walk_trainings(parts):
        if make_task_id(job) == task_id:
            return job
    raise NotFound(f"Could not find dltask {task_id[:100]}; GET /api/dltasks lists those that are kept")


def choose_architecture(body: bodies.Training) -> Architecture:
    """What shall be trained. Raises: Unsupported for what is not there; InvalidInput for an unknown usage."""
    if body.usage == "act":
        raise Unsupported("there is no detection of actions in videos; train on single frames with the usage cod")
    if body.userdnn_id or body.pretrained_model:
        raise Unsupported("scripts and start weights of others are not run here; leave userdnn_id and pretrained_model out")
    if body.usage not in USAGES:
        raise InvalidInput(f"expected the usage cic or cod, got {body.usage[:40]!r}; choose one of these")
    default = USAGES[body.usage]
    if default.task == "detection" and read_number((body.strategy or {}).get("segmentation_flag")):
        return NN_ARCHS["frcnn_mrcnn"]
    chosen = NN_ARCHS.get(body.nn_arch or "", Architecture(default.task, body.nn_arch or default.model))
    if (default.task == "classification") != (chosen.task == "classification"):
        raise InvalidInput(f"expected a nn_arch that classifies whole pictures, got {body.nn_arch}; leave it out")
    return chosen


def read_strategy(strategy: dict[str, Any], summary: DatasetSummary) -> dict[str, Any]:
    """The arguments of a training that a strategy and the dataset's splits make. Raises: InvalidInput."""
    arguments: dict[str, Any] = {"set": {}}
    given = strategy.get("iterations", strategy.get("max_iter"))
    if given is not None:
        iterations = read_number(given)
        if iterations is None or iterations < 1 or iterations % 1:
            raise InvalidInput(f"expected a whole number of iterations from 1 on, got {given!r}; mend it")
        arguments["budget"] = f"{int(iterations)}it"
    validation = SPLIT_NAMES[1]
    if validation not in summary.splits:
        arguments["set"]["validation_split"] = None
    elif read_number(strategy.get("autoearlystop_flag")):
        arguments["set"]["patience"] = PATIENCE
    return arguments


def find_usage(task: str) -> str:
    """The original's word for a task."""
    return "cic" if task in ("classification", "multilabel") else "cod"


def describe_task(job: Job) -> dict[str, Any]:
    """A training as it is answered."""
    task, model = job.arguments["task"], job.arguments["model"]
    dataset = job.arguments["dataset"].partition("@")[0]
    return {
        "_id": make_task_id(job),
        "name": job.arguments["name"],
        "usage": find_usage(task),
        "nn_arch": NN_ARCH_OF.get(Architecture(task, model), model),
        "status": STATUSES[job.state],
        "owner": job.author,
        "dataset_id": make_dataset_id(dataset),
        "project_group_id": None,
        "created_at": read_moment(job.created_at),
        "started_at": read_moment(job.started_at),
        "completed_at": read_moment(job.ended_at),
        "progress": job.progress,
        "remaining_s": job.remaining_s,
        **({"fault": job.error} if job.error else {}),
    }
