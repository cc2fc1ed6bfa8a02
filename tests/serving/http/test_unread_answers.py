"""Answers that a client reads slowly, or not at all: how long they are kept, and what they are counted with."""

import asyncio
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from echo_app import EchoApp, LifespanApp
from http_server import body_of, connect, read_answer, serve_app, serve_as_we_do
from starlette.responses import Response
from starlette.types import Scope
from tls_certificates import make_certificate
from uvicorn.server import ServerState
from waiting import wait_until

from sightline.serving.http.connections.connection import EdgeConnection
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.tls import make_tls_context

ANSWER_BYTES = 1_000_000
GET = b"GET /large HTTP/1.1\r\nHost: a\r\n"
LIMITS = ConnectionLimits(write_timeout_s=30, min_body_bytes_per_s=1000)


class HandLoop:
    """An event loop whose time is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now_s

    def call_soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._due.append((function, arguments))

    def call_later(self, delay_s: float, function: Callable[..., Any], *arguments: Any) -> None:
        """The sweep: the test looks at deadlines itself."""

    def turn(self) -> None:
        due, self._due = self._due, []
        for function, arguments in due:
            function(*arguments)


class HandTransport(asyncio.Transport):
    """Keeps what is written until the test says that it was read; asks to pause above 64 KiB, as transports do."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent_bytes = 0
        self.is_aborted = self.is_closed = False
        self.connection: EdgeConnection | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1234) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        assert self.connection is not None
        self.unsent_bytes += len(data)
        if self.unsent_bytes > 65536:
            self.connection.pause_writing()

    def read(self, size_bytes: int) -> None:
        """The client reads."""
        assert self.connection is not None
        self.unsent_bytes -= size_bytes
        if self.unsent_bytes < 16384 and self.connection.is_write_paused:
            self.connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.is_aborted or self.is_closed

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""


def answer_at_once(scope: Scope) -> Response:
    return Response(bytes(ANSWER_BYTES))


class Asked:
    """A connection over which a large answer has been asked for, and nothing of it been read."""

    def __init__(self, edge: Edge, *headers: bytes) -> None:
        self.edge, self.loop, self.transport = edge, HandLoop(), HandTransport()
        config = uvicorn.Config(EchoApp(), log_config=None, lifespan="off")
        self.connection = EdgeConnection(edge, answer_at_once, config, ServerState(), {}, cast(Any, self.loop))
        self.transport.connection = self.connection
        self.connection.connection_made(self.transport)
        self.connection.data_received(b"".join((GET, *headers, b"\r\n")))
        self.loop.turn()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a sweep of deadlines every half second."""
        until_s = self.loop.now_s + seconds
        while self.loop.now_s < until_s:
            self.loop.now_s = min(until_s, self.loop.now_s + 0.5)
            if self.connection.deadline_s <= self.loop.now_s and not self.transport.is_aborted:
                self.connection.expire()


@pytest.mark.parametrize("headers", [(), (b"Connection: close\r\n",)])
def test_a_client_that_reads_slower_than_the_least_rate_is_cut_off(headers: tuple[bytes, ...]) -> None:
    """4 kB every 29 s are 138 bytes a second; all of the answer would take two hours."""
    asked = Asked(Edge(LIMITS), *headers)
    for _ in range(2):
        asked.pass_time(29)
        asked.transport.read(4000)
    asked.pass_time(29)
    assert asked.transport.is_aborted
    assert asked.edge.buffered_bytes == 0


@pytest.mark.parametrize("headers", [(), (b"Connection: close\r\n",)])
def test_a_client_that_reads_a_little_faster_than_the_least_rate_gets_all(headers: tuple[bytes, ...]) -> None:
    asked = Asked(Edge(LIMITS), *headers)
    while asked.transport.unsent_bytes > 25_000:
        asked.pass_time(20)
        asked.transport.read(25_000)
    asked.transport.read(asked.transport.unsent_bytes)
    assert not asked.transport.is_aborted
    assert asked.loop.now_s > 700
    assert asked.edge.buffered_bytes == 0


def test_what_was_read_fast_does_not_let_the_rest_drip() -> None:
    asked = Asked(Edge(LIMITS))
    asked.transport.read(900_000)  # 900 s worth of the least rate
    for _ in range(3):
        asked.pass_time(29)
        asked.transport.read(1)
    assert asked.transport.is_aborted


def test_an_answer_is_counted_with_the_bodies_until_it_is_read() -> None:
    edge = Edge(LIMITS)
    asked = Asked(edge)
    assert edge.buffered_bytes == asked.transport.unsent_bytes > ANSWER_BYTES
    asked.transport.read(500_000)
    asked.pass_time(31)
    assert edge.buffered_bytes == asked.transport.unsent_bytes > 0
    asked.connection.connection_lost(None)
    assert edge.buffered_bytes == 0


def test_the_answer_that_has_been_unread_longest_gives_way_to_what_comes() -> None:
    edge = Edge(ConnectionLimits(max_buffered_bytes=2_500_000))
    first, second = Asked(edge), Asked(edge)
    with edge.hold(400_000):
        assert not first.transport.is_aborted
        with edge.hold(400_000):
            assert first.transport.is_aborted and not second.transport.is_aborted
        assert edge.buffered_bytes == second.transport.unsent_bytes + 400_000
    assert not edge.make_room(2_500_001)  # no answer is cut off for what would have no room even then
    assert not second.transport.is_aborted


def test_a_body_has_room_though_answers_are_not_read() -> None:
    edge = Edge(ConnectionLimits(max_buffered_bytes=70 * 1024 * 1024))
    with serve_app(EchoApp(), edge) as port, connect(port) as unread, connect(port) as other:
        unread.sendall(GET + b"\r\n")
        wait_until(lambda: edge.buffered_bytes > 50 * 1024 * 1024)
        size = 25 * 1024 * 1024
        other.sendall(b"POST /collected HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        assert body_of(read_answer(other)) == {"size": size}
        wait_until(lambda: len(edge.connections) == 1 and edge.buffered_bytes == 0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")
def test_an_answer_over_tls_is_counted_too(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "server")
    trust, edge = ssl.create_default_context(cafile=files[0]), Edge()
    with serve_as_we_do(LifespanApp(), edge, make_tls_context(*files)) as port:
        with trust.wrap_socket(connect(port), server_hostname="localhost") as unread:
            unread.sendall(GET + b"\r\n")
            wait_until(lambda: edge.buffered_bytes > 50 * 1024 * 1024)
        wait_until(lambda: not edge.connections)
        assert edge.buffered_bytes == 0


def test_a_websocket_that_closes_gives_its_client_time_to_read() -> None:
    asked = Asked(Edge(LIMITS))
    asked.connection._websocket = cast(Any, SimpleNamespace(handshake_complete=True))
    asked.connection._clock.enter("websocket", 0)
    asked.transport.close()
    asked.pass_time(29)
    assert not asked.transport.is_aborted
    asked.pass_time(31)  # it has read nothing
    assert asked.transport.is_aborted
