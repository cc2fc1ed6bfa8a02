"""What is known of a request when it has ended, for the access log and the metrics.

The guard makes a record per request and puts it into a context variable; a request is a task of its own, so the observer that
`InferenceService` tells of every Work finds the record of the request that the Work belongs to, whatever the protocol.
"""

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.scheduling.work import Work

ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class RequestRecord:
    """One request.

    Attributes:
        method, path, remote, tenant, request_id: of the request; the path without its query, which may hold secrets.
        status: of the answer; 499 when the client hung up first.
        origin: of a page of another site that the answer is for, as its browser sent it; None: of none that is listed.
        bytes_in: announced body; None when it came in chunks. bytes_out: of the answer's body.
        model: "NAME:VERSION" of what answered; "" when nothing was inferred.
        queue_s, decode_s, infer_s: summed over the request's works.
    """

    __slots__ = (
        "bytes_in", "bytes_out", "decode_s", "duration_s", "infer_s", "method", "model", "origin", "path", "queue_s",
        "remote", "request_id", "started_s", "status", "tenant",
    )  # fmt: skip

    def __init__(self, scope: Any) -> None:
        self.started_s = time.perf_counter()
        self.method: str = scope.get("method", "WEBSOCKET")
        self.path: str = scope["path"]
        client = scope.get("client")
        self.remote: str = client[0] if client else ""
        self.tenant = self.model = self.request_id = ""
        self.origin: bytes | None = None
        self.status = CLIENT_CLOSED_REQUEST
        self.bytes_in: int | None = 0
        self.bytes_out = 0
        self.duration_s = self.queue_s = self.decode_s = self.infer_s = 0.0

    def end(self, observers: "Iterable[RequestObserver]") -> None:
        """Report the request, which has ended, to all who observe requests."""
        self.duration_s = time.perf_counter() - self.started_s
        for observe in observers:
            observe(self)


class RequestIds:
    """Names requests: by the id that their client chose where it is safe in a log line, or else by a number."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def choose(self, given: bytes) -> str:
        """The id of a request. Args: given: by its client; empty for none."""
        return given.decode("ascii") if ID.fullmatch(given) else f"{self._prefix}-{next(self._numbers)}"


RequestObserver = Callable[[RequestRecord], None]
RECORD: ContextVar[RequestRecord | None] = ContextVar("sightline_request_record", default=None)


def observe_work(work: Work, facts: ServedFacts) -> None:
    """Add what a Work took to the record of its request; an Observer of `InferenceService`."""
    record = RECORD.get()
    if record is None:
        return
    record.model = f"{facts.name}:{facts.version}"
    if work.started_s:
        record.queue_s += work.started_s - work.enqueued_s
    if work.execution is not None:
        record.decode_s += work.input_s
        record.infer_s += work.infer_s
