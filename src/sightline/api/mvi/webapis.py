"""`/api/webapis`: our Deployments, and the jobs that compile a Model and deploy it."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer, fit_name, read_moment
from sightline.api.mvi.dltasks import find_usage
from sightline.api.mvi.identifiers import make_id
from sightline.api.mvi.queries import PagingOf
from sightline.api.mvi.trained_models import FoundModel, find_model, make_model_id, walk_models
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.core.errors import InvalidInput, NotFound, SightlineError, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest, compute_manifest_id
from sightline.core.workspace import ID_LENGTH
from sightline.serving.deployments import find_deployment, list_names, remove_deployment
from sightline.store.jobs import MAX_PAGE, Job

COMPILE = "compile"
READY, STARTING, FAILED = "ready", "starting", "failed"
# accel_type: our device and precision. Floats are let through without a look at pictures, so they never fail a gate.
ACCELERATORS: dict[str, tuple[str, str]] = {
    "CPU": ("cpu", "fp32"),
    "GPU": ("cuda", "fp32"),
    "GPU_TENSORRT": ("cuda", "fp16"),
    "FPGA_XFDNN_8_BIT": ("fpga-emulator", "int8"),
    "FPGA_XFDNN_16_BIT": ("fpga-emulator", "int16"),
}
INTEGERS = ("int8", "int16")

router = APIRouter(prefix="/webapis")


@router.get("")
def list_webapis(parts: PartsOf, person: PersonOf, paging: PagingOf) -> Response:
    """Every Deployment, and what is being compiled to become one, or failed to."""
    return answer(paging.cut(list(describe_all(parts, person.name).values())))


@router.post("")
def create_webapi(parts: PartsOf, person: PersonOf, body: bodies.Publishing) -> Response:
    """Compile a Model and deploy it, as one job. A name that answers already goes on, and is taken over then.

    `accel_type`: `CPU` is FP32 on the CPU, `GPU` FP32 and `GPU_TENSORRT` FP16 on an NVIDIA GPU, `FPGA_XFDNN_8_BIT` and
    `FPGA_XFDNN_16_BIT` our emulated FPGA. Without one it is the GPU where there is one, else the CPU. INT8 on CPUs, which must
    prove itself, is compiled in the web app. Refused: scripts and `save_inference`.
    """
    if body.dnnscript_id or body.userdnn_id or body.save_inference:
        raise Unsupported("scripts are not run and pictures not saved here; leave dnnscript_id, userdnn_id, save_inference out")
    found = find_model(parts, body.trained_model_id)
    name = fit_name(body.name)
    device, precision = choose_accelerator(parts, body.accel_type)
    arguments = {"model": found.reference, "device": device, "precision": precision, "name": name, "deploy": name}
    if precision in INTEGERS:
        arguments["dataset"] = find_pictures(parts, found)
    parts.jobs.submit(COMPILE, arguments, person.name)
    return answer({"webAPIId": make_webapi_id(name), **find_webapi(parts, person.name, make_webapi_id(name)), **SUCCESS})


@router.get("/{webapi_id}")
def read_webapi(parts: PartsOf, person: PersonOf, webapi_id: str) -> Response:
    """One Deployment. `status` is starting, ready or failed (`fault` says why)."""
    return answer(find_webapi(parts, person.name, webapi_id))


@router.delete("/{webapi_id}")
def delete_webapi(parts: PartsOf, person: PersonOf, webapi_id: str) -> Response:
    """Remove a Deployment, or cancel the job that was to make it. The Artifact stays on its shelf."""
    name = find_webapi(parts, person.name, webapi_id)["name"]
    job = find_jobs(parts).get(name)
    if job is not None and not job.has_ended:
        parts.jobs.cancel(job.id)
    if name in list_names(parts.workspace.deployments):
        remove_deployment(name, parts.workspace.deployments)
    return answer(SUCCESS)


def make_webapi_id(name: str) -> str:
    """The id of a Deployment, also of one that is to be."""
    return make_id("webapis", name)


def choose_accelerator(parts: Parts, accel_type: str | None) -> tuple[str, str]:
    """The device and precision. Raises: InvalidInput for an unknown word; Unsupported where no GPU is."""
    has_gpu = bool(parts.jobs.gpus)
    if not accel_type:
        return ACCELERATORS["GPU" if has_gpu else "CPU"]
    if accel_type not in ACCELERATORS:
        raise InvalidInput(f"expected an accel_type of {', '.join(ACCELERATORS)}, got {accel_type[:40]!r}; choose one of these")
    device, precision = ACCELERATORS[accel_type]
    if device == "cuda" and not has_gpu:
        raise Unsupported("no NVIDIA GPU is here; deploy with the accel_type CPU, or leave it out")
    return device, precision


def find_pictures(parts: Parts, found: FoundModel) -> str:
    """The dataset version that a Model learned from, to calibrate on. Raises: NotFound where it is gone."""
    wanted = (found.manifest.dataset_version or "")[:ID_LENGTH]
    for name in parts.workspace.names("datasets"):
        if wanted and any(folder.name == wanted for folder in parts.workspace.list("datasets", name)):
            return f"{name}@{wanted}"
    raise NotFound(
        "the pictures that the model learned from are not here, and integers are calibrated on them; use another type"
    )


def find_jobs(parts: Parts) -> dict[str, Job]:
    """The newest job that deploys under each name, of the newest 200 that compile."""
    jobs: dict[str, Job] = {}
    for job in parts.jobs.store.list(kind=COMPILE, limit=MAX_PAGE).jobs:
        if (name := job.arguments.get("deploy")) is not None:
            jobs.setdefault(name, job)
    return jobs


def find_webapi(parts: Parts, owner: str, webapi_id: str) -> dict[str, Any]:
    """The Deployment of an id, as it is answered. Raises: NotFound."""
    for name, row in describe_all(parts, owner).items():
        if make_webapi_id(name) == webapi_id:
            return row
    raise NotFound(f"Could not find webapi {webapi_id[:100]}; GET /api/webapis lists those there are")


def describe_all(parts: Parts, owner: str) -> dict[str, dict[str, Any]]:
    """Every Deployment by name, with those that are being made, or whose making failed."""
    models = {compute_manifest_id(found.manifest): found for found in walk_models(parts)}
    jobs = find_jobs(parts)
    rows: dict[str, dict[str, Any]] = {}
    for name in list_names(parts.workspace.deployments):
        try:
            rows[name] = describe_deployment(parts, name, owner, models)
        except SightlineError:  # GET /v1/deployments says what is wrong with it
            continue
    for name, job in jobs.items():
        if name not in rows and job.state not in ("succeeded", "cancelled"):  # else it was removed since
            rows[name] = describe_making(parts, name, job)
        elif name in rows and not job.has_ended:
            rows[name]["status"] = STARTING
    return rows


def find_answering(parts: Parts, webapi_id: str) -> str | None:
    """The name of the Deployment of an id; None where none answers, perhaps not yet."""
    names = list_names(parts.workspace.deployments)
    return next((name for name in names if make_webapi_id(name) == webapi_id), None)


def describe_deployment(parts: Parts, name: str, owner: str, models: dict[str, FoundModel]) -> dict[str, Any]:
    """A Deployment as it is answered."""
    deployment = find_deployment(parts.workspace.deployments, name)
    artifact = deployment.artifact
    model = models.get(artifact.model_id)
    kinds = {kind: accelerator for accelerator, kind in ACCELERATORS.items()}
    fallback = next((accelerator for accelerator, (device, _) in ACCELERATORS.items() if device == artifact.device), "CPU")
    return {
        "_id": make_webapi_id(name),
        "name": name,
        "usage": find_usage(artifact.task),
        "nn_arch": None if model is None else model.manifest.network,
        "status": READY,
        "owner": owner,
        "trained_model_id": None if model is None else model.id,
        "accel_type": kinds.get((artifact.device, artifact.precision), fallback),
        "precision": artifact.precision,
        "categories": list(artifact.categories),
        "created_at": read_moment(deployment.manifest.created_at),
    }


def describe_making(parts: Parts, name: str, job: Job) -> dict[str, Any]:
    """What a Deployment is answered as before it is there."""
    kinds = {kind: accelerator for accelerator, kind in ACCELERATORS.items()}
    row: dict[str, Any] = {
        "_id": make_webapi_id(name),
        "name": name,
        "status": FAILED if job.state == "failed" else STARTING,
        "owner": job.author,
        "accel_type": kinds.get((job.arguments["device"], job.arguments["precision"])),
        "precision": job.arguments["precision"],
        "created_at": read_moment(job.created_at),
        **({"fault": job.error} if job.error else {}),
    }
    try:
        folder = parts.workspace.find("models", job.arguments["model"])
        manifest = read_manifest(folder, ModelManifest)
    except SightlineError:  # it is gone
        return row | {"usage": None, "nn_arch": None, "trained_model_id": None}
    return row | {
        "usage": find_usage(manifest.task),
        "nn_arch": manifest.network,
        "trained_model_id": make_model_id(folder),
    }
