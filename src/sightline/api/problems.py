"""Errors on the wire: every refusal is `application/problem+json` (RFC 9457), as the inference server's are."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sightline.api.schemas import LabelledItem
from sightline.core.errors import SightlineError
from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST, INTERNAL_ERROR, describe_error, make_problem
from sightline.serving.http.refusals import Refusal, answer_refusal_error
from sightline.store.datasets import StaleRevision

INVALID = "InvalidInput"
MOST_FAULTS = 3
LONGEST_VALUE = 100
INTERNAL = 500


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem; what nobody raised on purpose goes on to the server's log."""
    app.add_exception_handler(StaleRevision, answer_stale)
    app.add_exception_handler(SightlineError, answer_refusal)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(HTTPException, answer_status)
    app.add_exception_handler(Refusal, answer_refusal_error)
    app.add_exception_handler(ClientDisconnect, answer_nobody)
    app.add_exception_handler(Exception, answer_failure)


def answer_refusal(request: Request, error: Exception) -> Response:
    """An error that was raised on purpose."""
    assert isinstance(error, SightlineError)
    return describe_error(error)


def answer_stale(request: Request, error: Exception) -> Response:
    """An edit of labels that were changed meanwhile: the answer holds how they are now."""
    assert isinstance(error, StaleRevision)
    response = describe_error(error)
    present = LabelledItem.model_validate(error.present).model_dump(mode="json", exclude_defaults=True)
    response.body = msgspec.json.encode({**msgspec.json.decode(response.body), "present": present})
    response.headers["content-length"] = str(len(response.body))
    return response


def answer_invalid(request: Request, error: Exception) -> Response:
    """A request that does not follow its schema."""
    assert isinstance(error, RequestValidationError)
    return make_problem(422, describe_faults(error.errors()), INVALID)


def answer_status(request: Request, error: Exception) -> Response:
    """What the router refuses: a path or method that there is not, a body that is too long."""
    assert isinstance(error, HTTPException)
    return make_problem(error.status_code, describe_status(error, request), headers=dict(error.headers or {}))


def answer_nobody(request: Request, error: Exception) -> Response:
    """A client that hung up: nobody reads the answer, and nothing is wrong that the log should tell."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def answer_failure(request: Request, error: Exception) -> Response:
    """What nobody raised on purpose; its traceback goes into the log, not to the client."""
    return make_problem(INTERNAL, INTERNAL_ERROR)


def describe_status(error: HTTPException, request: Request) -> str:
    """What was expected instead of a request that the router refuses, and what to do."""
    asked = f"{request.method} {request.url.path[:LONGEST_VALUE]}"
    if error.status_code == 404:
        return f"expected a path of /v1/openapi.json, got {asked}; see there what there is"
    if error.status_code == 400:
        return f"expected a body of {asked} that can be read as JSON, got another; /v1/openapi.json says what it holds"
    if error.status_code == 405:
        return f"expected another method of this path, got {asked}; /v1/openapi.json says which there are"
    return str(error.detail)


def describe_faults(faults: Sequence[Any]) -> str:
    """What does not fit, where, in one line."""
    told = [describe_fault(fault) for fault in faults[:MOST_FAULTS]]
    further = f"; {len(faults) - MOST_FAULTS} further faults" if len(faults) > MOST_FAULTS else ""
    return f"{'; '.join(told)}{further}; /v1/openapi.json says what each request holds"


def describe_fault(fault: dict[str, Any]) -> str:
    """One fault: where it is, what was expected, what came."""
    place, *path = fault["loc"]
    where = ".".join(map(str, path)) or str(place)
    message = str(fault["msg"])
    expected = message[:1].lower() + message[1:]
    value = repr(fault.get("input"))
    return f"`{where}`: {expected}, got {value[:LONGEST_VALUE]}{'...' if len(value) > LONGEST_VALUE else ''}"
