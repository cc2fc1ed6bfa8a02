import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from http_server import serve_app

from sightline.core.errors import Exhausted, InvalidInput
from sightline.serving.http.image_url import ImageFetcher, Resolver, UrlRules, check_url, is_public

PUBLIC = "93.184.215.14"


def make_resolve(*answers: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """Gives the answers in turn, the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


class Transport(httpx.AsyncBaseTransport):
    """Remembers what was asked and answers from a function."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)


def picture(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(b"\x89PNG"), headers={"content-type": "image/png"})


def fetch(
    url: str,
    answer: Callable[[httpx.Request], httpx.Response] = picture,
    rules: UrlRules | None = None,
    resolve: Callable[[str, int], Awaitable[list[str]]] | None = None,
) -> tuple[bytes, list[httpx.Request]]:
    transport = Transport(answer)

    async def run() -> bytes:
        fetcher = ImageFetcher(rules, resolve or make_resolve([PUBLIC]), transport)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(run()), transport.requests


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    content, (request,) = fetch("https://example.org/a/dog.png?x=1#part")
    assert content == b"\x89PNG"
    assert (request.url.scheme, request.url.host, request.url.raw_path) == ("https", PUBLIC, b"/a/dog.png?x=1")
    assert request.headers["host"] == "example.org"
    assert request.extensions["sni_hostname"] == "example.org"  # what the certificate must hold
    assert "cookie" not in request.headers and request.headers["accept-encoding"] == "identity"


def test_an_ipv6_address_is_connected_to() -> None:
    _, (request,) = fetch("http://example.org/", resolve=make_resolve(["2606:2800:21f:cb07:6820:80da:af6b:8b2c"]))
    assert request.url.host == "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::",
    "2001:0:7f00:1::", "2001:db8::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused_before_a_connection(address: str) -> None:
    transport = Transport(picture)

    async def run() -> None:
        await ImageFetcher(None, make_resolve([address]), transport).fetch("http://innocent.example/a.png")

    with pytest.raises(InvalidInput, match="not on the public internet"):
        asyncio.run(run())
    assert transport.requests == []


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_are_told(address: str) -> None:
    assert is_public(ip_address(address)) is not address.startswith("64:")  # what NAT64 leads to is for this network to say


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(InvalidInput, match="not on the public internet"):
        fetch("http://example.org/", resolve=make_resolve([PUBLIC, "127.0.0.1"]))


def test_a_second_answer_of_the_name_server_changes_nothing() -> None:
    _, requests = fetch("http://rebind.example/", resolve=make_resolve([PUBLIC], ["127.0.0.1"]))
    assert [request.url.host for request in requests] == [PUBLIC]


def test_a_redirect_is_a_new_url() -> None:
    def redirect(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"location": "/new"})
        return picture(request)

    content, requests = fetch("http://example.org/old", redirect)
    assert content == b"\x89PNG"
    assert [(request.url.path, request.headers["host"]) for request in requests] == [
        ("/old", "example.org"),
        ("/new", "example.org"),
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "gopher://x/",
        "http://inside/",
        "",
        "http://[::1/",
        "http://example.org:port/",
        "http://" + "a" * 64 + ".example/",
    ],
)
def test_a_redirect_inwards_is_refused(location: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        known = {"example.org": [PUBLIC], "inside": ["10.0.0.1"]}
        return known.get(host) or await Resolver(1)(host, port)

    answer = httpx.Response(302, headers={"location": location})
    with pytest.raises(InvalidInput):
        fetch("http://example.org/", lambda request: answer, resolve=resolve)


def test_redirects_are_bounded() -> None:
    transport = Transport(lambda request: httpx.Response(302, headers={"location": "/again"}))

    async def run() -> None:
        await ImageFetcher(UrlRules(max_redirects=2), make_resolve([PUBLIC]), transport).fetch("http://example.org/")

    with pytest.raises(InvalidInput, match="more than 2 times"):
        asyncio.run(run())
    assert len(transport.requests) == 3


@pytest.mark.parametrize(
    "url",
    [
        "", "dog.jpg", "/dog.jpg", "file:///etc/passwd", "ftp://example.org/a", "data:image/png;base64,AA",
        "http://", "http:///x", "http://user:secret@example.org/", "http://user@example.org/", "http://example.org:22/",
        "http://example.org:99999/", "http://[::1/", "http://exa mple.org/", "http://example.org:8000/", "\x00", "http://a\nb/",
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        fetch(url)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "127.1", "localhost", "[::ffff:7f00:1]"])
def test_other_spellings_of_loopback_are_resolved_and_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        fetch(f"http://{host}/", resolve=Resolver(1))


@pytest.mark.parametrize("host", ["nas.lab.example", "NAS.lab.example.", "10.0.0.1"])
def test_a_host_that_is_named_itself_may_be_private(host: str) -> None:
    rules = UrlRules(hosts=("nas.lab.example", "10.0.0.1"))
    _, (request,) = fetch(f"http://{host}/a.png", rules=rules, resolve=make_resolve(["10.0.0.1"]))
    assert request.url.host == "10.0.0.1"


@pytest.mark.parametrize("host", ["nas.lab.example", ".lab.example"])
@pytest.mark.parametrize("hosts", [(".lab.example",), None])
def test_a_host_that_is_not_named_itself_must_be_public(host: str, hosts: tuple[str, ...] | None) -> None:
    with pytest.raises(InvalidInput, match="not on the public internet"):
        fetch(f"http://{host}/a.png", rules=UrlRules(hosts=hosts), resolve=make_resolve(["10.0.0.1"]))


def test_a_list_of_hosts_bounds_the_names() -> None:
    rules = UrlRules(hosts=("pictures.example", ".lab.example"))
    for good in ("http://pictures.example/a", "http://PICTURES.example./a", "http://a.lab.example/", "http://b.a.lab.example/"):
        assert check_url(good, rules)
    for bad in ("http://evil.example/", "http://pictures.example.evil.org/", "http://notlab.example/", "http://lab.example/"):
        with pytest.raises(InvalidInput, match="list"):
            check_url(bad, rules)


def test_sizes_are_bounded_whatever_is_announced() -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                yield b"x" * 1000

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless(), headers={"content-type": "image/png", "content-length": "5"})

    with pytest.raises(InvalidInput, match="larger than 5000 bytes"):
        fetch("http://example.org/", answer, UrlRules(max_bytes=5000))


