import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import DEADLINE_S

from sightline.core.errors import Exhausted, InvalidInput, UnknownHost
from sightline.serving.http.image_url import Resolver
from sightline.serving.streams.allowed_urls import LOOK_UPS, UrlRule


def check(rule: UrlRule, url: str) -> None:
    asyncio.run(rule(url))


def test_named_hosts_are_allowed_wherever_they_are() -> None:
    rule = UrlRule(["Camera.local", "127.0.0.1", "::1"])
    for url in ("rtsp://user:word@camera.LOCAL:554/a", "http://127.0.0.1/", "rtsp://[::1]:8554/x"):
        check(rule, url)


def test_a_name_with_a_dot_in_front_allows_all_that_end_so() -> None:
    rule = UrlRule([".Cams.example", "[::1]", "gate.example."])
    for url in ("rtsp://yard.cams.example/1", "rtsp://a.b.CAMS.example./1", "http://[0:0::1]/", "http://gate.example/"):
        check(rule, url)
    for url in ("rtsp://cams.example/1", "rtsp://evilcams.example/1", "rtsp://cams.example.evil.example/1"):
        with pytest.raises(InvalidInput, match="opens no streams"):
            check(rule, url)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:9110", "rtsp://cam/1", "cam/1", "user@cam", "*.cams.example", "[::1]:554", "[cam]x", "..cam", "a b", "", "."],
)
def test_what_no_host_can_be_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(InvalidInput, match="--allow-stream-urls to be a name"):
        UrlRule([text])


def test_hosts_that_are_not_named_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no streams of 'localhost'.*operator") as raised:
        check(UrlRule(["camera"]), "http://localhost/")
    assert "camera" not in str(raised.value)  # which hosts there are is the operator's


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "localhost"])
def test_a_star_allows_no_address_of_the_own_network(host: str) -> None:
    with pytest.raises(InvalidInput, match="not on the public internet"):
        check(UrlRule(["*"]), f"http://{host}/")


def test_a_star_allows_public_addresses() -> None:
    check(UrlRule(["*"]), "rtsp://8.8.8.8/live")


@pytest.mark.parametrize("host", ["x" * 70, "absent.invalid"])
def test_a_host_without_an_address_is_refused(host: str) -> None:
    with pytest.raises(UnknownHost, match="not known"):
        check(UrlRule(["*"]), f"http://{host}/")


class SilentNameServer:
    """Answers nobody before `end`. Attributes: asked: how many look-ups have begun."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_full, self._gate = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def ask(self, host: str, port: int, **named: object) -> list[tuple[object, ...]]:
        with self._lock:
            self.asked += 1
            if self.asked == LOOK_UPS:
                self.is_full.set()
        assert self._gate.wait(DEADLINE_S)
        return [(None, None, None, "", ("8.8.8.8", port))]

    def end(self) -> None:
        self._gate.set()


def test_a_name_server_that_is_silent_holds_no_thread_of_others_and_no_named_host() -> None:
    server = SilentNameServer()

    async def ask() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        rule = UrlRule(["*", "camera"], Resolver(LOOK_UPS, server.ask), timeout_s=DEADLINE_S)
        asking = [asyncio.create_task(rule(f"http://silent{number}.example/")) for number in range(3 * LOOK_UPS)]
        try:
            assert await asyncio.wait_for(asyncio.to_thread(server.is_full.wait, DEADLINE_S), DEADLINE_S)
            await asyncio.wait_for(rule("rtsp://camera/1"), DEADLINE_S)
            assert server.asked == LOOK_UPS
        finally:
            server.end()
        await asyncio.gather(*asking)

    asyncio.run(ask())


def test_a_look_up_has_its_time_and_one_that_has_not_begun_never_does() -> None:
    server = SilentNameServer()

    async def ask() -> list[BaseException | None]:
        rule = UrlRule(["*"], Resolver(LOOK_UPS, server.ask), timeout_s=0.05)
        return await asyncio.gather(*(rule("http://silent.example/") for _ in range(3 * LOOK_UPS)), return_exceptions=True)

    try:
        errors = asyncio.run(ask())
    finally:
        server.end()
    assert {type(error) for error in errors} == {Exhausted} and "not found within 0.05 s" in str(errors[0])
    assert server.asked <= LOOK_UPS
