"""Errors on the wire: every refusal is `application/problem+json` (RFC 9457) with type, title, status and detail."""

import math
import re
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from sightline.core.errors import HTTP_STATUS, Exhausted, SightlineError, find_by_head

RETRY_AFTER_S = 1.0  # where the error does not know better
INTERNAL_ERROR = "the server failed on this request; its log has the details"
CLIENT_CLOSED_REQUEST = 499  # nginx's number for a client that hung up; nobody reads the answer, the access log does


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


def describe_error(error: SightlineError) -> Response:
    """An error that was raised on purpose: its head gives the status."""
    return make_problem(find_by_head(HTTP_STATUS, error), str(error), type(error).__name__, find_retry_headers(error))


def find_retry_headers(error: SightlineError) -> dict[str, str]:
    """Retry-After of a limit that was reached; nothing for other errors."""
    if not isinstance(error, Exhausted):
        return {}
    return {"Retry-After": write_retry_after(RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s)}


def write_retry_after(wait_s: float) -> str:
    """The value of a Retry-After header: whole seconds, at least 1."""
    return str(max(1, math.ceil(wait_s)))
