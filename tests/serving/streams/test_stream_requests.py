"""What `POST /v2/streams` refuses."""

import asyncio
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request
from stream_fakes import Stage, run_streams
from waiting import DEADLINE_S, wait_until

from sightline.core.errors import Exhausted, NotFound
from sightline.serving.http.connections.exchange import LETS_GO
from sightline.serving.streams import manager as managing
from sightline.serving.streams.manager import StreamManager
from sightline.serving.streams.sources import VideoSource, open_file_source
from sightline.serving.streams.stream_requests import receive_video


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "absent"}, 404),
        ({"source": {"file": "absent.mp4"}}, 404),
        ({"source": {"file": "../a.mp4"}}, 422),
        ({"source": {"file": "a.mp4", "url": "http://a/"}}, 422),
        ({"source": {}}, 422),
        ({"source": {"url": "file:///etc/passwd"}}, 422),
        ({"source": {"url": "http://forbidden.example/"}}, 422),
        ({"frames_per_second": 0}, 422),
        ({"confidence": 1.5}, 422),
        ({"drop": "all"}, 422),
        ({"max_waiting_frames": 0}, 422),
        ({"max_waiting_frames": 33}, 422),
        ({"realtime": "yes"}, 422),
        ({"unknown": 1}, 422),
        ({"name": "x" * 201}, 422),
    ],
)
def test_wrong_requests_are_refused(client: httpx.Client, change: dict[str, Any], status: int) -> None:
    answer = client.post("/v2/streams", json={"model": "brightness", "source": {"file": "a.mp4"}, **change})
    assert answer.status_code == status, answer.text
    assert client.get("/v2/streams").json() == {"streams": []}


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[" * 70_000, "application/json", 413),
        (b"", "video/mp4", 422),
        (b"x", "text/html", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=b", 400),
    ],
)
def test_wrong_bodies_are_refused(client: httpx.Client, content: bytes, content_type: str, status: int) -> None:
    answer = client.post("/v2/streams?model=brightness", content=content, headers={"content-type": content_type})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("content_type", ["video/mp4", "application/json"])
def test_compressed_bodies_are_refused(client: httpx.Client, content_type: str) -> None:
    headers = {"content-type": content_type, "content-encoding": "gzip"}
    answer = client.post("/v2/streams?model=brightness", content=b"x", headers=headers)
    assert answer.status_code == 415
    assert "expected no Content-Encoding, got 'gzip'" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["video/mp4", "multipart/form-data; boundary=b"])
def test_no_piece_of_a_video_is_held_when_the_next_is_asked_for(content_type: str) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    ends = (head, b"\r\n--b--\r\n") if content_type.startswith("multipart") else (b"", b"")
    pieces = [ends[0] + bytes(3_000_000), bytes(3_000_000), bytes(3_000_000) + ends[1]]
    size, given = sum(map(len, pieces)) - sum(map(len, ends)), 0

    async def receive() -> dict[str, Any]:
        nonlocal given
        holders = sys.getrefcount(pieces[given - 1]) if given else 2  # the list, and the argument
        assert holders == 2
        given += 1
        return {"type": "http.request", "body": pieces[given - 1], "more_body": given < len(pieces)}

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    source = asyncio.run(receive_video(request, 10_000_000))
    assert source.descriptor is not None and os.fstat(source.descriptor).st_size == size
    os.close(source.descriptor)
    assert LETS_GO in request.scope["state"]  # so that the connection counts only what is held


