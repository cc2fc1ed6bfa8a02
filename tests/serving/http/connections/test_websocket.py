import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from echo_app import EchoApp, LifespanApp
from http_server import READ_TIMEOUT_S, HeldEdge, ask_raw, connect, read_some, read_to_end, serve_app, serve_as_we_do
from waiting import wait_until

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.connections.websocket import WebSocket
from sightline.serving.http.request_record import RequestRecord

FAST = ConnectionLimits(header_timeout_s=0.3, write_timeout_s=0.3, linger_s=0.3)
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


def make_head(path: bytes = b"/v2/streams/1/ws", more: bytes = KEY) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + more


@pytest.fixture
def records() -> list[RequestRecord]:
    """What the edge has told of."""
    return []


@pytest.fixture
def edge(records: list[RequestRecord]) -> HeldEdge:
    return HeldEdge(FAST, websocket_prefix="/v2/streams", observers=[records.append])


@pytest.fixture
def port(edge: HeldEdge) -> Iterator[int]:
    with serve_app(EchoApp(), edge) as port:
        yield port
    assert not edge.connections


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(make_head() + b"Content-Length: 40\r\n\r\n" + b"a" * 40, 400, id="body"),
        pytest.param(make_head() + b"Content-Length: 40\r\n\r\n" + b"a" * 10, 400, id="part of a body"),
        pytest.param(make_head() + b"Transfer-Encoding: chunked\r\n\r\n", 400, id="chunks"),
        pytest.param(make_head() + b"X: " + b"y" * 30_000 + b"\r\n\r\n", 431, id="long header"),
        pytest.param(make_head(b"/v2/streams/" + b"y" * 10_000) + b"\r\n", 414, id="long path"),
        pytest.param(make_head(more=b"\r\n"), 400, id="no key"),
        pytest.param(make_head(more=KEY.replace(b"13", b"12")) + b"\r\n", 400, id="another version"),
    ],
)
def test_handshakes_that_the_library_does_not_take_are_refused_and_told_of(
    port: int, edge: HeldEdge, records: list[RequestRecord], sent: bytes, status: int
) -> None:
    assert ask_raw(port, sent).startswith(b"HTTP/1.1 %d " % status)
    assert edge.refusals == {status: 1}
    assert [(record.method, record.path[:11], record.status) for record in records] == [("GET", "/v2/streams", status)]


