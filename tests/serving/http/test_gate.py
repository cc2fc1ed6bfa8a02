"""Requests that are answered at the gate: as soon as their heads are complete, without the application."""

import asyncio
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from echo_app import EchoApp
from http_server import GET, POST, ask_raw, body_of, check_refusal, connect, read_answer, read_some, read_to_end, serve_app
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from waiting import wait_until

from sightline.core.errors import QueueFull
from sightline.serving.http.connections.connection import EdgeConnection
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.guard import Guard
from sightline.serving.http.refusals import Refusal, answer_refusal
from sightline.serving.http.request_record import RequestRecord

SHUT_POST = b"POST /shut HTTP/1.1\r\nHost: a\r\n"
UPGRADE = (
    b"GET /v2/streams/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Shut(NamedTuple):
    """A server whose gate lets nobody through to paths that begin with /shut."""

    app: EchoApp
    edge: Edge
    port: int


def refuse(scope: Scope) -> Response | None:
    return answer_refusal(Refusal(503, "not now", 1)) if scope["path"].startswith("/shut") else None


def refuse_room(model: str, version: str, tenant: str, priority: int) -> None:
    raise QueueFull(f"the queue of {model} is full", retry_after_s=1.0)


def make_gated(limits: ConnectionLimits) -> tuple[Guard, Edge, list[RequestRecord]]:
    """A guard that is the gate of an edge, every queue full, and what both are going to tell."""
    told: list[RequestRecord] = []
    edge = Edge(limits, websocket_prefix="/v2/streams", observers=[told.append])
    return Guard(EchoApp(), check_room=refuse_room, observers=[told.append]), edge, told


def list_statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answers)]


@pytest.fixture(scope="module")
def shut() -> Iterator[Shut]:
    app, edge = EchoApp(), Edge()
    with serve_app(app, edge, refuse) as port:
        yield Shut(app, edge, port)


def test_the_gate_answers_in_turn_and_keeps_the_connection(shut: Shut) -> None:
    shut_post = SHUT_POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    with connect(shut.port) as connection:
        for _ in range(3):
            connection.sendall(shut_post)
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer and b"connection:" not in answer
        connection.sendall(GET + b"\r\n")
        assert body_of(read_answer(connection))["path"] == "/"
    pipelined = [b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"shut" if number % 3 else b"open") for number in range(60)]
    answers = ask_raw(shut.port, b"".join(pipelined) + GET + b"Connection: close\r\n\r\n")
    assert list_statuses(answers) == [503 if number % 3 else 200 for number in range(60)] + [200]
    assert "/shut" not in shut.app.seen
    assert shut.edge.buffered_bytes == 0


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"Content-Length: 9000000\r\n\r\n" + b"x" * 100_000, id="a large body"),
        pytest.param(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", id="expecting"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n", id="chunks without an end"),
        pytest.param(b"Content-Length: 2\r\nConnection: close\r\n\r\nxy" + NEXT, id="a last one"),
    ],
)
def test_the_gate_ends_a_connection_whose_rest_it_will_not_read(shut: Shut, sent: bytes) -> None:
    shut.app.seen.clear()
    answers = ask_raw(shut.port, SHUT_POST + sent)
    assert list_statuses(answers) == [503]
    assert b"connection: close" in answers and "/next" not in shut.app.seen


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        pytest.param(b"Content-Length: 2\r\n\r\nxy" + NEXT, [503, 200], id="a sound request"),
        pytest.param(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nxy" + NEXT, [503, 200], id="behind an expecting one"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n" + NEXT, [503, 200], id="behind chunks"),
        pytest.param(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nxy\0\0", [503, 400], id="garbage"),
        pytest.param(b"Content-Length: 2\r\n\r\nxyGET / HTTP/1.1\r\n\r\n", [503, 400], id="a request without Host"),
        pytest.param(b"Content-Length: 2\r\n\r\nxy" + UPGRADE, [503, 400], id="an upgrade"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n", [400], id="its own broken body"),
    ],
)
def test_what_follows_a_refused_request_in_the_same_packet_is_answered_in_turn(
    caplog: pytest.LogCaptureFixture, sent: bytes, statuses: list[int]
) -> None:
    guard, edge, told = make_gated(ConnectionLimits())
    with serve_app(guard, edge, guard.admit) as port, connect(port) as connection:
        connection.sendall(b"POST /predict/full HTTP/1.1\r\nHost: a\r\n" + sent)
        answers = b""
        while len(list_statuses(answers)) < len(statuses):
            answers += read_some(connection)
    assert list_statuses(answers) == statuses
    assert sorted(record.status for record in told) == sorted(statuses)
    assert not caplog.records


def test_a_flood_of_requests_in_one_packet_is_bounded(shut: Shut) -> None:
    statuses = list_statuses(ask_raw(shut.port, b"GET /shut HTTP/1.1\r\nHost: a\r\n\r\n" * 500))
    assert statuses[:65] == [503] * 65 and statuses[-1] == 400


def test_a_refused_request_whose_body_never_comes_is_told_once() -> None:
    guard, edge, told = make_gated(ConnectionLimits(body_grace_s=0.2, linger_s=0.2))
    with serve_app(guard, edge, guard.admit) as port:
        sent = b"POST /predict/full HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nxy"
        assert list_statuses(ask_raw(port, sent)) == [503]
        wait_until(lambda: not edge.connections)
    assert [record.status for record in told] == [503]


def test_bodies_that_nobody_holds_are_not_refused_for_those_that_are_held(shut: Shut) -> None:
    edge = Edge(ConnectionLimits(max_buffered_bytes=100))
    edge.buffered_bytes = 101
    with serve_app(EchoApp(), edge, refuse) as port, connect(port) as connection:
        connection.sendall(SHUT_POST + b"Content-Length: 20\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 503")
        connection.sendall(b"x" * 20 + GET + b"\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_what_the_gate_let_through_and_the_connection_refused_is_told_once() -> None:
    guard, edge, told = make_gated(ConnectionLimits(max_body_bytes=10))
    with serve_app(guard, edge, guard.admit) as port:
        too_large = b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n"
        check_refusal(ask_raw(port, POST + too_large), 413)
        assert [(record.status, record.path) for record in told] == [(413, "/")]


def test_a_defect_of_the_gate_is_500_also_behind_another_request(caplog: pytest.LogCaptureFixture) -> None:
    def break_down(scope: Scope) -> None:
        if scope["path"] == "/next":
            raise ZeroDivisionError

    with serve_app(EchoApp(), gate=break_down) as port:
        assert list_statuses(ask_raw(port, GET + b"\r\n" + NEXT + GET + b"\r\n")) == [200, 500]
    assert "ZeroDivisionError" in caplog.text


def test_a_server_that_ends_waits_for_no_connection_that_was_refused_before_its_body_had_come() -> None:
    edge = Edge()
    loops: list[asyncio.AbstractEventLoop] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        await EchoApp()(scope, receive, send)

    with serve_app(app, edge, refuse) as port, connect(port) as connection:
        connection.sendall(GET + b"\r\n")
        read_answer(connection)
        connection.sendall(SHUT_POST + b"Content-Length: 20\r\n\r\n")
        read_answer(connection)
        (served,) = edge.connections
        assert isinstance(served, EdgeConnection)
        done = threading.Event()
        loops[0].call_soon_threadsafe(lambda: (served.shutdown(), done.set()))
        assert done.wait(10)
        connection.sendall(b"x" * 20)
        assert read_to_end(connection) == b""
