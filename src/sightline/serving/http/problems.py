"""Errors on the wire: every refusal is `application/problem+json` (RFC 9457) with type, title, status and detail."""

import math
import re
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from sightline.core.errors import Exhausted, SightlineError

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


def find_retry_headers(error: SightlineError) -> dict[str, str]:
    """Retry-After in whole seconds, at least 1, of a limit that was reached; nothing for other errors."""
    if not isinstance(error, Exhausted):
        return {}
    wait_s = RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
