"""The guard: one thin ASGI layer around the whole application that decides who comes in and adds what every answer carries.

In order: the Host must be one of ours (a web page can make the browser ask loopback under a name of its own: DNS rebinding),
a browser's Origin must be ours or a listed one when something is to be done (the preflight of a listed one is answered here),
the key must be known and may do what is asked, and its limits must not be reached. Then the application answers, and the
request is reported to log and metrics. What can be computed once is, so that a request costs one pass over its headers.

`admit` decides all of this but for the number of requests that a key runs at once. It waits for nothing: our connections call
it as soon as the head is parsed, so that a refused request costs no task, and no memory for the rest of its body.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.core.errors import QueueFull
from sightline.serving.http.connections.exchange import is_ended_by_server
from sightline.serving.http.cross_origin import PREFLIGHT_MARK, answer_preflight, list_cross_origin_headers, read_origins
from sightline.serving.http.keys import ANYBODY, Authenticator, Caller, read_token
from sightline.serving.http.limits import TokenBucket, take_turn
from sightline.serving.http.named_hosts import spell_host
from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST
from sightline.serving.http.refusals import Refusal, answer_refusal
from sightline.serving.http.request_record import RECORD, RequestIds, RequestObserver, RequestRecord

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
SHARED_SECURITY_HEADERS = SECURITY_HEADERS[:-1]  # of answers that a page of another site may read
# What answers without a key: whether the server is well, and pages that say how to ask it.
OPEN_PATHS = frozenset(
    ("/", "/page.js", "/page.css", "/docs", "/docs.css", "/openapi.json", "/health", "/v2/health/live", "/v2/health/ready")
)
METRICS_PATH = "/metrics"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
WANTED = frozenset(
    (b"host", b"origin", b"authorization", b"x-api-key", b"x-request-id", b"content-length", b"transfer-encoding")
) | {PREFLIGHT_MARK}
REMEMBERED_HOSTS = 64

SERVER_ENDS = 503  # what `Exchange` answers then

ADMITTED = "admitted"  # where a request's record waits in its scope's state until the application is asked


class JoinedQueue(NamedTuple):
    """The queue that a request would join.

    Attributes:
        version: "" for the one that answers.
        priority: the highest that its body may name; 0: it can name none.
    """

    model: str
    version: str
    priority: int


class Need(msgspec.Struct, frozen=True):
    """What a path asks of its caller: nothing (`is_open`), the right to a model, the right to change the server.

    Attributes:
        joins: the queue that a request would join; None: none.
    """

    is_open: bool = False
    model: str | None = None
    is_admin: bool = False
    joins: JoinedQueue | None = None


class Guard:
    """The ASGI layer. Used on the event loop only.

    Args:
        app: answers those who come in; who they are, `find_caller` tells from the scope.
        authenticator: knows the keys; None: the server has none.
        allowed_hosts: names that the Host header may hold, as `spell_host` writes them; None: any.
        allowed_origins: origins of other sites' pages that may send requests and read the answers, as "https://name:port".
        bucket: requests a second of all callers together, open paths and /metrics aside; above it the answer is 503. None:
            unlimited.
        has_open_metrics: whether /metrics answers this machine without a key. A proxy on this machine makes every client look
            like it: with one, say False.
        check_room: raises QueueFull for a model, version, tenant and priority for which the queue is full: such a request is
            refused before it is read.
        observers: told of every request when it has ended; `AccessLog.write` and `Metrics.count_request` are two.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator | None = None,
        allowed_hosts: frozenset[str] | None = None,
        allowed_origins: frozenset[str] = frozenset(),
        bucket: TokenBucket | None = None,
        has_open_metrics: bool = True,
        check_room: Callable[[str, str, str, int], None] = lambda model, version, tenant, priority: None,
        observers: Sequence[RequestObserver] = (),
    ) -> None:
        self.app = app
        self.authenticator = authenticator
        self.allowed_hosts = allowed_hosts
        self.allowed_origins = read_origins(allowed_origins)
        self.has_open_metrics = has_open_metrics
        self._observers = tuple(observers)
        self._bucket = bucket
        self._check_room = check_room
        self._good_hosts: set[bytes | None] = set()
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        refused = None if ADMITTED in state else self.admit(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        record: RequestRecord = state.pop(ADMITTED)
        caller: Caller = state["caller"]
        try:
            caller.quota.begin()
        except Refusal as refusal:
            caller.quota.put_back()
            await self._refuse(refusal, record)(scope, receive, send)
            return
        RECORD.set(record)
        state["record"] = record  # the connection may still refuse the request: a late body, say
        try:
            await self.app(scope, receive, self._make_send(record, send))
        except asyncio.CancelledError:
            if record.status == CLIENT_CLOSED_REQUEST and scope["type"] == "http" and is_ended_by_server(scope):
                record.status = SERVER_ENDS
            raise
        finally:
            caller.quota.leave()
            record.end(self._observers)

    def admit(self, scope: Scope) -> Response | None:
        """Decide whether a request comes in; how many of its key run at once is counted only when the application is called.

        Returns: the whole answer to a refused request, which has been reported; None for one that comes in.
        """
        record = RequestRecord(scope)
        before = RECORD.set(record)  # for the observers of works, which learn of a full queue
        try:
            is_preflight = self._let_in(scope, record)
        except Refusal as refusal:
            return self._refuse(refusal, record)
        finally:
            RECORD.reset(before)
        if is_preflight:
            return self._answer(answer_preflight(), record)
        scope.setdefault("state", {})[ADMITTED] = record
        return None

    def _let_in(self, scope: Scope, record: RequestRecord) -> bool:
        """Note who calls. Returns: whether it is a browser that asks what a listed page may send. Raises: Refusal."""
        wanted = {name: value for name, value in scope["headers"] if name in WANTED}
        record.request_id = self._ids.choose(wanted.get(b"x-request-id", b""))
        length = wanted.get(b"content-length", b"0")
        record.bytes_in = None if b"transfer-encoding" in wanted or not length.isdigit() else int(length)
        host = wanted.get(b"host")
        is_probe = host is None and scope.get("http_version") == "1.0" and record.path in OPEN_PATHS  # a proxy's health check
        if host not in self._good_hosts and not is_probe:
            self._check_host(host)
        if b"origin" in wanted:
            acts = record.method not in SAFE_METHODS or scope["type"] == "websocket"
            self._look_at_origin(wanted[b"origin"], host, record, acts)
            if record.origin is not None and record.method == "OPTIONS" and PREFLIGHT_MARK in wanted:
                return True
        need = find_need(record.method, record.path)
        caller = self._find_caller(need, record, wanted)
        record.tenant = caller.name
        is_free = need.is_open or record.path == METRICS_PATH  # a server at its limit is what metrics are to show
        take_turn(caller.quota, None if is_free else self._bucket)
        if need.joins is not None and not scope.get("query_string"):  # which may name another version
            self._look_at_queue(need.joins, caller)
        scope.setdefault("state", {})["caller"] = caller
        return False

    def _refuse(self, refusal: Refusal, record: RequestRecord) -> Response:
        return self._answer(answer_refusal(refusal, record.path), record)

    def _answer(self, response: Response, record: RequestRecord) -> Response:
        response.raw_headers += _list_headers(record)
        record.status, record.bytes_out = response.status_code, len(response.body)
        record.end(self._observers)
        return response

    def _find_caller(self, need: Need, record: RequestRecord, wanted: dict[bytes, bytes]) -> Caller:
        if self.authenticator is None or need.is_open:
            return ANYBODY
        if record.path == METRICS_PATH and self.has_open_metrics and is_loopback_address(record.remote):
            return ANYBODY
        key = wanted.get(b"x-api-key")
        authorization = wanted.get(b"authorization", b"").decode("latin-1")
        caller = self.authenticator.authenticate(read_token(authorization, None if key is None else key.decode("latin-1")))
        if record.path == METRICS_PATH:
            caller.check_metrics()
        if need.is_admin:
            caller.check_admin()
        if need.model is not None:
            caller.check_model(need.model)
        return caller

    def _look_at_queue(self, joined: JoinedQueue, caller: Caller) -> None:
        try:
            self._check_room(joined.model, joined.version, caller.name, joined.priority)
        except QueueFull as full:
            caller.quota.put_back()
            if self._bucket is not None:
                self._bucket.put_back()
            raise Refusal(503, str(full), full.retry_after_s, kind=type(full).__name__) from None

    def _check_host(self, host: bytes | None) -> None:
        name = spell_host(strip_port((host or b"").decode("latin-1")))
        if self.allowed_hosts is not None and name not in self.allowed_hosts:
            raise Refusal(400, f"expected a Host of {', '.join(sorted(self.allowed_hosts))}; this server answers to no other")
        if len(self._good_hosts) < REMEMBERED_HOSTS:
            self._good_hosts.add(host)

    def _look_at_origin(self, origin: bytes, host: bytes | None, record: RequestRecord, acts: bool) -> None:
        """Note a listed origin. Args: acts: something is to be done. Raises: Refusal then for one neither listed nor ours."""
        if origin.lower() in self.allowed_origins:
            record.origin = origin
            return
        own = origin.lower().partition(b"://")[2]
        if acts and (not own or own != (host or b"").lower()):
            raise Refusal(403, "a page of another site asked for this; the server allows that to listed origins only")

    def _make_send(self, record: RequestRecord, send: Send) -> Send:
        async def send_head(message: Message) -> None:
            await send({**message, "headers": [*message.get("headers", ()), *_list_headers(record)]})
            record.status = message["status"]  # not before: it fails when the client has gone

        def guarded_send(message: Message) -> Any:  # not async itself: it hands on the coroutine of `send`
            kind = message["type"]
            if kind == "http.response.body":
                record.bytes_out += len(message.get("body", b""))
            elif kind in ("http.response.start", "websocket.http.response.start"):
                return send_head(message)
            elif kind == "websocket.accept":
                record.status = 101
            return send(message)

        return guarded_send


@lru_cache(maxsize=1024)
def find_need(method: str, path: str) -> Need:
    """What a path asks of its caller. Paths with a model's name in them ask for the right to it."""
    if path in OPEN_PATHS:
        return Need(is_open=True)
    parts = path.split("/")[1:]
    if len(parts) >= 2 and parts[0] in ("predict", "deployments"):
        joins = JoinedQueue(parts[1], "", 0) if (method, parts[0], len(parts)) == ("POST", "predict", 2) else None
        return Need(model=parts[1], is_admin=parts[0] == "deployments" and method not in SAFE_METHODS, joins=joins)
    if parts[:2] == ["v2", "models"] and len(parts) >= 3 and parts[2:] != ["stats"]:
        return Need(model=parts[2], joins=find_joined(parts[2:]) if method == "POST" else None)
    if parts[:2] == ["v2", "repository"] and parts[2:] != ["index"]:
        return Need(is_admin=True)
    return Need()


def find_joined(parts: list[str]) -> JoinedQueue | None:
    """The queue of `NAME/infer` and `NAME/versions/VERSION/infer`, a path's parts; None for any other."""
    if parts[1:] == ["infer"]:
        return JoinedQueue(parts[0], "", 1)
    is_inference = len(parts) == 4 and (parts[1], parts[3]) == ("versions", "infer")
    return JoinedQueue(parts[0], parts[2], 1) if is_inference else None


def strip_port(host: str) -> str:
    """Host name of a Host header: `localhost:8000` -> `localhost`, `[::1]:8000` -> `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def is_loopback_address(address: str) -> bool:
    """Whether a numeric address is this machine's own; also one that stands in IPv6 form, `::ffff:127.0.0.1`."""
    address = address.removeprefix("::ffff:")
    return address == "::1" or address.startswith("127.")


def _list_headers(record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """What every answer carries."""
    request_id = (b"x-request-id", record.request_id.encode("ascii"))
    if record.origin is None:
        return [*SECURITY_HEADERS, request_id]
    return [*SHARED_SECURITY_HEADERS, *list_cross_origin_headers(record.origin), request_id]
