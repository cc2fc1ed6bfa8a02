"""What the original has and Sightline does not: lists of it are empty, and making it is refused, with what to do instead."""

from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from sightline.api.mvi.answers import answer
from sightline.core.errors import Unsupported


class Absent(NamedTuple):
    """A noun that is not there. Attributes: lists: paths that are answered with an empty list; others: all other calls."""

    instead: str
    lists: tuple[str, ...]
    others: tuple[str, ...]


DATASET = "/datasets/{dataset_id}"
FILE = f"{DATASET}/files/{{file_id}}"
ABSENT = (
    Absent(
        "there are no project groups; give names that begin alike",
        ("GET /projects",),
        (
            "POST /projects",
            "GET /projects/{project_id}",
            "PUT /projects/{project_id}",
            "DELETE /projects/{project_id}",
            "GET /projects/{project_id}/models/{model_id}",
            "POST /projects/{project_id}/models/{model_id}/deploy",
            "POST /projects/{project_id}/models/{model_id}/predict",
        ),
    ),
    Absent(
        "there is no detection of actions in videos",
        (f"GET {DATASET}/action-tags", f"GET {DATASET}/action-labels", f"GET {FILE}/action-labels"),
        (
            f"POST {DATASET}/action-tags",
            f"GET {DATASET}/action-tags/{{tag_id}}",
            f"DELETE {DATASET}/action-tags/{{tag_id}}",
            f"POST {FILE}/action-labels",
            f"GET {FILE}/action-labels/{{label_id}}",
            f"PUT {FILE}/action-labels/{{label_id}}",
            f"DELETE {FILE}/action-labels",
            f"DELETE {FILE}/action-labels/{{label_id}}",
            f"PUT {DATASET}/action-labels",
            f"DELETE {DATASET}/action-labels",
            f"GET {DATASET}/action-labels/{{label_id}}",
            f"DELETE {DATASET}/action-labels/{{label_id}}",
        ),
    ),
    Absent(
        "uploads hold no programs that the server would run; bring a network as ONNX with `sightline import`",
        ("GET /dnn-scripts",),
        (
            "POST /dnn-scripts",
            "GET /dnn-scripts/{script_id}",
            "PUT /dnn-scripts/{script_id}",
            "DELETE /dnn-scripts/{script_id}",
        ),
    ),
    Absent(
        "there are no connected devices; `sightline serve` reads cameras, and the repository is copied to other machines",
        ("GET /connections/devices",),
        (
            "POST /connections/devices",
            "GET /connections/devices/{name}",
            "PUT /connections/devices/{name}",
            "DELETE /connections/devices/{name}",
            "GET /connections/devices/{name}/status",
        ),
    ),
    Absent(
        "every picture is answered at once; `sightline predict` and streams of `sightline serve` read videos",
        ("GET /inferences",),
        ("GET /inferences/{inference_id}", "DELETE /inferences/{inference_id}"),
    ),
    Absent(
        "everybody makes keys of their own, on the page Settings of the web app",
        (),
        ("GET /api-keys", "POST /api-keys", "DELETE /api-keys"),
    ),
    Absent("there is no stream of all events; GET /v1/jobs/ID/events tells how a job goes on", (), ("GET /events",)),
)

router = APIRouter()


def tell_none(instead: str) -> Callable[[], Response]:
    """A handler of a list of which there is nothing."""

    def handle() -> Response:
        return answer([])

    handle.__doc__ = f"Always empty: {instead}."
    return handle


def refuse(instead: str) -> Callable[[], Response]:
    """A handler that says what to do instead."""

    def handle() -> Response:
        raise Unsupported(f"this server cannot do that: {instead}")

    handle.__doc__ = f"Not supported: {instead}."
    return handle


def add_routes() -> None:
    """A route for every call of the table."""
    for absent in ABSENT:
        for call in absent.lists:
            method, path = call.split()
            router.add_api_route(path, tell_none(absent.instead), methods=[method])
        for call in absent.others:
            method, path = call.split()
            router.add_api_route(path, refuse(absent.instead), methods=[method])


add_routes()
