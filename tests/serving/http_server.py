"""A real uvicorn server with our connections, on a loopback port, in a thread, over any ASGI application; raw sockets to it."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from sightline.serving.http.connections.connection import make_connector
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.guard import Guard
from sightline.serving.process.listening import make_server, open_listener

READ_TIMEOUT_S = 20
FAST = ConnectionLimits(header_timeout_s=0.3, body_grace_s=0.3, idle_timeout_s=0.3, write_timeout_s=0.3, linger_s=0.3)
# Heads without their end.
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


class HeldEdge(Edge):
    """Looks at no deadline before it is let go: until then a test sets its stage, however long this machine takes for it."""

    is_held = True

    def count(self, phase: str) -> int:
        """How many connections are in a phase."""
        return [one._clock.phase for one in self.connections].count(phase)  # type: ignore[attr-defined]

    def let_go(self) -> None:
        self.is_held = False

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.is_held:
            loop.call_later(self._sweep_s, self._sweep, loop)
        else:
            super()._sweep(loop)


@contextmanager
def serve_app(
    app: Any, edge: Edge | None = None, gate: Callable[[Any], Any] = lambda scope: None, **options: Any
) -> Iterator[int]:
    """Serve; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=make_connector(edge or Edge(), gate),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(READ_TIMEOUT_S)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def serve_as_we_do(app: Any, edge: Edge, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve an application that has a lifespan with the settings of the whole server; gives the port."""
    listener, is_up = open_listener("127.0.0.1", 0), threading.Event()
    port = int(listener.getsockname()[1])
    server = make_server(Guard(app), edge, is_up.set, tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert is_up.wait(READ_TIMEOUT_S)
        yield port
    finally:
        server.should_exit = True
        thread.join(READ_TIMEOUT_S)
        listener.close()
        assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    """A connection to a server of `serve_app`."""
    return socket.create_connection(("127.0.0.1", port), timeout=READ_TIMEOUT_S)


def ask_raw(port: int, sent: bytes) -> bytes:
    """Send bytes and return what comes back until the server closes."""
    with connect(port) as connection:
        connection.sendall(sent)
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return bytes(received)


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length: head and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += read_some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += read_some(connection)
    assert len(body) == length, "more came than one answer"
    return head + b"\r\n\r\n" + body


def read_some(connection: socket.socket) -> bytes:
    """At least one byte."""
    chunk = connection.recv(65536)
    assert chunk, "the server closed before its answer was complete"
    return chunk


def drip_until_ended(connection: socket.socket, piece: bytes, every_s: float) -> bytes:
    """Send a piece again and again, and return what comes back until the server closes."""
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(every_s):
            try:
                connection.sendall(piece)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        return read_to_end(connection)
    finally:
        stop.set()
        thread.join()


def check_refusal(answer: bytes, status: int) -> str:
    """The answer is one problem and asks to close; returns its detail."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in head.lower()
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == status and "\n" not in problem["detail"]
    return str(problem["detail"])


def body_of(answer: bytes) -> Any:
    """The JSON of an answer."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])
