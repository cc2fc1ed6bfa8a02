import re
import socket
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from echo_app import EchoApp
from http_server import (
    GET,
    POST,
    READ_TIMEOUT_S,
    ask_raw,
    body_of,
    check_refusal,
    connect,
    read_answer,
    read_to_end,
    serve_app,
)
from waiting import wait_until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_websocket

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits


class Served(msgspec.Struct):
    """The server that most tests share: an application, its edge, its port."""

    app: EchoApp
    edge: Edge
    port: int


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    app, edge = EchoApp(), Edge(ConnectionLimits(), websocket_prefix="/v2/streams")
    with serve_app(app, edge) as port:
        yield Served(app, edge, port)


@pytest.fixture
def port(served: Served) -> int:
    """Port of the shared server, which has forgotten the tests before."""
    wait_until(lambda: not served.edge.connections)
    served.app.seen.clear()
    served.app.entered.clear()
    served.app.cancelled.clear()
    served.edge.refusals.clear()
    return served.port


@pytest.fixture
def app() -> EchoApp:
    """For a server of the test's own."""
    return EchoApp()


def test_requests_follow_each_other_on_one_connection(port: int) -> None:
    with connect(port) as connection:
        for size in (0, 3, 200_000):
            connection.sendall(b"POST /a?b=c HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            assert body_of(read_answer(connection)) == {
                "path": "/a",
                "query": "b=c",
                "size": size,
                "names": ["content-length", "host"],
            }


def test_a_request_in_single_bytes_is_understood(port: int) -> None:
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for (
            byte
        ) in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n":
            connection.sendall(bytes([byte]))
        told = body_of(read_answer(connection))
    assert told["size"] == 3
    assert told["names"] == ["host", "transfer-encoding"]  # the trailer is no header


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20)]
    requests.append(b"POST /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nxy")
    answers = ask_raw(port, b"".join(requests))
    assert re.findall(rb'"path": "/(\w+)"', answers) == [*(b"%d" % number for number in range(20)), b"last"]


def test_a_bad_request_behind_good_ones_is_answered_last(port: int) -> None:
    answers = ask_raw(port, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"400"]