def test_time_is_bounded() -> None:
    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x"
            await asyncio.Event().wait()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Silent(), headers={"content-type": "image/png"})

    with pytest.raises(InvalidInput, match="could not be fetched"):
        fetch("http://example.org/", answer, UrlRules(timeout_s=0.05))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, headers={"content-type": "image/png"}),
        httpx.Response(500),
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, content=b"{}", headers={"content-type": "application/json"}),
        httpx.Response(200, headers={"content-type": "image/png", "content-encoding": "gzip"}, stream=httpx.ByteStream(b"x")),
    ],
)
def test_what_is_no_picture_is_refused(answer: httpx.Response) -> None:
    with pytest.raises(InvalidInput):
        fetch("http://example.org/", lambda request: answer)


def test_every_failure_reads_the_same() -> None:
    details = set()
    for failure in (httpx.ConnectError("refused 10.0.0.1"), httpx.ConnectTimeout("slow"), httpx.ReadError("reset")):

        def fail(request: httpx.Request, failure: Exception = failure) -> httpx.Response:
            raise failure

        with pytest.raises(InvalidInput) as refused:
            fetch("http://example.org/", fail)
        details.add(str(refused.value))

    async def no_such_name(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(InvalidInput) as refused:
        fetch("http://example.org/", resolve=no_such_name)
    assert {*details, str(refused.value)} == {str(refused.value)}

    with pytest.raises(InvalidInput) as refused:
        fetch(f"http://{'a' * 64}.example/", resolve=Resolver(1))  # a label that no name may have
    details.add(str(refused.value))
    for location in ("http://[::1/", "http://example.org:port/"):
        with pytest.raises(InvalidInput) as refused:
            fetch("http://example.org/", lambda request, to=location: httpx.Response(302, headers={"location": to}))
        details.add(str(refused.value))
    assert len(details) == 1


def test_few_pictures_are_fetched_at_once() -> None:
    running, most = [0], [0]

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            running[0] += 1
            most[0] = max(most[0], running[0])
            for _ in range(5):
                await asyncio.sleep(0)
            running[0] -= 1
            yield b"x"

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Slow(), headers={"content-type": "image/png"})

    async def run() -> list[bytes]:
        fetcher = ImageFetcher(UrlRules(max_fetches=3), make_resolve([PUBLIC]), Transport(answer))
        return await asyncio.gather(*(fetcher.fetch("http://example.org/") for _ in range(12)))

    assert asyncio.run(run()) == [b"x"] * 12
    assert most == [3]


