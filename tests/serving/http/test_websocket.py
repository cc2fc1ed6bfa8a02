import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from echo_app import EchoApp
from http_server import ask_raw, connect, read_some, read_to_end, serve_app, wait_for

from sightline.serving.http.edge import ConnectionLimits, Edge
from sightline.serving.http.request_record import RequestRecord
from sightline.serving.http.websocket import WebSocket

FAST = ConnectionLimits(header_timeout_s=0.3, write_timeout_s=0.3, linger_s=0.3)
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


def make_head(path: bytes = b"/v2/streams/1/ws", more: bytes = KEY) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + more


@pytest.fixture
def records() -> list[RequestRecord]:
    """What the edge has told of."""
    return []


@pytest.fixture
def edge(records: list[RequestRecord]) -> Edge:
    return Edge(FAST, websocket_prefix="/v2/streams", tellers=[records.append])


@pytest.fixture
def port(edge: Edge) -> Iterator[int]:
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
    port: int, edge: Edge, records: list[RequestRecord], sent: bytes, status: int
) -> None:
    assert ask_raw(port, sent).startswith(b"HTTP/1.1 %d " % status)
    assert edge.refusals == {status: 1}
    assert [(record.method, record.path[:11], record.status) for record in records] == [("GET", "/v2/streams", status)]


def test_a_body_of_no_bytes_is_none(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(make_head() + b"Content-Length: 0\r\n\r\n")
        assert read_some(connection).startswith(b"HTTP/1.1 101 ")


def test_a_handshake_that_nobody_ends_is_cut_off_and_an_open_websocket_is_not(port: int) -> None:
    with connect(port) as opened, connect(port) as undecided:
        opened.sendall(make_head() + b"\r\n")
        assert read_some(opened).startswith(b"HTTP/1.1 101 ")
        undecided.sendall(make_head(b"/v2/streams/undecided") + b"\r\n")
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
        wait_for(lambda: len(edge.connections) == 3)
    assert not edge.connections
    assert caplog.text.count("could not be ended in order") == 2
