"""Deadlines of a connection: for headers, bodies and answers that are not read, and for idling."""

import pytest
from echo_app import EchoApp
from http_server import (
    FAST,
    GET,
    POST,
    READ_TIMEOUT_S,
    HeldEdge,
    check_refusal,
    connect,
    drip_until_ended,
    read_answer,
    read_some,
    read_to_end,
    serve_app,
)
from waiting import wait_until

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits


@pytest.fixture
def app() -> EchoApp:
    return EchoApp()


def test_headers_that_drip_are_408(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as connection, connect(port) as dripping:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        dripping.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: edge.count("head") == 2)
        edge.let_go()
        check_refusal(drip_until_ended(dripping, b"X: y\r\n", every_s=0.02), 408)
        check_refusal(read_to_end(connection), 408)


def test_a_body_that_stops_is_408_and_its_handler_ends(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        wait_until(lambda: edge.count("body") == 1)
        edge.let_go()
        check_refusal(read_to_end(connection), 408)
        assert app.cancelled.wait(READ_TIMEOUT_S)


def test_a_body_slower_than_the_least_rate_is_408(app: EchoApp) -> None:
    limits = ConnectionLimits(body_grace_s=0.2, min_body_bytes_per_s=10_000)
    with serve_app(app, Edge(limits)) as port, connect(port) as connection:
        connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        check_refusal(drip_until_ended(connection, b"x" * 20, every_s=0.02), 408)  # 1000 bytes a second


def test_idle_connections_are_closed_without_a_word(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as fresh, connect(port) as used:
        used.sendall(GET + b"\r\n")
        assert read_answer(used).startswith(b"HTTP/1.1 200")
        edge.let_go()
        assert read_to_end(fresh) == b""
        assert read_to_end(used) == b""


def test_a_client_that_does_not_read_its_answer_is_cut_off(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_some(connection).startswith(b"HTTP/1.1 200")
        edge.let_go()
        wait_until(lambda: not edge.connections)


def test_a_long_answer_does_not_time_out(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.entered.wait(READ_TIMEOUT_S)
        edge.let_go()
        with connect(port) as idle:  # opened later, and closed for idling: so the sweep has passed over the other one
            assert read_to_end(idle) == b""
        assert len(edge.connections) == 1 and not app.cancelled.is_set()
