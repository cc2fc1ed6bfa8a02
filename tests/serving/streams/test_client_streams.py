"""Client and AsyncClient over streams: of a real server, and of scripted ones whose connections break."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_server import Asked, serve_script, write_answer
from stream_fakes import GRAYS

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound, Unreachable
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client
from sightline.serving.client.streams import Following, StreamEvent

EXPECTED = ["bright" if gray else "dark" for gray in GRAYS]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
Ask = Callable[[str, Callable[[Any], Any]], Any]


def ask_sync(url: str, question: Callable[[Any], Any], **settings: Any) -> Any:
    with Client(url, **settings) as client:
        client._sleep = lambda wait_s: None
        found = question(client)
        return list(found) if isinstance(found, Iterator) else found


def ask_async(url: str, question: Callable[[Any], Any], **settings: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(url, **settings) as client:
            client._sleep = lambda wait_s: asyncio.sleep(0)
            found = question(client)
            return [event async for event in found] if isinstance(found, AsyncIterator) else await found

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


def write_events(*numbers: int, lost: int = 0, end: bool = False, greeting: bytes = b": stream\n\n") -> bytes:
    """Events as a server writes them, in an answer that ends with its connection."""
    parts = [HEAD, greeting]
    if lost:
        parts.append(b'event: lost\ndata: {"type":"lost","count":%d}\n\n' % lost)
    for number in numbers:
        kind = "end" if end and number == numbers[-1] else "frame"
        data = json.dumps({"type": kind, "id": number, "state": "ended" if kind == "end" else ""})
        parts.append(f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode())
    return b"".join(parts)


@BOTH
def test_a_stream_is_started_followed_listed_and_deleted(ask: Ask, url: str) -> None:
    started = ask(url, lambda client: client.start_stream("brightness", file="a.mp4", realtime=False, name="line 1"))
    assert (started.model, started.name) == ("brightness", "line 1")
    *frames, end = ask(url, lambda client: client.follow_stream(started.id))
    assert [frame.annotations[0].category for frame in frames] == EXPECTED
    assert [(frame.type, frame.frame, frame.id) for frame in frames] == [("frame", n, n + 1) for n in range(len(GRAYS))]
    assert frames[0].image is not None and (frames[0].image.width, frames[0].image.height) == (64, 48)
    assert (end.type, end.state, end.detail) == ("end", "ended", "")
    rest = ask(url, lambda client: client.follow_stream(started.id, after=frames[5].id))
    assert rest == [*frames[6:], end]
    assert ask(url, lambda client: client.follow_stream(started.id, after=end.id)) == []
    (listed,) = ask(url, lambda client: client.list_streams())
    assert (listed.id, listed.state, listed.statistics.frames_analysed) == (started.id, "ended", len(GRAYS))
    assert listed.video is not None and listed.video.codec == "mpeg4"
    ask(url, lambda client: client.delete_stream(started.id))
    assert ask(url, lambda client: client.list_streams()) == []
    with pytest.raises(NotFound):
        ask(url, lambda client: client.follow_stream(started.id))


@BOTH
@pytest.mark.parametrize("kind", [str, Path])
def test_a_video_is_sent(ask: Ask, url: str, videos: Path, kind: type) -> None:
    options = {"realtime": False, "frames_per_second": 1000, "version": None}
    started = ask(url, lambda client: client.start_stream("brightness", kind(videos / "a.mp4"), **options))
    *frames, _ = ask(url, lambda client: client.follow_stream(started.id))
    assert [frame.annotations[0].category for frame in frames] == EXPECTED


@BOTH
def test_what_starts_no_stream_is_one_line(ask: Ask, url: str, videos: Path) -> None:
    for sources in ({}, {"url": "rtsp://camera/1", "file": "a.mp4"}, {"video": videos / "a.mp4", "file": "a.mp4"}):
        with pytest.raises(InvalidInput, match="one source"):
            ask(url, lambda client, sources=sources: client.start_stream("brightness", **sources))
    with pytest.raises(NotFound, match=r"absent\.mp4"):
        ask(url, lambda client: client.start_stream("brightness", videos / "absent.mp4"))
    with pytest.raises(InvalidInput, match="got bytes"):
        ask(url, lambda client: client.start_stream("brightness", b"video"))
    with pytest.raises(InvalidInput, match="speed"):
        ask(url, lambda client: client.start_stream("brightness", file="a.mp4", speed=2))
    with pytest.raises(InvalidInput, match="empty"):
        ask(url, lambda client: client.follow_stream(""))


@BOTH
def test_following_goes_on_behind_the_last_event_when_a_connection_breaks(ask: Ask) -> None:
    cut = write_events(3, 4)
    answers = [write_events(1, 2), cut[: len(cut) - 9], write_events(), write_events(7, 8, lost=3, end=True)]
    with serve_script(lambda asked: answers[asked.number]) as server:
        events = ask(server.url, lambda client: client.follow_stream("a b"))
    assert [(event.type, event.id, event.count) for event in events] == [
        ("frame", 1, 0), ("frame", 2, 0), ("frame", 3, 0), ("lost", 0, 3), ("frame", 7, 0), ("end", 8, 0),
    ]  # fmt: skip
    assert [asked.headers["last-event-id"] for asked in server.asked] == ["0", "2", "3", "3"]
    assert {asked.path for asked in server.asked} == {"/v2/streams/a%20b/events"}


@BOTH
def test_following_ends_with_an_error_when_there_is_no_coming_back(ask: Ask) -> None:
    gone = write_answer(404, b'{"detail":"no stream"}')
    with (
        serve_script(lambda asked: gone if asked.number else write_events(1)) as server,
        pytest.raises(NotFound, match="no stream"),
    ):
        ask(server.url, lambda client: client.follow_stream("a"))
    with (
        serve_script(lambda _: write_answer(503, b'{"detail":"too many"}', Retry_After="3")) as server,
        pytest.raises(Exhausted, match="too many"),
    ):
        ask(server.url, lambda client: client.follow_stream("a"))
    with pytest.raises(Unreachable):
        ask(server.url, lambda client: client.follow_stream("a"), timeout_s=0.01)
    with (
        serve_script(lambda _: HEAD + b": stream\n\ndata: <html>\n\n") as server,
        pytest.raises(InvalidInput, match="is the URL right"),
    ):
        ask(server.url, lambda client: client.follow_stream("a"))


def test_connections_that_bring_nothing_do_not_go_on_for_ever() -> None:
    moments = iter((0.0, 9.0, 20.0, 29.0, 30.0))
    following = Following("http://a", "s", 0, 10.0, lambda: next(moments), random.Random(1))
    broken = httpx.ReadError("reset")

    def connect(content: bytes) -> list[StreamEvent]:
        following.begin()
        return list(following.feed(content))

    for _ in range(2):
        assert connect(b": stream\n\n") == []
        assert 0 <= following.choose_wait(broken) <= 5.0
    assert connect(b": stream\n\n: keep-alive\n\n") == []  # it was of use: the count begins anew
    for _ in range(2):
        following.choose_wait(broken)
    with pytest.raises(Exhausted, match="reset"):
        following.choose_wait(broken)


def test_an_event_may_come_in_pieces() -> None:
    following = Following("http://a", "s", 0, 10.0, lambda: 0.0, random.Random(1))
    following.begin()
    content = write_events(1, 2, end=True).removeprefix(HEAD)
    events = [event for place in range(len(content)) for event in following.feed(content[place : place + 1])]
    assert [event.id for event in events] == [1, 2] and following.is_over


def test_a_closed_client_follows_nothing() -> None:
    client = Client("http://127.0.0.1:9")
    client.close()
    with pytest.raises(Conflict, match="closed"):
        next(client.follow_stream("a"))


def test_leaving_closes_the_connection(url: str) -> None:
    with Client(url) as client:
        started = client.start_stream("brightness", file="a.mp4", loop=True)
        events = client.follow_stream(started.id)
        assert next(events).type == "frame"
        events.close()  # type: ignore[attr-defined]
        assert client._transport._pool.connections == [] or all(one.is_idle() for one in client._transport._pool.connections)
        client.delete_stream(started.id)


def asked_length(asked: Asked) -> int:
    return int(asked.headers["content-length"])


@BOTH
def test_a_video_says_how_long_it_is_before_it_comes(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(bytes(range(256)) * 1000)
    with (
        serve_script(lambda _: write_answer(404, b'{"detail":"no model"}')) as server,
        pytest.raises(NotFound, match="no model"),
    ):
        ask(server.url, lambda client: client.start_stream("m", path, loop=True))
    (asked,) = server.asked
    assert asked.body == path.read_bytes() and asked_length(asked) == 256_000
    assert "transfer-encoding" not in asked.headers
    assert sorted(asked.path.partition("?")[2].split("&")) == ["loop=true", "model=m"]
