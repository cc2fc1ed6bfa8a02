"""TLS connections count, and are under a deadline, while their handshakes go on."""

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from echo_app import LifespanApp
from http_server import GET, READ_TIMEOUT_S, connect, read_answer, read_to_end, serve_as_we_do
from tls_certificates import make_certificate
from waiting import wait_until

from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.tls import make_tls_context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")

QUICK = ConnectionLimits(header_timeout_s=0.3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture
def trust(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files[0])


class NotingEdge(Edge):
    """Notes how many connections are counted as each comes."""

    def __init__(self, limits: ConnectionLimits) -> None:
        super().__init__(limits)
        self.counted: list[int] = []

    def admit(self, *given: Any) -> Any:
        refusal = super().admit(*given)
        self.counted.append(len(self.connections))
        return refusal


@contextmanager
def serve_tls(edge: Edge, files: tuple[Path, Path]) -> Iterator[int]:
    with serve_as_we_do(LifespanApp(), edge, make_tls_context(*files)) as port:
        yield port


def ask(port: int, trust: ssl.SSLContext) -> bytes:
    with trust.wrap_socket(connect(port), server_hostname="localhost") as connection:
        connection.sendall(GET + b"\r\n")
        return read_answer(connection)


def test_a_handshake_that_does_not_come_ends_with_the_time_for_headers(files: tuple[Path, Path]) -> None:
    edge = NotingEdge(QUICK)
    with serve_tls(edge, files) as port, connect(port) as silent, connect(port) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00")  # how a handshake begins
        for connection in (silent, slow):
            assert read_all(connection) == b""
        wait_until(lambda: not edge.connections)
    assert len(edge.counted) == 2 and min(edge.counted) >= 1


@pytest.mark.parametrize("limits", [ConnectionLimits(max_connections=2), ConnectionLimits(max_connections_per_address=2)])
def test_handshakes_count_as_connections(files: tuple[Path, Path], trust: ssl.SSLContext, limits: ConnectionLimits) -> None:
    edge = Edge(limits)
    with serve_tls(edge, files) as port:
        with connect(port) as silent, connect(port):
            wait_until(lambda: len(edge.connections) == 2)
            with connect(port) as third:
                assert read_to_end(third) == b""
            assert edge.refusals[503] == 1
            silent.close()
            wait_until(lambda: len(edge.connections) == 1)
            assert ask(port, trust).startswith(b"HTTP/1.1 200")  # not counted twice when its handshake is over
        wait_until(lambda: not edge.connections)


def test_what_speaks_no_tls_is_closed_and_others_are_served(files: tuple[Path, Path], trust: ssl.SSLContext) -> None:
    edge = Edge()
    with serve_tls(edge, files) as port:
        for _ in range(3):
            with connect(port) as plain:
                plain.sendall(GET + b"\r\n")
                plain.settimeout(READ_TIMEOUT_S)
                assert b"HTTP" not in read_all(plain)
            assert ask(port, trust).startswith(b"HTTP/1.1 200")
        wait_until(lambda: not edge.connections)


def test_the_server_ends_though_handshakes_do_not(files: tuple[Path, Path]) -> None:
    edge = Edge()
    with serve_tls(edge, files) as port:
        silent = connect(port)
        wait_until(lambda: len(edge.connections) == 1)
    with silent:
        assert read_to_end(silent) == b""
    assert not edge.connections


def read_all(connection: socket.socket) -> bytes:
    """As `read_to_end`, but being cut off is an end too."""
    try:
        return read_to_end(connection)
    except ConnectionResetError:
        return b""