def test_who_finds_no_place_in_time_is_told_to_come_again() -> None:
    async def run() -> None:
        is_held = asyncio.Event()

        async def never_resolve(host: str, port: int) -> list[str]:
            is_held.set()
            await asyncio.Event().wait()
            raise AssertionError

        fetcher = ImageFetcher(UrlRules(max_fetches=1, timeout_s=30), never_resolve, Transport(picture))
        first = asyncio.create_task(fetcher.fetch("http://example.org/"))
        await is_held.wait()
        fetcher.rules = UrlRules(timeout_s=0.01)
        with pytest.raises(Exhausted):
            await fetcher.fetch("http://example.org/")
        first.cancel()
        await asyncio.wait([first])
        with pytest.raises(InvalidInput):  # it has the place, and waits for the name server
            await fetcher.fetch("http://example.org/")

    asyncio.run(run())


@contextmanager
def serve_pictures() -> Iterator[tuple[int, threading.Event]]:
    """A picture server on loopback, and whether it was asked."""
    asked = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        headers = [(b"content-type", b"image/png"), (b"content-length", b"4"), (b"x-host", dict(scope["headers"])[b"host"])]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"\x89PNG"})

    with serve_app(app) as port:
        yield port, asked


def test_a_real_server_on_loopback_is_never_asked() -> None:
    with serve_pictures() as (port, asked):

        async def run() -> None:
            fetcher = ImageFetcher(UrlRules(ports=(port,)))
            try:
                await fetcher.fetch(f"http://localhost:{port}/a.png")
            finally:
                await fetcher.close()

        with pytest.raises(InvalidInput, match="not on the public internet"):
            asyncio.run(run())
        assert not asked.is_set()


def test_a_picture_comes_over_a_real_connection() -> None:
    """The name resolves to a public address; the transport leads that address to a loopback server."""

    class Leading(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.inner = httpx.AsyncHTTPTransport()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert request.url.host == PUBLIC
            request.url = request.url.copy_with(host="127.0.0.1")
            return await self.inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self.inner.aclose()

    with serve_pictures() as (port, asked):

        async def run() -> bytes:
            fetcher = ImageFetcher(UrlRules(ports=(port,)), make_resolve([PUBLIC]), Leading())
            try:
                return await fetcher.fetch(f"http://pictures.example:{port}/a.png")
            finally:
                await fetcher.close()

        assert asyncio.run(run()) == b"\x89PNG"
        assert asked.is_set()


def test_a_name_server_that_is_silent_holds_no_thread_of_others() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def ask(host: str, port: int, **named: object) -> list[object]:
        has_begun.set()
        assert may_end.wait(30)
        return []

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        fetcher = ImageFetcher(UrlRules(timeout_s=30), Resolver(1, ask), Transport(lambda request: httpx.Response(200)))
        fetching = asyncio.create_task(fetcher.fetch("http://silent.example/a.png"))
        try:
            assert await asyncio.wait_for(asyncio.to_thread(has_begun.wait, 30), 30)
        finally:
            may_end.set()
        with pytest.raises(InvalidInput):
            await fetching

    asyncio.run(run())


def test_a_look_up_that_was_given_up_keeps_its_place_but_not_the_process() -> None:
    asked: list[threading.Thread] = []
    may_end = threading.Event()

    def ask(host: str, port: int, **named: object) -> list[tuple[object, ...]]:
        asked.append(threading.current_thread())
        assert may_end.wait(30)
        return [(None, None, None, "", (host, port))]

    async def run() -> list[str]:
        resolve = Resolver(1, ask)
        for name in ("first", "second"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(resolve(name, 80), 0.05)
        assert len(asked) == 1 and asked[0].daemon  # the end of the process waits for no daemon
        may_end.set()
        return await asyncio.wait_for(resolve("third", 80), 30)

    assert asyncio.run(run()) == ["third"]
    assert len(asked) == 2


def test_a_look_up_that_ends_after_its_loop_harms_nobody() -> None:
    asked: list[threading.Thread] = []
    may_end = threading.Event()

    def ask(host: str, port: int, **named: object) -> list[object]:
        asked.append(threading.current_thread())
        assert may_end.wait(30)
        return []

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Resolver(1, ask)("silent", 80), 0.05)

    asyncio.run(run())
    may_end.set()
    asked[0].join(30)
    assert not asked[0].is_alive()
