"""Refusal: an answer that only HTTP knows (401, 403, 408, 413, 429, ...), raised where it is found out, written at the border.

The five heads of `core.errors` speak of data and models. Who may ask, how often and how fast is no matter of theirs, so it
has an exception of its own; gRPC maps the same statuses to its codes.
"""

import math
from collections.abc import Iterable
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sightline.serving.http.problems import EXCEPTION_HANDLERS as PROBLEM_HANDLERS
from sightline.serving.http.problems import make_problem

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
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))


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


EXCEPTION_HANDLERS = {**PROBLEM_HANDLERS, Refusal: answer_refusal_error}  # of the whole application
