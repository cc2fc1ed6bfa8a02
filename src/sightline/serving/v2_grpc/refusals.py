"""What gRPC says when a call is refused: a status code for each kind of error, one line of text, and when to try again.

A limit that was reached says when to come again in `grpc-retry-pushback-ms`, which gRPC libraries with a retry policy obey by
themselves (gRPC proposal A6), and in `retry-after` in seconds, as HTTP does. Of a defect of ours the client learns nothing; the
log has it.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, QueueTimeout, SightlineError, Unsupported
from sightline.serving.http.refusals import Refusal

INTERNAL_ERROR = "the server failed on this request; its log has the details"
RETRY_AFTER_S = 1.0
STATUS: dict[type[SightlineError], grpc.StatusCode] = {  # the first matching class wins
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.UNAVAILABLE,  # as Triton's, of loading in a wrong mode
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    QueueTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    Exhausted: grpc.StatusCode.UNAVAILABLE,
}
HTTP_STATUS: dict[int, grpc.StatusCode] = {  # of refusals; any other is INVALID_ARGUMENT
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

logger = logging.getLogger("sightline.serving")


@asynccontextmanager
async def refuse_errors(call: str, context: Any) -> AsyncIterator[None]:
    """Turn whatever is raised into the call's status. Cancellation passes: there is nobody left to tell."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the border: what was not raised on purpose goes to the log
        message = describe_failure(call, error)
        try:
            await context.abort(find_status(error), message, list_retry_metadata(error))
        except grpc.aio.InternalError:  # the call has ended already, as one whose message is too large does
            raise asyncio.CancelledError from None


def find_status(error: Exception) -> grpc.StatusCode:
    """The status code of an error; INTERNAL for one that was not raised on purpose."""
    if isinstance(error, Refusal):
        return HTTP_STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def describe_failure(call: str, error: Exception) -> str:
    """The line that the client reads. A defect of ours goes to the log, with its traceback."""
    if isinstance(error, SightlineError | Refusal):
        return str(error)
    logger.error("internal error at gRPC %s", call, exc_info=error)
    return INTERNAL_ERROR


def list_retry_metadata(error: Exception) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that says when another try may succeed; empty where another try is of no use."""
    if isinstance(error, Refusal):
        retry_after_s = float(error.headers["Retry-After"]) if "Retry-After" in error.headers else None
    elif isinstance(error, Exhausted) and not isinstance(error, QueueTimeout):
        retry_after_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
    else:
        retry_after_s = None
    if retry_after_s is None:
        return ()
    seconds = str(max(1, math.ceil(retry_after_s)))
    return ("grpc-retry-pushback-ms", str(math.ceil(retry_after_s * 1000))), ("retry-after", seconds)
