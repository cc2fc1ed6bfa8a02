"""Requests that are answered at the gate: as soon as their heads are complete, without the application."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from echo_app import EchoApp
from http_server import ask_raw, body_of, check_refusal, connect, read_answer, read_to_end, serve_app, wait_for
from starlette.responses import Response
from starlette.types import Scope

from sightline.serving.http.edge import ConnectionLimits, Edge
from sightline.serving.http.guard import Guard
from sightline.serving.http.refusals import Refusal, answer_refusal
from sightline.serving.http.request_record import RequestRecord

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Shut(NamedTuple):
    """A server whose gate lets nobody through to paths that begin with /shut."""

    app: EchoApp
    edge: Edge
    port: int


def refuse(scope: Scope) -> Response | None:
    return answer_refusal(Refusal(503, "not now", 1)) if scope["path"].startswith("/shut") else None


@pytest.fixture(scope="module")
def shut() -> Iterator[Shut]:
    app, edge = EchoApp(), Edge()
    edge.gate = refuse
    with serve_app(app, edge) as port:
        yield Shut(app, edge, port)


def test_the_gate_answers_in_turn_and_keeps_the_connection(shut: Shut) -> None:
    shut_post = b"POST /shut HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    with connect(shut.port) as connection:
        for _ in range(3):
            connection.sendall(shut_post)
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer and b"connection:" not in answer
        connection.sendall(GET + b"\r\n")
        assert body_of(read_answer(connection))["path"] == "/"
    pipelined = [b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"shut" if number % 3 else b"open") for number in range(60)]
    answers = ask_raw(shut.port, b"".join(pipelined) + GET + b"Connection: close\r\n\r\n")
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert statuses == [b"503" if number % 3 else b"200" for number in range(60)] + [b"200"]
    assert "/shut" not in shut.app.seen
    assert shut.edge.buffered_bytes == 0


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"Content-Length: 9000000\r\n\r\n" + b"x" * 100_000, id="a large body"),
        pytest.param(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nxy" + NEXT, id="expecting"),
        pytest.param(b"Content-Length: 2\r\nConnection: close\r\n\r\nxy" + NEXT, id="a last one"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n" + NEXT, id="chunks"),
    ],
)
def test_the_gate_ends_a_connection_whose_rest_it_will_not_read(shut: Shut, sent: bytes) -> None:
    answers = ask_raw(shut.port, b"POST /shut HTTP/1.1\r\nHost: a\r\n" + sent)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"503"]
    assert b"connection: close" in answers and "/next" not in shut.app.seen


def test_what_follows_a_request_that_the_gate_ended_does_not_keep_the_connection_open() -> None:
    edge = Edge(ConnectionLimits(linger_s=0.2, header_timeout_s=30, idle_timeout_s=30))
    edge.gate = lambda scope: answer_refusal(Refusal(503, "not now", 1))
    with serve_app(EchoApp(), edge) as port, connect(port) as connection:
        connection.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nxy" + NEXT)
        assert read_to_end(connection).startswith(b"HTTP/1.1 503")
        wait_for(lambda: not edge.connections, 10)


def test_what_the_gate_let_through_and_the_connection_refused_is_told_once() -> None:
    told: list[RequestRecord] = []
    edge = Edge(ConnectionLimits(max_body_bytes=10), tellers=[told.append])
    guard = Guard(EchoApp(), tellers=[told.append])
    edge.gate = guard.admit
    with serve_app(guard, edge) as port:
        too_large = b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n"
        check_refusal(ask_raw(port, POST + too_large), 413)
        assert [(record.status, record.path) for record in told] == [(413, "/")]