def test_a_body_of_no_bytes_is_none(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(make_head() + b"Content-Length: 0\r\n\r\n")
        assert read_some(connection).startswith(b"HTTP/1.1 101 ")


def test_a_handshake_that_nobody_ends_is_cut_off_and_an_open_websocket_is_not(port: int, edge: HeldEdge) -> None:
    with connect(port) as opened, connect(port) as undecided:
        opened.sendall(make_head() + b"\r\n")
        assert read_some(opened).startswith(b"HTTP/1.1 101 ")
        undecided.sendall(make_head(b"/v2/streams/undecided") + b"\r\n")
        wait_until(lambda: edge.count("websocket") == 2)
        edge.let_go()
        with suppress(ConnectionResetError):
            assert read_to_end(undecided) == b""
        opened.sendall(b"\x81\x82\0\0\0\0hi")  # a masked text of two bytes, RFC 6455 §5.2
        assert read_some(opened).startswith(b"\x81\x02HI")


def test_a_denial_with_an_answer_ends_the_handshake(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = ask_raw(port, make_head(b"/v2/streams/denied") + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.endswith(b"none")
    assert not caplog.records


def test_a_websocket_that_fails_to_end_keeps_nobody_else_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(websocket: Any) -> None:
        raise AssertionError("not in this state")

    monkeypatch.setattr(WebSocket, "shutdown", fail)
    edge = Edge(ConnectionLimits(), websocket_prefix="/v2/streams")
    with ExitStack() as connections, serve_app(EchoApp(), edge) as port:  # the server ends first
        for _ in range(2):
            connection = connections.enter_context(connect(port))
            connection.sendall(make_head() + b"\r\n")
            assert read_some(connection).startswith(b"HTTP/1.1 101 ")
        connections.enter_context(connect(port))
        wait_until(lambda: len(edge.connections) == 3)
    assert not edge.connections
    assert caplog.text.count("could not be ended in order") == 2


class LastWordsApp:
    """Sends one message to a WebSocket when it is told to, a moment after the server has begun to end, and closes it."""

    def __init__(self) -> None:
        self.speak = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not self.speak.is_set():
            await asyncio.sleep(0.001)
        await send({"type": "websocket.send", "text": "end"})
        await send({"type": "websocket.close"})


def test_when_the_server_ends_the_application_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    shut_down, app = WebSocket.shutdown, LastWordsApp()

    def shut_down_first(websocket: WebSocket) -> None:
        shut_down(websocket)
        app.speak.set()

    monkeypatch.setattr(WebSocket, "shutdown", shut_down_first)
    edge = Edge(ConnectionLimits(), websocket_prefix="/v2/streams")
    with ExitStack() as connections:
        with serve_app(app, edge) as port:
            opened = connections.enter_context(connect(port))
            opened.sendall(make_head() + b"\r\n")
            assert read_some(opened).startswith(b"HTTP/1.1 101 ")
        assert read_to_end(opened) == b"\x81\x03end\x88\x02\x03\xe8"  # text, then closed with 1000 (RFC 6455 §5.2, §7.4.1)
    assert not edge.connections


def test_a_websocket_of_which_nothing_is_heard_is_closed_with_1012_when_the_server_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sightline.serving.http.connections.websocket.LAST_WORDS_S", 0.01)
    edge = Edge(ConnectionLimits(), websocket_prefix="/v2/streams")
    with ExitStack() as connections:
        with serve_app(EchoApp(), edge) as port:
            opened = connections.enter_context(connect(port))
            opened.sendall(make_head() + b"\r\n")
            assert read_some(opened).startswith(b"HTTP/1.1 101 ")
        assert read_to_end(opened) == b"\x88\x02\x03\xf4"
    assert not edge.connections


@pytest.fixture
def whole_port(edge: Edge) -> Iterator[int]:
    """Of a server with the settings of the whole one."""
    with serve_as_we_do(LifespanApp(), edge) as port:
        yield port
    assert not edge.connections


def make_frame(first: int, payload: bytes) -> bytes:
    """A masked frame, RFC 6455 §5.2; first: FIN bit and opcode."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([first]) + length + bytes(4) + payload


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\xfe" + struct.pack(">H", 1025), id="its head tells"),
        pytest.param(make_frame(0x01, b"a" * 600) + b"\x00\xfe" + struct.pack(">H", 425), id="in fragments"),
    ],
)
def test_a_message_that_no_acknowledgement_is_ends_the_websocket(whole_port: int, frames: bytes) -> None:
    with connect(whole_port) as connection:
        connection.sendall(make_head() + b"\r\n")
        assert read_some(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(frames)
        answer = read_to_end(connection)
    assert answer[0] == 0x88 and struct.unpack(">H", answer[2:4]) == (1009,)  # close: message too big


def test_nothing_is_compressed(whole_port: int) -> None:
    with connect(whole_port) as connection:
        connection.sendall(make_head() + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        head = read_some(connection)
    assert head.startswith(b"HTTP/1.1 101 ") and b"sec-websocket-extensions" not in head.lower()


def test_empty_fragments_do_not_pile_up(whole_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    handle = WebSocket.handle_cont

    def watch(websocket: Any, event: Any) -> None:
        nonlocal most
        handle(websocket, event)
        most = max(most, len(websocket.frames))

    monkeypatch.setattr(WebSocket, "handle_cont", watch)
    with connect(whole_port) as connection:
        connection.sendall(
            make_head() + b"\r\n" + make_frame(0x01, b"h") + make_frame(0x00, b"") * 5000 + make_frame(0x80, b"i")
        )
        received = b""
        while b"\x81\x02HI" not in received:
            received += read_some(connection)
    assert most == 1


def test_who_pings_and_does_not_read_is_owed_no_more_than_the_last_answer() -> None:
    pings, last = make_frame(0x89, b"p" * 125) * 128_000, b"the last one"
    patient = Edge(ConnectionLimits(), websocket_prefix="/v2/streams")  # sending all of them takes its time
    with serve_as_we_do(LifespanApp(), patient) as whole_port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(READ_TIMEOUT_S)
        connection.connect(("127.0.0.1", whole_port))
        connection.sendall(make_head() + b"\r\n" + pings + make_frame(0x89, last))
        answered = len(read_some(connection))
        tail = b""
        while not tail.endswith(last):
            chunk = read_some(connection)
            answered, tail = answered + len(chunk), (tail + chunk)[-len(last) :]
    assert answered < len(pings) / 2  # what the system's own buffers hold, and one buffer of the transport