def test_too_many_requests_ahead_of_their_answers_are_refused(port: int) -> None:
    answers = ask_raw(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert statuses == [b"200"] * 65 + [b"400"]


def test_what_follows_a_last_request_is_ignored(port: int, served: Served) -> None:
    answers = ask_raw(port, b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"]
    assert served.app.seen == ["/1"]


SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, id="length and chunks"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + SMUGGLED, id="chunks and length"),
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", id="length twice"),
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", id="two lengths"),
        pytest.param(POST + b"Content-Length: 1, 1\r\n\r\nx", id="list of lengths"),
        pytest.param(POST + b"Content-Length: +1\r\n\r\nx", id="signed length"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\nx", id="negative length"),
        pytest.param(POST + b"Content-Length: 0x1\r\n\r\nx", id="hexadecimal length"),
        pytest.param(POST + b"Content-Length: \r\n\r\nx", id="empty length"),
        pytest.param(POST + b"Content-Length: 99999999999999999999999\r\n\r\nx", id="huge length"),
        pytest.param(POST + b"Content-Length : 1\r\n\r\nx", id="space before the colon"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED, id="unknown coding"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + SMUGGLED, id="two codings"),
        pytest.param(POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + SMUGGLED, id="chunked is not last"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, id="coding twice"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED, id="identity"),
        pytest.param(POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + SMUGGLED, id="folded coding"),
        pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + SMUGGLED, id="control character in the coding"),
        pytest.param(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, id="1.0 with chunks"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", id="hexadecimal prefix of a chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", id="bare LF in a chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx", id="overflowing chunk"),
        pytest.param(GET + b"X: a\r\n b\r\n\r\n", id="folded header"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", id="bare LF between headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", id="bare CR"),
        pytest.param(GET + b"X: a\0b\r\n\r\n", id="NUL in a value"),
        pytest.param(GET + b"X\0: b\r\n\r\n", id="NUL in a name"),
        pytest.param(GET + b"\0\r\n\r\n", id="NUL as a header"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", id="space before the first header"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", id="Host twice"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", id="Host with a path"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", id="Host with a user"),
        pytest.param(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", id="URL of another host"),
        pytest.param(b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", id="URL of another scheme"),
        pytest.param(b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", id="fragment"),
        pytest.param(b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", id="escaped NUL"),
        pytest.param(b"POST /v2%2frepository%2Findex HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", id="escaped slash"),
        pytest.param(b"GET /v2%5Cmodels HTTP/1.1\r\nHost: a\r\n\r\n", id="escaped backslash"),
        pytest.param(b"GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n", id="escaped line break"),
        pytest.param(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", id="control character in the path"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", id="raw byte in the path"),
        pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", id="HTTP/2.0"),
        pytest.param(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", id="HTTP/1.2"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="preface of HTTP/2"),
        pytest.param(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", id="TRACE"),
        pytest.param(b"CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", id="CONNECT"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", id="asterisk"),
        pytest.param(POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", id="POST to WebSocket"),
        pytest.param(GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", id="WebSocket elsewhere"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS to a plain port"),
        pytest.param(b"NONSENSE\r\n\r\n", id="nonsense"),
    ],
)
def test_requests_that_two_programs_could_read_differently_are_400(port: int, served: Served, sent: bytes) -> None:
    check_refusal(ask_raw(port, sent), 400)
    assert "/smuggled" not in served.app.seen
    assert served.edge.refusals[400] == 1


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_upgrade_to_another_protocol_is_not_followed(port: int, served: Served, step: int) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    asked = GET + H2C + b"\r\n" + POST + H2C + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled
    sent = asked + asked + GET + b"Connection: close\r\n\r\n"
    with connect(port) as connection:
        for first in range(0, len(sent), step):
            connection.sendall(sent[first : first + step])
        answers = read_to_end(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 5
    assert re.findall(rb'"size": ?(\d+)', answers) == [b"0", b"35", b"0", b"35", b"0"]
    assert served.app.seen == ["/"] * 5


def test_an_upgrade_beside_a_body_without_a_length_is_400(port: int, served: Served) -> None:
    check_refusal(ask_raw(port, POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED), 400)
    assert "/smuggled" not in served.app.seen


def test_the_body_beside_an_upgrade_is_bounded(app: EchoApp) -> None:
    with serve_app(app, Edge(ConnectionLimits(max_body_bytes=1000))) as port:
        check_refusal(ask_raw(port, POST + H2C + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001), 413)


def test_an_unknown_expectation_is_417(port: int) -> None:
    check_refusal(ask_raw(port, POST + b"Expect: miracles\r\nContent-Length: 1\r\n\r\nx"), 417)


def test_an_absolute_url_of_this_host_is_served(port: int) -> None:
    answer = ask_raw(port, b"GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n")
    assert body_of(answer)["path"] == "/x"


def test_http_1_0_is_served_and_closed(port: int) -> None:
    answer = ask_raw(port, b"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nxy")
    assert body_of(answer)["size"] == 2
    assert ask_raw(port, b"GET /stream HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\none,two,three")


def test_a_stream_comes_in_chunks(port: int) -> None:
    answer = ask_raw(port, b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n")


def test_head_has_the_length_and_no_body(port: int) -> None:
    answer = ask_raw(port, b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", answer) and answer.endswith(b"\r\n\r\n")


def test_a_client_that_expects_continue_gets_it_before_it_sends(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert body_of(read_answer(connection))["size"] == 4
        connection.sendall(GET + b"\r\n")
        assert body_of(read_answer(connection))["size"] == 0


def test_a_client_that_expects_continue_and_is_refused_never_sends(port: int) -> None:
    answer = ask_raw(port, b"POST /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401") and b"connection: close" in answer


def test_an_answer_before_the_body_keeps_the_connection_when_little_is_left(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
        assert read_answer(connection).startswith(b"HTTP/1.1 401")
        connection.sendall(b"x" * 990 + GET + b"\r\n")
        assert body_of(read_answer(connection))["path"] == "/"


def test_an_answer_before_a_large_body_closes_the_connection(port: int) -> None:
    answer = ask_raw(port, b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 10)
    assert answer.startswith(b"HTTP/1.1 401") and b"connection: close" in answer


@pytest.mark.parametrize("length", [b"9000000", b"9"])
@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
def test_an_application_that_asks_on_behind_its_answer_hears_of_the_end(
    port: int, served: Served, length: bytes, expects: bytes
) -> None:
    served.app.heard.clear()
    with connect(port) as connection:
        head = b"POST /hasty HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n" + expects + b"\r\n"
        connection.sendall(head + b"abc" * (not expects))
        assert read_answer(connection).startswith(b"HTTP/1.1 401 ")
        wait_until(lambda: served.app.heard == ["http.disconnect"])


def test_a_client_that_hangs_up_ends_its_request(port: int, served: Served) -> None:
    with connect(port) as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert served.app.entered.wait(READ_TIMEOUT_S)
        assert not served.app.cancelled.is_set()
    assert served.app.cancelled.wait(READ_TIMEOUT_S)
    wait_until(lambda: not served.edge.connections)
    assert served.edge.buffered_bytes == 0


def test_clients_that_hang_up_in_the_middle_leave_nothing_behind(port: int, served: Served) -> None:
    whole = POST + b"Content-Length: 999\r\n\r\nabc"
    for sent in (b"", b"POST /x HT", POST, whole):
        for _ in range(5):
            with connect(port) as connection:
                connection.sendall(sent)
    wait_until(lambda: not served.edge.connections)
    assert served.edge.buffered_bytes == 0
    assert body_of(ask_raw(port, GET + b"Connection: close\r\n\r\n"))["path"] == "/"


def test_a_defect_is_500_and_the_log_has_it(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for path in (b"/defect", b"/injected"):
        detail = check_refusal(ask_raw(port, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"), 500)
        assert "Zero" not in detail
    assert "ZeroDivisionError" in caplog.text and "line break" in caplog.text


def test_headers_are_bounded_in_bytes_and_number(app: EchoApp) -> None:
    with serve_app(app, Edge(ConnectionLimits(max_header_bytes=1000, max_headers=10))) as port:
        check_refusal(ask_raw(port, GET + b"X: " + b"y" * 2000 + b"\r\n\r\n"), 431)
        check_refusal(ask_raw(port, GET + b"X: y\r\n" * 11 + b"\r\n"), 431)
        check_refusal(ask_raw(port, b"GET /" + b"y" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"), 414)
        with connect(port) as connection:  # a header that never ends
            connection.sendall(GET + b"X: ")
            for _ in range(20):
                connection.sendall(b"y" * 100)
            check_refusal(read_to_end(connection), 431)
        trailers = b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: u\r\n" * 200 + b"\r\n"
        check_refusal(ask_raw(port, POST + trailers), 431)
    assert "/" not in app.seen[:-1]


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"1;x="], ids=["a trailer", "an extension of a chunk"])
def test_lines_in_a_body_that_never_end_are_bounded(app: EchoApp, begun: bytes) -> None:
    with serve_app(app, Edge(ConnectionLimits(max_header_bytes=1000))) as port, connect(port) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + begun)
        wait_until(lambda: app.seen)
        for _ in range(20):
            connection.sendall(b"y" * 100)
        check_refusal(read_to_end(connection), 431)


def test_bodies_are_bounded_announced_or_not(app: EchoApp) -> None:
    with serve_app(app, Edge(ConnectionLimits(max_body_bytes=1000))) as port:
        check_refusal(ask_raw(port, POST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001), 413)
        assert app.seen == []
        chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n"
        check_refusal(ask_raw(port, POST + chunks + (b"64\r\n" + b"x" * 100 + b"\r\n") * 10), 413)
        kept = ask_raw(port, POST + b"Connection: close\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        assert body_of(kept)["size"] == 1000


@pytest.mark.parametrize(("origin", "is_listed"), [(b"https://LAB.example", True), (b"https://evil.example", False)])
def test_a_page_of_a_listed_origin_may_read_what_the_connection_refuses(app: EchoApp, origin: bytes, is_listed: bool) -> None:
    edge = Edge(ConnectionLimits(max_body_bytes=1000), allowed_origins=["https://lab.example"])
    line = b"Origin: " + origin + b"\r\n"
    with serve_app(app, edge) as port:
        too_large = ask_raw(port, POST + line + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001)
        broken = ask_raw(port, b"GET /defect HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n")
    for answer, status in ((too_large, 413), (broken, 500)):
        check_refusal(answer, status)
        assert (b"access-control-allow-origin: " + origin + b"\r\n" in answer) is is_listed


def test_bodies_of_all_connections_are_bounded_together(app: EchoApp) -> None:
    edge = Edge(ConnectionLimits(max_buffered_bytes=1500))
    with serve_app(app, edge) as port, connect(port) as first:
        first.sendall(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1000)
        wait_until(lambda: edge.buffered_bytes == 1000)
        check_refusal(ask_raw(port, POST + b"Content-Length: 600\r\n\r\n" + b"x" * 600), 503)
        first.sendall(b"x")
        assert body_of(read_answer(first))["size"] == 1001
        wait_until(lambda: edge.buffered_bytes == 0)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_comes_in_pieces_and_is_never_held_whole(app: EchoApp, chunked: bool) -> None:
    size = 100_000_000
    edge = Edge(ConnectionLimits(max_body_bytes=size, max_buffered_bytes=40_000_000))
    piece = b"x" * 1_000_000
    with serve_app(app, edge) as port, connect(port) as connection:
        announced = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        connection.sendall(b"POST /pieces HTTP/1.1\r\nHost: a\r\n" + announced + b"\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        assert body_of(read_answer(connection)) == {"size": size}
        connection.sendall(GET + b"\r\n")
        assert body_of(read_answer(connection))["path"] == "/"
        assert edge.buffered_bytes == 0
    assert len(app.pieces) > 4 and max(app.pieces) < 20_000_000


def test_connections_are_bounded_in_all_and_per_address(app: EchoApp) -> None:
    for limits, words in (
        (ConnectionLimits(max_connections=2), "too many connections are open"),
        (ConnectionLimits(max_connections_per_address=2), "from this address"),
    ):
        edge = Edge(limits)
        with serve_app(app, edge) as port, connect(port) as first, connect(port) as second:
            wait_until(lambda edge=edge: len(edge.connections) == 2)  # type: ignore[misc]
            with connect(port) as third:
                assert words in check_refusal(read_to_end(third), 503)
            first.close()
            wait_until(lambda edge=edge: len(edge.connections) == 1)  # type: ignore[misc]
            second.sendall(GET + b"Connection: close\r\n\r\n")
            assert body_of(read_to_end(second))["path"] == "/"


def test_websockets_are_let_through_on_their_path_only(port: int, served: Served) -> None:
    with connect_websocket(f"ws://127.0.0.1:{port}/v2/streams/1") as websocket:
        assert len(served.edge.connections) == 1
        websocket.send("hello")
        assert websocket.recv() == "HELLO"
    wait_until(lambda: not served.edge.connections)
    with pytest.raises(InvalidStatus, match="400"):
        connect_websocket(f"ws://127.0.0.1:{port}/elsewhere")


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_mutated_requests_never_fail_the_server(port: int, served: Served, rng: np.random.Generator, count: int) -> None:
    seeds = (
        b"POST /a?b=c HTTP/1.1\r\nHost: a:80\r\nContent-Type: image/png\r\nContent-Length: 11\r\n\r\nhello world",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: */*\r\nX-Request-Id: 7\r\n\r\n",
    )
    statuses: Counter[bytes] = Counter()
    for _ in range(count):
        sent = bytearray(seeds[rng.integers(len(seeds))])
        for _ in range(rng.integers(1, 6)):
            place = int(rng.integers(len(sent)))
            change = rng.integers(4)
            if change == 0:
                sent[place] = rng.integers(256)
            elif change == 1:
                del sent[place : place + int(rng.integers(1, 8))]
            elif change == 2:
                sent[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 4)), np.uint8))
            else:
                sent[place:place] = sent[: int(rng.integers(1, len(sent)))]
        with connect(port) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            statuses.update(re.findall(rb"HTTP/1.1 (\d+) ", read_to_end(connection)))
    assert statuses[b"400"] > count / 10
    assert not [status for status in statuses if status.startswith(b"5")]
    assert body_of(ask_raw(port, GET + b"Connection: close\r\n\r\n"))["path"] == "/"
    assert served.edge.buffered_bytes == 0


def test_the_server_stops_while_clients_idle_and_wait(app: EchoApp) -> None:
    with serve_app(app) as port, connect(port) as idle:
        idle.sendall(GET + b"\r\n")
        assert read_answer(idle).startswith(b"HTTP/1.1 200")
    # serve_app itself asserts that the server's thread has ended


def test_the_server_stops_soon_though_a_body_never_comes(app: EchoApp) -> None:
    with serve_app(app) as port:
        connection = connect(port)
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab")
        wait_until(lambda: app.seen)
    with connection:
        assert "send it again" in check_refusal(read_to_end(connection), 503)
