"""What gRPC says when a call is refused: a status code for each kind of error, one line of text, and when to try again.

A limit that was reached says when to come again in `grpc-retry-pushback-ms`, which gRPC libraries with a retry policy obey by
themselves (gRPC proposal A6), and in `retry-after` in seconds, as HTTP does. Of a defect of ours the client learns nothing; the
log has it.
"""

import asyncio
import logging
import math
from contextlib import suppress
from typing import Any, NoReturn

import grpc

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, QueueTimeout, SightlineError, Unsupported
from sightline.serving.http.problems import INTERNAL_ERROR, RETRY_AFTER_S, write_retry_after
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_record import RequestRecord
from sightline.serving.v2.refusals import MAX_MESSAGE

STATUS: dict[type[SightlineError], grpc.StatusCode] = {  # the first matching class wins
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.UNAVAILABLE,  # as Triton's, of loading in a wrong mode
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    QueueTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    Exhausted: grpc.StatusCode.UNAVAILABLE,
}
STATUS_OF_HTTP: dict[int, grpc.StatusCode] = {  # of refusals; any other is INVALID_ARGUMENT
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
LOGGED: dict[grpc.StatusCode, int] = {  # what the access log, which speaks HTTP, calls them; INTERNAL is 500
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}

logger = logging.getLogger("sightline.serving")


async def refuse(record: RequestRecord, context: Any, error: Exception) -> NoReturn:
    """End a call with the status and the words of an error."""
    message = describe_failure(record, error)
    with suppress(grpc.aio.InternalError):  # the call has ended already, as one whose message is too large does
        await context.abort(find_status(error), message, list_retry_metadata(error))
    raise asyncio.CancelledError


def find_status(error: Exception) -> grpc.StatusCode:
    """The status code of an error; INTERNAL for one that was not raised on purpose."""
    if isinstance(error, Refusal):
        return STATUS_OF_HTTP.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def describe_failure(record: RequestRecord, error: Exception) -> str:
    """The line that the client reads; the record learns the status. A defect of ours goes to the log, with its traceback."""
    record.status = LOGGED.get(find_status(error), 500)
    if isinstance(error, SightlineError | Refusal):
        return " ".join(str(error)[:MAX_MESSAGE].split())  # it may repeat what the client sent
    logger.error("internal error at gRPC %s", record.path, exc_info=error)
    return INTERNAL_ERROR


def list_retry_metadata(error: Exception) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that says when another try may succeed; empty where another try is of no use."""
    if isinstance(error, Refusal):
        retry_after_s = float(error.headers["Retry-After"]) if "Retry-After" in error.headers else None
    elif isinstance(error, Exhausted) and not isinstance(error, QueueTimeout):
        retry_after_s = RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s
    else:
        retry_after_s = None
    if retry_after_s is None:
        return ()
    return ("grpc-retry-pushback-ms", str(math.ceil(retry_after_s * 1000))), ("retry-after", write_retry_after(retry_after_s))
