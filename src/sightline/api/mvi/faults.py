"""Refusals as clients of PowerAI Vision read them: JSON with `fault`, under the status that `/v1` would give them."""

from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sightline.api.problems import answer_nobody
from sightline.core.errors import HTTP_STATUS, SightlineError, find_by_head
from sightline.serving.http.problems import INTERNAL_ERROR, find_retry_headers

PREFIX = "/api"
NO_TOKEN = "Failed to parse token."
NOT_FOUND = "HTTP 404 Not Found"
INVALID = 400
INTERNAL = 500


def is_mvi_path(path: str) -> bool:
    """Whether a path is one of this interface."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def make_fault(
    status: int, fault: str, kind: str | None = None, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """One refusal. Args: kind: name of the error; more: what else the answer holds."""
    body = {"status": HTTPStatus(status).phrase, "fault": fault, "result": "fail", **({"type": kind} if kind else {}), **more}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def install_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a fault."""
    app.add_exception_handler(SightlineError, answer_refusal)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(HTTPException, answer_status)
    app.add_exception_handler(ClientDisconnect, answer_nobody)
    app.add_exception_handler(Exception, answer_failure)


def answer_refusal(request: Request, error: Exception) -> Response:
    """An error that was raised on purpose."""
    assert isinstance(error, SightlineError)
    return describe_refusal(error)


def describe_refusal(error: SightlineError, **more: Any) -> Response:
    """An error that was raised on purpose: its head gives the status. Args: more: what else the answer holds."""
    status = find_by_head(HTTP_STATUS, error)
    return make_fault(status, str(error), f"{type(error).__name__}Exception", find_retry_headers(error), **more)


def answer_invalid(request: Request, error: Exception) -> Response:
    """A body or query that does not follow its schema."""
    assert isinstance(error, RequestValidationError)
    return make_fault(INVALID, "; ".join(map(describe_fault, error.errors())), "BadRequestException")


def describe_fault(fault: dict[str, Any]) -> str:
    """One thing that does not fit: where it is, and what was expected."""
    where = ".".join(str(step) for step in fault["loc"][1:]) or str(fault["loc"][0])
    return f"{where}: {fault['msg']}"


def answer_status(request: Request, error: Exception) -> Response:
    """What the router refuses: a path or method that there is not, a body that is too long."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return make_fault(HTTPStatus.NOT_FOUND, NOT_FOUND, "NotFoundException")
    return make_fault(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def answer_failure(request: Request, error: Exception) -> Response:
    """What nobody raised on purpose; its traceback goes into the log."""
    return make_fault(INTERNAL, INTERNAL_ERROR)