@pytest.mark.parametrize("content_type", ["video/mp4", "multipart/form-data; boundary=b"])
def test_a_video_that_the_disk_cannot_hold_is_refused(small_disk: int, content_type: str) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    ends = (head, b"\r\n--b--\r\n") if content_type.startswith("multipart") else (b"", b"")
    body = ends[0] + bytes(small_disk + 1) + ends[1]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, receive)
    with pytest.raises(Exhausted, match="no room for this video"):
        asyncio.run(receive_video(request, 2 * len(body)))


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Bytes that a file can hold: the system's limit of a file stands for a disk that fills up in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    yield 1_500_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_video_that_is_being_sent_has_a_streams_place(client: httpx.Client, url: str, videos: Path) -> None:
    video = (videos / "a.mp4").read_bytes()
    lines = ("POST /v2/streams?model=brightness&loop=true HTTP/1.1", "Host: a", "Content-Type: video/mp4")
    head = "\r\n".join((*lines, f"Content-Length: {len(video)}", "", ""))

    def ask_without_a_video() -> int:
        return client.post("/v2/streams?model=brightness", content=b"", headers={"content-type": "video/mp4"}).status_code

    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with socket.create_connection(address, DEADLINE_S) as first, socket.create_connection(address, DEADLINE_S) as second:
        for connection in (first, second):
            connection.sendall(head.encode() + video[:100])
        wait_until(lambda: ask_without_a_video() == 503, "two places are taken, and a caller has two")
        first.sendall(video[100:])
        assert first.recv(4096).startswith(b"HTTP/1.1 201 ")  # its own place was kept for it
        assert ask_without_a_video() == 503
    wait_until(lambda: ask_without_a_video() == 422, "the place of a client that hung up is free")
    assert len(client.get("/v2/streams").json()["streams"]) == 1


@pytest.mark.parametrize("task", ["raw", "image"])
def test_models_that_do_not_annotate_have_no_streams(client: httpx.Client, stage: Stage, task: Any) -> None:
    decode = None if task == "raw" else stage.model.facts.decode
    stage.model.facts = msgspec.structs.replace(stage.model.facts, task=task, decode=decode)
    answer = client.post("/v2/streams", json={"model": "brightness", "source": {"file": "a.mp4"}})
    assert answer.status_code == 422 and f"task {task}" in answer.json()["detail"]
    assert stage.host.held == 0


def test_without_the_operators_word_there_are_uploads_only(stage: Stage) -> None:
    with run_streams(stage, StreamManager) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for source in ({"file": "a.mp4"}, {"url": "http://127.0.0.1/"}):
            answer = client.post("/v2/streams", json={"model": "brightness", "source": source})
            assert answer.status_code == 422 and "--" in answer.json()["detail"]


def test_a_folder_that_is_not_there_is_said_at_the_start(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        asyncio.run(StreamManager(stage.service, folder=tmp_path / "absent").start())
    stage.scheduler.pool.shutdown()


def test_a_client_that_hangs_up_while_its_file_is_opened_leaves_no_descriptor(
    stage: Stage, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, gate, opened = threading.Event(), threading.Event(), []

    def open_slowly(folder: Path, name: str) -> VideoSource:
        entered.set()
        assert gate.wait(DEADLINE_S)
        opened.append(open_file_source(folder, name))
        return opened[0]

    async def hang_up() -> None:
        opening = asyncio.create_task(StreamManager(stage.service, folder=videos).open_file("a.mp4"))
        await asyncio.to_thread(entered.wait, DEADLINE_S)
        opening.cancel()
        await asyncio.wait([opening])
        gate.set()
        async with asyncio.timeout(DEADLINE_S):
            while not (opened and is_closed(opened[0].descriptor)):
                await asyncio.sleep(0)

    monkeypatch.setattr(managing, "open_file_source", open_slowly)
    asyncio.run(hang_up())
    stage.scheduler.pool.shutdown()


def is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/streams", "GET, HEAD, POST"),
        ("DELETE", "/v2/streams", "GET, HEAD, POST"),
        ("POST", "/v2/streams/abc", "DELETE, GET, HEAD"),
        ("POST", "/v2/streams/abc/events", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v2/streams/", "/v2/streams/abc/frames"])
def test_what_lies_below_streams_and_is_none_is_404_in_the_form_of_streams(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "GET /docs" in answer.json()["detail"]
