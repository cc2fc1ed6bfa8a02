"""The platform where others reach it: TLS, a proxy in front, and clients that only want to be in the way."""

import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import msgspec
import pytest
from http_server import HeldEdge
from platform_server import Running, run_app
from starlette.types import ASGIApp
from tls_certificates import make_certificate
from waiting import wait_until

from sightline.api.hosts import Hosts
from sightline.api.parts import Parts
from sightline.api.reach import Reach
from sightline.api.server import make_platform, open_parts
from sightline.api.session import Session
from sightline.core.workspace import Workspace
from sightline.serving.http.connections.edge import Edge
from sightline.serving.http.tls import make_tls_context

PASSWORD = "correct horse"
FEW = msgspec.structs.replace(Reach().limits, max_connections_per_address=4)
IMPATIENT = msgspec.structs.replace(FEW, header_timeout_s=0.5)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")


@pytest.fixture
def parts(workspace: Workspace, cheap_passwords: None) -> Iterator[Parts]:
    with open_parts(workspace) as parts:
        parts.accounts.users.add("ada", "admin", PASSWORD)
        yield parts


def connect(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.session.port), timeout=30)


def wait_until_closed(client: socket.socket) -> bytes:
    """What came before the server closed the connection."""
    came = b""
    while part := client.recv(4096):
        came += part
    return came


@needs_openssl
def test_over_tls_cookies_are_the_hosts_own_and_origins_are_https(parts: Parts, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "mine")
    tls = make_tls_context(certificate, key)
    trusted = ssl.create_default_context(cafile=certificate)
    with (
        run_app(lambda session: make_platform(parts, session), tls=tls) as running,
        httpx.Client(base_url=running.url, verify=trusted, trust_env=False, timeout=30) as browser,
    ):
        form = {"name": "ada", "password": PASSWORD}
        plain = {"Origin": running.url.replace("https", "http")}
        assert browser.post("/sign-in", data=form, headers=plain).status_code == 403
        answer = browser.post("/sign-in", data=form, headers={"Origin": running.url})
        assert answer.status_code == 303
        name, *facts = answer.headers["set-cookie"].split(";")
        assert name.startswith(f"__Host-sightline-{running.session.port}=")
        assert {fact.strip().lower() for fact in facts} >= {"secure", "httponly", "samesite=strict", "path=/"}
        assert browser.get("/v1/session").json()["author"] == "ada"
        secret = browser.cookies[running.session.cookie_name]
        bare = {"Cookie": f"sightline-{running.session.port}={secret}"}  # as a plain page of this host could set it
        browser.cookies.clear()
        assert browser.get("/v1/session", headers=bare).status_code == 401
        with closing(connect(running)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")  # no TLS
            assert b"200" not in wait_until_closed(client)


@needs_openssl
def test_handshakes_that_do_not_come_are_ended_and_keep_nobody_out(parts: Parts, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "mine")
    trusted = ssl.create_default_context(cafile=certificate)
    tls = make_tls_context(certificate, key)
    with (
        run_app(lambda session: make_platform(parts, session), tls=tls, edge=Edge(IMPATIENT)) as running,
        ExitStack() as stack,
    ):
        silent = [stack.enter_context(closing(connect(running))) for _ in range(IMPATIENT.max_connections_per_address)]
        for client in silent:
            assert wait_until_closed(client) == b""
        answer = httpx.get(running.url, verify=trusted, trust_env=False, timeout=30)
        assert answer.status_code == 401 and "Sign in" in answer.text


def test_behind_a_proxy_its_name_is_ours_and_none_of_its_headers_is_believed(parts: Parts) -> None:
    hosts = Hosts(names=frozenset(("vision.example",)), port=None, scheme="https")

    def make(session: Session) -> ASGIApp:
        return make_platform(parts, msgspec.structs.replace(session, scheme="https", hosts=hosts, behind_proxy=True))

    with run_app(make) as running, httpx.Client(base_url=running.url, trust_env=False, timeout=30) as proxy:
        passed_on = {"Host": "vision.example", "Origin": "https://vision.example"}
        form = {"name": "ada", "password": PASSWORD}
        answer = proxy.post("/sign-in", data=form, headers=passed_on)
        assert answer.status_code == 303 and answer.headers["location"] == "/"  # no address that the proxy would not know
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-") and "secure" in cookie.lower()
        for lie in (
            {"Origin": "http://vision.example", "X-Forwarded-Proto": "http"},
            {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
            {"Host": "evil.example", "X-Forwarded-Host": "vision.example"},
        ):
            assert proxy.post("/sign-in", data=form, headers=passed_on | lie).status_code in (400, 403)
        statuses = [
            proxy.post(
                "/sign-in",
                data={"name": "ada", "password": "wrong horse"},
                headers=passed_on | {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"},
            ).status_code
            for number in range(40)
        ]
        assert 429 in statuses  # another address in a header is no other place


def test_heads_that_do_not_come_to_an_end_are_ended(parts: Parts) -> None:
    edge = HeldEdge(IMPATIENT)
    with run_app(lambda session: make_platform(parts, session), edge=edge) as running, ExitStack() as stack:
        begin = time.monotonic()
        silent, slow = (stack.enter_context(closing(connect(running))) for _ in range(2))
        slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b")
        wait_until(lambda: (edge.count("idle"), edge.count("head")) == (1, 1))
        edge.let_go()
        assert wait_until_closed(silent) == b""
        assert wait_until_closed(slow).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begin < 25  # of a head that would never come


def test_one_address_takes_its_share_and_no_more(parts: Parts) -> None:
    with run_app(lambda session: make_platform(parts, session), edge=Edge(FEW)) as running, ExitStack() as stack:
        for _ in range(FEW.max_connections_per_address):
            stack.enter_context(closing(connect(running))).sendall(b"GET / HT")
        wait_until(lambda: len(running.server.server_state.connections) == FEW.max_connections_per_address)
        with closing(connect(running)) as one_more:
            assert wait_until_closed(one_more).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X: " + b"a" * 100_000, 431),
        (b"\r\n".join(b"X-%d: a" % number for number in range(1000)), 431),
        (b"Host: evil.example", 400),  # two hosts
        (b"Content-Length: 1\r\nContent-Length: 2", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"X : a", 400),
    ],
)
def test_heads_that_are_too_long_or_can_be_read_in_two_ways_are_refused(parts: Parts, head: bytes, status: int) -> None:
    with run_app(lambda session: make_platform(parts, session)) as running, closing(connect(running)) as client:
        host = f"127.0.0.1:{running.session.port}".encode()
        client.sendall(b"POST /v1/datasets HTTP/1.1\r\nHost: " + host + b"\r\n" + head + b"\r\n\r\n")
        assert wait_until_closed(client).startswith(b"HTTP/1.1 %d " % status)
