"""What a client can make a connection hold: pieces of large bodies, bodies that drip, answers that nobody reads."""

import threading

import pytest
from echo_app import EchoApp
from http_server import (
    FAST,
    GET,
    POST,
    HeldEdge,
    ask_raw,
    body_of,
    check_refusal,
    connect,
    drip_until_ended,
    read_answer,
    read_to_end,
    serve_app,
)
from waiting import wait_until

from sightline.serving.http.connections import exchange
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.request_parser import FREE_CHUNKS, MIN_CHUNK_BYTES
from sightline.serving.http.connections.rules import ConnectionLimits


@pytest.fixture
def app() -> EchoApp:
    return EchoApp()


def test_pieces_that_an_application_collects_stay_counted_until_its_answer(
    app: EchoApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WHOLE_BYTES", 1000)
    edge = Edge(ConnectionLimits(max_buffered_bytes=50_000))
    with serve_app(app, edge) as port, connect(port) as first:
        first.sendall(b"POST /collected HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n")
        for sent in range(1, 4):  # several pieces: what came before has been read, and the next is waited for
            first.sendall(b"x" * 10_000)
            wait_until(lambda sent=sent: edge.buffered_bytes == sent * 10_000)  # type: ignore[misc]
        with connect(port) as second:
            second.sendall(b"POST /collected HTTP/1.1\r\nHost: a\r\nContent-Length: 25000\r\n\r\n" + b"x" * 24_999)
            check_refusal(read_to_end(second), 503)
        first.sendall(b"x" * 10_000)
        assert body_of(read_answer(first)) == {"size": 40_000}
        wait_until(lambda: edge.buffered_bytes == 0)


def test_a_piece_is_counted_until_an_application_that_lets_go_asks_for_the_next(
    app: EchoApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WHOLE_BYTES", 1000)
    edge = Edge(ConnectionLimits(max_buffered_bytes=50_000))
    with serve_app(app, edge) as port:
        with connect(port) as connection:
            connection.sendall(b"POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n")
            for number in range(1, 10):
                connection.sendall(b"x" * 10_000)
                wait_until(lambda number=number: sum(app.pieces) == number * 10_000)  # type: ignore[misc]
            assert body_of(read_answer(connection)) == {"size": 90_000}
            wait_until(lambda: not edge.buffered_bytes)
            connection.sendall(b"POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + b"x" * 40_000)
            wait_until(lambda: sum(app.pieces) == 40_000)
        wait_until(lambda: not edge.connections)  # hung up in the middle
        assert edge.buffered_bytes == 0


def test_what_came_fast_does_not_let_the_rest_drip(app: EchoApp) -> None:
    limits = ConnectionLimits(body_grace_s=0.2, min_body_bytes_per_s=1000)
    with serve_app(app, Edge(limits)) as port, connect(port) as connection:
        connection.sendall(
            POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000
        )  # 100 s worth of the least rate: none reads so long
        check_refusal(drip_until_ended(connection, b"x", every_s=0.05), 408)


LARGE = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_next_request_waits_until_the_answer_before_it_is_read(app: EchoApp) -> None:
    with serve_app(app) as port, connect(port) as connection:
        connection.sendall(LARGE * 3)
        wait_until(lambda: bool(app.seen))
        connection.sendall(LARGE + b"NONSENSE\r\n\r\n")
        for _ in range(3):  # the loop has turned meanwhile, and read all of that if it wanted to
            assert body_of(ask_raw(port, GET + b"Connection: close\r\n\r\n"))["path"] == "/"
        assert [path for path in app.seen if path != "/"] == ["/large"]
        received = read_to_end(connection)
    assert [path for path in app.seen if path != "/"] == ["/large"] * 4
    assert len(received) > 4 * 64 * 1024 * 1024
    check_refusal(received[received.rfind(b"HTTP/1.1 400") :], 400)


def test_a_client_that_sends_requests_and_reads_no_answer_is_cut_off(app: EchoApp) -> None:
    edge = HeldEdge(FAST)
    with serve_app(app, edge) as port, connect(port) as connection:
        connection.sendall(LARGE * 3)
        wait_until(lambda: bool(app.seen))
        edge.let_go()
        wait_until(lambda: not edge.connections)
        assert app.seen == ["/large"]


def test_the_server_stops_soon_though_requests_wait_behind_an_unread_answer(app: EchoApp) -> None:
    def read_when_it_ends() -> None:
        wait_until(lambda: all(one._transport.is_closing() for one in edge.connections))  # type: ignore[attr-defined]
        received.append(read_to_end(connection))

    received: list[bytes] = []
    edge, reader = Edge(), threading.Thread(target=read_when_it_ends)
    with serve_app(app, edge) as port:
        connection = connect(port)
        connection.sendall(LARGE * 2)
        wait_until(lambda: bool(app.seen))
        reader.start()
    reader.join()
    connection.close()
    assert app.seen == ["/large"] and len(received[0]) > 64 * 1024 * 1024


CHUNKED = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("size", "count"), [(1, FREE_CHUNKS), (MIN_CHUNK_BYTES, 8000)])
def test_chunks_may_be_small_where_they_are_few_or_not_that_small(app: EchoApp, size: int, count: int) -> None:
    with serve_app(app) as port:
        answer = ask_raw(port, CHUNKED + b"%x\r\n%b\r\n" % (size, b"x" * size) * (count - 1) + b"0\r\n\r\n")
        assert body_of(answer)["size"] == size * (count - 1)


@pytest.mark.parametrize(("size", "count"), [(1, FREE_CHUNKS + 10), (2, 100_000), (MIN_CHUNK_BYTES // 2, 2100)])
def test_a_body_of_very_many_small_chunks_is_400(app: EchoApp, size: int, count: int) -> None:
    edge = Edge()
    with serve_app(app, edge) as port, connect(port) as connection:
        connection.sendall(CHUNKED + b"%x\r\n%b\r\n" % (size, b"x" * size) * count)
        assert "send larger ones" in check_refusal(read_to_end(connection), 400)
        assert not edge.buffered_bytes
