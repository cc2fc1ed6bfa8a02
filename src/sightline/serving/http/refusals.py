"""Refusal: an answer that only HTTP knows (401, 403, 408, 413, 429, ...), raised where it is found out, written at the border.

The five heads of `core.errors` speak of data and models. Who may ask, how often and how fast is no matter of theirs, so it
has an exception of its own; gRPC maps the same statuses to its codes.
"""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sightline.core.errors import SightlineError
from sightline.serving.http.problems import (
    CLIENT_CLOSED_REQUEST,
    INTERNAL_ERROR,
    describe_error,
    make_problem,
    write_retry_after,
)

ROUTES_HINT = "there is POST /predict/NAME, /v2 for the Open Inference Protocol, GET /docs with all paths, and a page at GET /"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}


class Refusal(Exception):  # noqa: N818 - it is no defect of ours
    """A request that is not let in.

    Args:
        status: of HTTP, 4xx or 5xx.
        detail: one line for the client; no path of this machine.
        retry_after_s: when it may come again; written rounded up to whole seconds, at least 1.
        headers: further headers of the answer.
        kind: name of the error of `core.errors` that it stands for; by default the problem is named by its status.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        retry_after_s: float | None = None,
        headers: dict[str, str] | None = None,
        kind: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = write_retry_after(retry_after_s)


def speaks_v2(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol, whose errors are `{"error": ...}`; streams are our own."""
    return (path == "/v2" or path.startswith("/v2/")) and not (path == "/v2/streams" or path.startswith("/v2/streams/"))


def answer_refusal(refusal: Refusal, path: str = "") -> Response:
    """The Refusal as problem+json, or in the Open Inference Protocol's form."""
    if speaks_v2(path):
        body = msgspec.json.encode({"error": refusal.detail})
        return Response(body, refusal.status, refusal.headers, media_type="application/json")
    return make_problem(refusal.status, refusal.detail, refusal.kind, refusal.headers)


def write_refusal(refusal: Refusal, path: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The Refusal as the bytes of a whole HTTP/1.1 answer after which the connection closes; for requests no app has seen.

    Args: headers: besides the Refusal's own, such as what lets a page of another site read it.
    """
    response = answer_refusal(refusal, path)
    lines = [
        STATUS_LINES[refusal.status],
        *(name + b": " + value for name, value in (*response.raw_headers, *headers)),
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


async def answer_refusal_error(request: Request, error: Exception) -> Response:
    """A Refusal that a handler raised."""
    assert isinstance(error, Refusal)
    return answer_refusal(error, request.url.path)


async def answer_sightline_error(request: Request, error: Exception) -> Response:
    """An error raised on purpose."""
    assert isinstance(error, SightlineError)
    return describe_error(error)


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
    """A defect of ours: the client gets one line. The framework raises on, and the connection logs the traceback."""
    return make_problem(500, INTERNAL_ERROR)


EXCEPTION_HANDLERS = {  # of the whole application
    SightlineError: answer_sightline_error,
    HTTPException: answer_http_error,
    ClientDisconnect: answer_disconnect,
    Refusal: answer_refusal_error,
    Exception: answer_unexpected,
}
