"""`predict_stream` of both clients: sources that take their time, and leaving before the end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Asked, serve_script, write_answer

from sightline.core.errors import NotFound
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client

FOUND = b'{"annotations":[{"category":"dog","confidence":0.5,"origin":"model"}]}'


def interrupt_after(pictures: list[Any], may_go_on: Callable[[], bool]) -> Iterator[Any]:
    """Pictures, then Ctrl-C."""
    yield from pictures
    while not may_go_on():
        threading.Event().wait(0.001)
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["closed", "error", "interrupt"])
def test_a_stream_that_is_left_early_does_not_wait_for_a_server_that_hangs(how: str, tmp_path: Path) -> None:
    gate = threading.Event()
    opened: list[bool] = []

    def hold(asked: Asked) -> bytes:
        if asked.body != b"quick":
            opened.append(gate.wait(20))
        return write_answer(200, FOUND)

    with serve_script(hold) as server, Client(server.url) as client:
        if how == "closed":
            stream = client.predict_stream("m", [b"quick", b"x", b"x"], in_flight=3)
            assert next(stream)[0].category == "dog"
            stream.close()  # type: ignore[attr-defined]
        elif how == "error":
            with pytest.raises(NotFound, match="no picture"):
                client.predict("m", [tmp_path / "absent.png", b"x", b"x"])
        else:
            with pytest.raises(KeyboardInterrupt):
                list(client.predict_stream("m", interrupt_after([b"x", b"x"], lambda: len(server.asked) == 2)))
        gate.set()
        assert client.predict("m", b"quick")[0].category == "dog"
    assert all(opened)  # it was left before the server went on


def test_leaving_a_stream_ends_the_wait_before_another_sending() -> None:
    busy = write_answer(503, b"", Retry_After="20")
    slept: list[float] = []  # in the way that nothing ends
    with serve_script(lambda _: busy) as server, Client(server.url) as client:
        client._sleep = slept.append
        with pytest.raises(KeyboardInterrupt):
            list(client.predict_stream("m", interrupt_after([b"x"], lambda: len(server.asked) == 1)))
        assert len(server.asked) == 1 and not slept


def test_pictures_may_come_from_an_async_source() -> None:
    ended: list[str] = []

    async def read_camera(frames: list[bytes]) -> AsyncIterator[bytes]:
        try:
            for frame in frames:
                await asyncio.sleep(0)
                yield frame
        finally:
            ended.append("closed")

    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            answers = [found async for found in client.predict_stream("m", read_camera([b"x"] * 9), in_flight=2)]
            assert [answer[0].category for answer in answers] == ["dog"] * 9
            stream = client.predict_stream("m", read_camera([b"x"] * 50))
            async for _ in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]
            assert ended == ["closed"] * 2

    with serve_script(lambda _: write_answer(200, FOUND)) as server:
        asyncio.run(main(server.url))


def test_an_async_stream_that_is_left_early_leaves_no_task() -> None:
    async def main() -> int:
        async with AsyncClient(server.url) as client:
            stream = client.predict_stream("m", [b"x"] * 50)
            async for _ in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]
        return len(asyncio.all_tasks()) - 1

    with serve_script(lambda _: write_answer(200, FOUND)) as server:
        assert asyncio.run(main()) == 0
    assert len(server.asked) <= 5
