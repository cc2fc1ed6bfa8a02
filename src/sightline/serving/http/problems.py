"""Errors on the wire: every refusal is `application/problem+json` (RFC 9457) with type, title, status and detail."""

import logging
import math
import re
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sightline.core.errors import HTTP_STATUS, Exhausted, SightlineError, find_by_head

RETRY_AFTER_S = 1.0  # where the error does not know better
INTERNAL_ERROR = "the server failed on this request; its log has the details"
ROUTES_HINT = "there is POST /predict/NAME, /v2 for the Open Inference Protocol, GET /docs with all paths, and a page at GET /"
CLIENT_CLOSED_REQUEST = 499  # nginx's number for a client that hung up; nobody reads the answer, the access log does

logger = logging.getLogger("sightline.serving")


def make_problem(status: int, detail: str, kind: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """One refusal. Args: kind: CamelCase name of the error; by default the status' own phrase."""
    phrase = HTTPStatus(status).phrase
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind) if kind else phrase
    body = {
        "type": f"urn:sightline:error:{words.lower().replace(' ', '-')}",
        "title": words.capitalize(),
        "status": status,
        "detail": detail,
    }
    return Response(msgspec.json.encode(body), status, headers, media_type="application/problem+json")


async def answer_sightline_error(request: Request, error: Exception) -> Response:
    """An error raised on purpose: its head gives the status."""
    assert isinstance(error, SightlineError)
    return make_problem(find_by_head(HTTP_STATUS, error), str(error), type(error).__name__, find_retry_headers(error))


def find_retry_headers(error: SightlineError) -> dict[str, str]:
    """Retry-After in whole seconds, at least 1, of a limit that was reached; nothing for other errors."""
    if not isinstance(error, Exhausted):
        return {}
    wait_s = RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}


async def answer_http_error(request: Request, error: Exception) -> Response:
    """An error of the protocol itself: unknown path, wrong method, body too large."""
    assert isinstance(error, HTTPException)
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:  # the framework's own words say no more than the status
        detail = f"{request.method} {request.url.path[:200]} is not served; {ROUTES_HINT}"
    return make_problem(error.status_code, detail, headers=dict(error.headers or {}))


async def answer_disconnect(request: Request, error: Exception) -> Response:
    """The client hung up while its body was read: there is nobody to answer."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """A defect of ours: the log gets the traceback (the framework raises on after answering), the client one line."""
    logger.error("internal error at %s %s", request.method, request.url.path)
    return make_problem(500, INTERNAL_ERROR)


EXCEPTION_HANDLERS = {
    SightlineError: answer_sightline_error,
    HTTPException: answer_http_error,
    ClientDisconnect: answer_disconnect,
    Exception: answer_unexpected,
}
