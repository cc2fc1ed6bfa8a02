"""What the connections of one server share: their limits, their count, and one sweep of deadlines."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from sightline.core.errors import Exhausted
from sightline.serving.http.connections.request_head import Headers
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.cross_origin import list_cross_origin_headers, read_origins
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.request_record import RequestObserver, RequestRecord

MAX_SWEEP_S = 0.5
SPARED_FILES = 128  # for models, videos, libraries, refused connections
logger = logging.getLogger("sightline.serving")


class Expiring(Protocol):
    """A connection as the sweep sees it."""

    @property
    def deadline_s(self) -> float:
        """When `expire` is due, on the loop's clock."""

    def expire(self) -> None:
        """The deadline has passed."""

    def abort(self) -> None:
        """End the connection now."""


class Edge:
    """What the connections of one server share. Used on the event loop only.

    Args:
        limits: of every connection.
        websocket_prefix: only paths below it may become WebSockets; None: none may.
        observers: told of every request that is refused before the guard sees it; the guard reports all others.
        allowed_origins: origins of other sites' pages that may read the refusals, as "https://name:port".
        listeners: of the process, each with as many connections: 2 beside gRPC.

    Attributes:
        refusals: status -> how many requests connections have refused by themselves.
        buffered_bytes: of bodies that wait for their answers, as they came and as they were decompressed, and of large answers
            that wait to be read.
    """

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        websocket_prefix: str | None = None,
        observers: Sequence[RequestObserver] = (),
        allowed_origins: Iterable[str] = (),
        listeners: int = 1,
    ) -> None:
        self._observers = tuple(observers)
        self._allowed_origins = read_origins(allowed_origins)
        self.limits = limits or ConnectionLimits()
        self._listeners = listeners
        self.websocket_prefix = websocket_prefix
        self.connections: set[Expiring] = set()
        self.buffered_bytes = 0
        self.refusals: Counter[int] = Counter()
        self._addresses: Counter[str] = Counter()
        self._unread: dict[Expiring, int] = {}  # bytes of its answer; who was told to read first comes first
        shared = self.limits
        shortest_s = min(
            shared.header_timeout_s, shared.body_grace_s, shared.idle_timeout_s, shared.write_timeout_s, shared.linger_s
        )
        self._sweep_s = min(MAX_SWEEP_S, shortest_s / 4)
        self._is_sweeping = False
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines: list[bytes] = []

    def spare_files(self, most_files: int) -> None:
        """Take fewer connections where they would leave too few files for models.

        The limit of one address stays as it is where it still fits, and at most half of all where it was at most half.

        Args: most_files: of the process; negative: unlimited.
        """
        most = max(1, max(most_files // 4, most_files - SPARED_FILES) // self._listeners)
        before, of_one_before = self.limits.max_connections, self.limits.max_connections_per_address
        if most_files < 0 or before <= most:
            return
        of_one = min(of_one_before, most if of_one_before > before / 2 else max(1, most // 2))
        self.limits = msgspec.structs.replace(self.limits, max_connections=most, max_connections_per_address=of_one)
        logger.warning(
            "at most %d connections%s, %d of one address, instead of %d and %d: this process may open %d files; "
            "raise that (ulimit -n)",
            most,
            " over HTTP and as many over gRPC" if self._listeners > 1 else "",
            of_one,
            before,
            of_one_before,
            most_files,
        )

    def admit(self, connection: Expiring, address: str, loop: asyncio.AbstractEventLoop) -> Refusal | None:
        """Count a connection in, or say why not. A refused one is counted too, until it is gone."""
        is_full = len(self.connections) >= self.limits.max_connections
        is_greedy = self._addresses[address] >= self.limits.max_connections_per_address
        self.connections.add(connection)
        self._addresses[address] += 1
        if not self._is_sweeping:
            self._is_sweeping = True
            loop.call_later(self._sweep_s, self._sweep, loop)
        if is_full:
            return Refusal(503, "too many connections are open; connect again in a moment", 1)
        if is_greedy:
            return Refusal(503, "too many connections from this address; reuse those that are open", 1)
        return None

    def discharge(self, connection: Expiring, address: str) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self._addresses[address] -= 1
        if self._addresses[address] <= 0:
            del self._addresses[address]

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Count what no connection counts: decompressed bodies, inputs read from JSON, fetched pictures, messages of gRPC.

        Raises: Exhausted when all bodies together are too large.
        """
        if not self.make_room(size_bytes):
            raise Exhausted("the bodies in work are too large together; send the request again in a moment")
        self.buffered_bytes += size_bytes
        try:
            yield
        finally:
            self.buffered_bytes -= size_bytes

    def count_unread(self, connection: Expiring, size_bytes: int) -> int:
        """Count what a client has not read of its answer yet, 0 when that is over. Returns: what was counted of it before."""
        before = self._unread.pop(connection, 0) if size_bytes == 0 else self._unread.get(connection, 0)
        if size_bytes:
            self._unread[connection] = size_bytes
        self.buffered_bytes += size_bytes - before
        return before

    def make_room(self, size_bytes: int = 0) -> bool:
        """Cut off the answers that have been unread longest, where that makes room. Returns: whether so much more has room."""
        most = self.limits.max_buffered_bytes - size_bytes
        if self.buffered_bytes <= most:
            return True
        if self.buffered_bytes - sum(self._unread.values()) > most:
            return False
        for connection in list(self._unread):
            if self.buffered_bytes <= most:
                break
            connection.abort()  # which counts it out
        return True

    def report_refusal(self, status: int, remote: str, method: str, path: str) -> None:
        """Report a request that the guard never sees; method and path are empty where they have not come."""
        record = RequestRecord({"method": method, "path": path, "client": (remote, 0)})
        record.status = status
        record.end(self._observers)

    def list_origin_headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """What lets the page that sent a request read its refusal; nothing unless its origin is listed."""
        origin = dict(headers).get(b"origin", b"")
        return list_cross_origin_headers(origin) if origin.lower() in self._allowed_origins else []

    def close(self) -> None:
        """The server has ended: cut off whoever is still connected."""
        for connection in list(self.connections):
            connection.abort()

    def header_lines(self, headers: list[tuple[bytes, bytes]]) -> list[bytes]:
        """Headers of every answer as lines; the server makes a new list of them once a second, for the date."""
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_lines = [name + b": " + value for name, value in headers]
        return self._default_lines

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for connection in [one for one in self.connections if one.deadline_s <= now_s]:
            connection.expire()
        self._is_sweeping = bool(self.connections)
        if self._is_sweeping:
            loop.call_later(self._sweep_s, self._sweep, loop)
