"""Errors in the protocol's form: `{"error": "one line"}` under the status that Triton gives to the same failure.

A request that cannot be read or does not fit its model is 400, an unknown model or version 404, something not offered 501.
A full queue, a timeout in the queue, a model that is still loading, and loading in a wrong mode are 503, as they are Triton's
UNAVAILABLE; the first three say in Retry-After when to come again. A defect of ours is 500 and says nothing of the inside.
"""

import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, SightlineError, Unsupported, find_by_head
from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST, INTERNAL_ERROR, find_retry_headers
from sightline.serving.http.refusals import Refusal

STATUS: dict[type[SightlineError], int] = {InvalidInput: 400, NotFound: 404, Conflict: 503, Unsupported: 501, Exhausted: 503}
MAX_MESSAGE = 1000

logger = logging.getLogger("sightline.serving")


def make_error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """One refusal. A message that repeats what the client sent may be long: it becomes one line of at most 1,000 characters."""
    line = " ".join(message[:MAX_MESSAGE].split())
    return Response(msgspec.json.encode({"error": line}), status, headers, media_type="application/json")


def answer_error(request: Request, error: Exception) -> Response:
    """The answer to whatever a handler raised; what was not raised on purpose goes to the log with its traceback."""
    if isinstance(error, SightlineError):
        return make_error(find_by_head(STATUS, error), str(error), find_retry_headers(error))
    if isinstance(error, Refusal):
        return make_error(error.status, error.detail, error.headers)
    if isinstance(error, HTTPException):
        return make_error(error.status_code, error.detail, dict(error.headers or {}))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    logger.error("internal error at %s %s", request.method, request.url.path[:200], exc_info=error)
    return make_error(500, INTERNAL_ERROR)
