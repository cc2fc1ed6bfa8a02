"""Streams over a real server: HTTP, server-sent events, WebSocket, limits, and the ends a stream can have."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import httpx
import msgspec
import numpy as np
import pytest
from rtsp_camera import RtspCamera
from stream_fakes import DEADLINE_S, Stage, count_open_files, run_streams, wait_until, write_sound, write_video
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_anyhow

from sightline.core.errors import InvalidInput, NotFound, QueueFull, QueueTimeout
from sightline.serving.streams.manager import StreamLimits, StreamManager

GRAYS = [0, 255, 0, 255, 255, 0, 0, 255]
CATEGORIES = ["bright" if gray else "dark" for gray in GRAYS]
LIMITS = StreamLimits(
    streams=3,
    streams_per_tenant=2,
    viewers=2,
    open_timeout_s=0.5,
    read_timeout_s=0.5,
    reconnect_s=0.01,
    kept_events=64,
    keep_alive_s=0.2,
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", GRAYS)
    write_sound(folder / "sound.mp4")
    (folder / "broken.mp4").write_bytes(b"broken" * 1000)
    return folder


def allow_loopback(url: str) -> None:
    if "forbidden" in url:
        raise InvalidInput("this address may not be opened")


@pytest.fixture
def managers() -> list[StreamManager]:
    return []


@pytest.fixture
def url(stage: Stage, videos: Path, managers: list[StreamManager]) -> Iterator[str]:
    def make(service: Any) -> StreamManager:
        managers.append(StreamManager(service, folder=videos, check_url=allow_loopback, limits=LIMITS))
        return managers[0]

    with run_streams(stage, make) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client:
        yield client


def start(client: httpx.Client, source: dict[str, str] | None = None, tenant: str = "", **options: Any) -> dict[str, Any]:
    body = {"model": "brightness", "source": source or {"file": "a.mp4"}, "realtime": False, **options}
    answer = client.post("/v2/streams", json=body, headers={"x-tenant": tenant})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v2/streams/{answer.json()['id']}"
    return answer.json()


def read(client: httpx.Client, stream: dict[str, Any], tenant: str = "") -> dict[str, Any]:
    answer = client.get(f"/v2/streams/{stream['id']}", headers={"x-tenant": tenant})
    assert answer.status_code == 200
    return answer.json()


def wait_for(client: httpx.Client, stream: dict[str, Any], *states: str) -> dict[str, Any]:
    wait_until(lambda: read(client, stream)["state"] in states, f"no {states}")
    return read(client, stream)


def read_events(client: httpx.Client, stream: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Every event to the end, with the fields of its frame on the wire."""
    events = []
    with client.stream("GET", f"/v2/streams/{stream['id']}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, Any] = {}
        for line in answer.iter_lines():
            if line.startswith(":"):
                continue
            if not line:
                if fields:
                    events.append(fields)
                fields = {}
                continue
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
    return events


def read_until_end(client: httpx.Client, stream: dict[str, Any]) -> list[dict[str, Any]]:
    """Messages of a live stream, which ends for nobody but us: deleted while a viewer reads."""
    messages: list[dict[str, Any]] = []
    was_deleted = False
    with client.stream("GET", f"/v2/streams/{stream['id']}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                messages.append(json.loads(line.removeprefix("data: ")))
            if len(messages) == 1 and not was_deleted:
                was_deleted = True
                assert client.delete(f"/v2/streams/{stream['id']}").status_code == 204
    assert messages[-1]["type"] == "end"
    return messages


def connect(url: str, path: str, origin: Any = None) -> ClientConnection:
    """A WebSocket below /v2/streams."""
    address = f"ws{url.removeprefix('http')}/v2/streams/{path}"
    return connect_anyhow(address, origin=origin, open_timeout=DEADLINE_S, proxy=None)


def test_every_frame_of_a_file_is_answered_in_order(client: httpx.Client, stage: Stage) -> None:
    events = read_events(client, start(client))
    frames = [event["data"] for event in events[:-1]]
    assert [frame["frame"] for frame in frames] == list(range(8))
    assert [frame["annotations"][0]["category"] for frame in frames] == CATEGORIES
    assert [frame["annotations"][0]["origin"] for frame in frames] == ["model"] * 8
    assert [frame["time_s"] for frame in frames] == [pytest.approx(number / 25) for number in range(8)]
    assert frames[0]["image"] == {"width": 64, "height": 48} and frames[0]["version"] == 3
    assert [event["id"] for event in events] == [str(number) for number in range(1, 10)]
    assert [event["event"] for event in events] == ["frame"] * 8 + ["end"]
    assert events[-1]["data"]["state"] == "ended"
    assert stage.scheduler.timeouts == [None] * 8
    assert stage.host.held == 0


def test_statistics_of_a_stream_that_ended(client: httpx.Client) -> None:
    view = wait_for(client, start(client, name="gate"), "ended")
    assert (view["name"], view["source"], view["detail"]) == ("gate", "a.mp4", "")
    assert view["video"]["codec"] == "mpeg4" and (view["video"]["width"], view["video"]["height"]) == (64, 48)
    assert view["statistics"]["frames_read"] == view["statistics"]["frames_analysed"] == 8
    assert view["statistics"]["frames_dropped"] == {}
    assert 0 < view["statistics"]["latency_ms_p50"] <= view["statistics"]["latency_ms_p99"]
    assert view["statistics"]["decoder_cpu_s"] > 0


def test_a_viewer_that_comes_back_goes_on(client: httpx.Client) -> None:
    stream = start(client)
    wait_for(client, stream, "ended")
    assert [event["id"] for event in read_events(client, stream, {"Last-Event-ID": "6"})] == ["7", "8", "9"]
    assert client.get(f"/v2/streams/{stream['id']}/events?after=9").status_code == 204
    assert client.get(f"/v2/streams/{stream['id']}/events?after=x").status_code == 422


def test_a_websocket_carries_the_same_messages(client: httpx.Client, url: str) -> None:
    stream = start(client)
    messages = []
    with connect(url, f"{stream['id']}/ws") as socket, pytest.raises(ConnectionClosedOK):
        while True:
            messages.append(json.loads(socket.recv(timeout=DEADLINE_S)))
    assert messages == [event["data"] for event in read_events(client, stream)]
    assert [message["id"] for message in messages] == list(range(1, 10))


def test_websockets_of_unknown_streams_and_foreign_pages_are_refused(client: httpx.Client, url: str) -> None:
    stream = start(client)
    wait_for(client, stream, "ended")
    with pytest.raises(InvalidStatus) as refusal:
        connect(url, "unknown/ws")
    assert refusal.value.response.status_code == 404
    with pytest.raises(InvalidStatus) as refusal:
        connect(url, f"{stream['id']}/ws", origin="http://evil.example")
    assert refusal.value.response.status_code == 422
    with connect(url, f"{stream['id']}/ws?after=8", origin=url) as socket:  # type: ignore[arg-type]
        assert json.loads(socket.recv(timeout=DEADLINE_S))["id"] == 9


def test_a_viewer_that_leaves_is_forgotten(client: httpx.Client, managers: list[StreamManager], url: str) -> None:
    stream = start(client, loop=True, realtime=True, frames_per_second=1)
    (running,) = managers[0].list_streams("")
    with client.stream("GET", f"/v2/streams/{stream['id']}/events") as answer:
        chunks = answer.iter_bytes()  # the answer ends with its iterator
        next(chunks)
        with connect(url, f"{stream['id']}/ws"):
            wait_until(lambda: running.viewers == 2)
            assert client.get(f"/v2/streams/{stream['id']}/events").status_code == 503
        del chunks
    wait_until(lambda: running.viewers == 0)


def test_a_slow_viewer_loses_the_oldest_and_is_told(client: httpx.Client, url: str) -> None:
    stream = start(client, loop=True)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=DEADLINE_S) as viewer:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.sendall(f"GET /v2/streams/{stream['id']}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: read(client, stream)["last_event"] > 1500)  # more than kept events and buffers hold together
        text = b""
        while b"event: lost" not in text:
            text += viewer.recv(65536)
    assert text.index(b"id: 1\n") < text.index(b"event: lost")


def test_a_websocket_with_a_window_waits_for_acknowledgements_and_loses_the_oldest(client: httpx.Client, url: str) -> None:
    stream = start(client, loop=True)
    with connect(url, f"{stream['id']}/ws?window=2") as viewer:
        assert [json.loads(viewer.recv(timeout=DEADLINE_S))["id"] for _ in range(2)] == [1, 2]
        wait_until(lambda: read(client, stream)["last_event"] > 2 + LIMITS.kept_events)
        with pytest.raises(TimeoutError):
            viewer.recv(timeout=0.2)
        viewer.send("2")
        lost, frame = (json.loads(viewer.recv(timeout=DEADLINE_S)) for _ in range(2))
        assert lost["type"] == "lost" and frame["id"] == 3 + lost["count"]


def test_an_upload_is_shown(client: httpx.Client, videos: Path) -> None:
    content = (videos / "a.mp4").read_bytes()
    query = {"model": "brightness", "realtime": "false", "frames_per_second": "12.5"}
    raw = client.post("/v2/streams", content=content, params=query, headers={"content-type": "video/mp4"})
    assert raw.status_code == 201, raw.text
    assert [event["data"]["frame"] for event in read_events(client, raw.json())[:-1]] == [0, 2, 4, 6]
    form = client.post("/v2/streams", files={"video": ("yard.mp4", content)}, params=query)
    assert form.status_code == 201 and form.json()["source"] == "yard.mp4"
    assert len(read_events(client, form.json())) == 5


@pytest.mark.parametrize(("name", "words"), [("sound.mp4", "without a picture stream"), ("broken.mp4", "does not open as one")])
def test_files_that_are_no_video_fail_in_one_line(client: httpx.Client, name: str, words: str) -> None:
    stream = start(client, {"file": name})
    view = wait_for(client, stream, "failed")
    assert words in view["detail"] and "\n" not in view["detail"]
    (end,) = read_events(client, stream)
    assert (end["event"], end["data"]["state"]) == ("end", "failed")


def test_in_real_time_a_slow_model_drops_frames_by_policy(client: httpx.Client, stage: Stage) -> None:
    stage.model.gate.clear()
    stream = start(client, realtime=True, max_waiting_frames=1, drop="newest")
    wait_until(lambda: read(client, stream)["statistics"]["frames_dropped"].get("waiting", 0) == 6)
    stage.model.gate.set()
    view = wait_for(client, stream, "ended")
    assert view["statistics"]["frames_analysed"] == 2
    assert [event["data"]["frame"] for event in read_events(client, stream)[:-1]] == [0, 1]


def test_cameras_have_one_frame_on_its_way_each(client: httpx.Client, stage: Stage) -> None:
    stage.model.gate.clear()
    streams = [start(client, tenant=f"t{number}", loop=True, name=str(number)) for number in range(3)]
    wait_until(lambda: len(stage.scheduler.timeouts) == 3)
    stage.model.gate.set()
    wait_until(lambda: len(stage.model.tenants) >= 90)
    stage.model.gate.clear()
    shares = [stage.model.tenants[:90].count(f"t{number}") for number in range(3)]
    assert len(streams) == 3 and max(shares) - min(shares) <= 6, shares  # first come first served, and still even


def test_refusals_of_the_queue_are_drops_by_reason_in_real_time(client: httpx.Client, stage: Stage) -> None:
    stage.scheduler.refusals = [QueueFull("full", 1.0), QueueTimeout("late")]
    view = wait_for(client, start(client, realtime=True), "ended")
    assert view["statistics"]["frames_dropped"] == {"queue_full": 1, "timeout": 1}
    assert view["statistics"]["frames_analysed"] == 6
    assert stage.scheduler.timeouts[0] == pytest.approx(0.2)


def test_without_real_time_a_refused_frame_is_offered_again(client: httpx.Client, stage: Stage) -> None:
    stage.scheduler.refusals = [QueueFull("full", 1.0), QueueFull("full", 1.0)]
    view = wait_for(client, start(client), "ended")
    assert view["statistics"]["frames_analysed"] == 8 and view["statistics"]["frames_dropped"] == {}


def test_a_model_that_goes_away_ends_the_stream(client: httpx.Client, stage: Stage) -> None:
    stage.model.gate.clear()
    stream = start(client)
    wait_until(lambda: bool(stage.scheduler.timeouts))
    stage.model.name = "renamed"
    stage.model.gate.set()
    view = wait_for(client, stream, "failed")
    assert "no model 'brightness'" in view["detail"]


def test_a_killed_decoder_fails_its_stream_only(client: httpx.Client, managers: list[StreamManager]) -> None:
    doomed, other = start(client, loop=True), start(client)
    wait_for(client, doomed, "running")
    pid = managers[0].find(doomed["id"], "").decoder_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert "SIGKILL" in wait_for(client, doomed, "failed")["detail"]
    assert len(read_events(client, other)) == 9


def test_delete_ends_the_decoder_and_tells_viewers(client: httpx.Client, managers: list[StreamManager]) -> None:
    stream = start(client, loop=True)
    wait_for(client, stream, "running")
    running = managers[0].find(stream["id"], "")
    pid = running.decoder_pid
    assert client.delete(f"/v2/streams/{stream['id']}").status_code == 204
    assert pid is not None and not Path(f"/proc/{pid}").exists()
    assert running.events.is_closed and running.state == "ended"
    assert client.get(f"/v2/streams/{stream['id']}").status_code == 404
    assert client.delete(f"/v2/streams/{stream['id']}").status_code == 404
    assert client.get("/v2/streams").json() == {"streams": []}


def test_the_end_of_the_server_ends_every_decoder(stage: Stage, videos: Path) -> None:
    managers = []

    def make(service: Any) -> StreamManager:
        managers.append(StreamManager(service, folder=videos, limits=LIMITS))
        return managers[0]

    descriptors = count_open_files()
    with run_streams(stage, make) as url, httpx.Client(base_url=url, trust_env=False) as client:
        streams = [start(client, loop=True, realtime=True) for _ in range(2)]
        for stream in streams:
            wait_for(client, stream, "running")
        pids = [stream.decoder_pid for stream in managers[0].list_streams("")]
    assert all(pids) and not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert [stream.state for stream in managers[0].list_streams("")] == ["ended", "ended"]
    assert count_open_files() <= descriptors


def test_callers_have_their_own_streams_and_limits(client: httpx.Client) -> None:
    mine = [start(client, tenant="ann", loop=True) for _ in range(2)]
    body = {"model": "brightness", "source": {"file": "a.mp4"}, "loop": True}
    refused = client.post("/v2/streams", json=body, headers={"x-tenant": "ann"})
    assert refused.status_code == 503 and "2 of your streams" in refused.json()["detail"]
    start(client, tenant="bob", loop=True)
    assert "3 streams run" in client.post("/v2/streams", json=body, headers={"x-tenant": "eve"}).json()["detail"]
    assert client.get(f"/v2/streams/{mine[0]['id']}", headers={"x-tenant": "bob"}).status_code == 404
    listed = client.get("/v2/streams", headers={"x-tenant": "ann"}).json()["streams"]
    assert [stream["id"] for stream in listed] == [stream["id"] for stream in mine]
    assert client.delete(f"/v2/streams/{mine[0]['id']}", headers={"x-tenant": "ann"}).status_code == 204
    start(client, tenant="ann", loop=True)


def test_frames_count_for_the_caller(client: httpx.Client, stage: Stage) -> None:
    stream = start(client, tenant="ann")
    wait_until(lambda: read(client, stream, "ann")["state"] == "ended")
    assert set(stage.model.tenants) == {"ann"}


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


@pytest.mark.parametrize("task", ["raw", "image"])
def test_models_that_do_not_annotate_have_no_streams(client: httpx.Client, stage: Stage, task: Any) -> None:
    decode = None if task == "raw" else stage.model.facts.decode
    stage.model.facts = msgspec.structs.replace(stage.model.facts, task=task, decode=decode)
    answer = client.post("/v2/streams", json={"model": "brightness", "source": {"file": "a.mp4"}})
    assert answer.status_code == 422 and f"task {task}" in answer.json()["detail"]
    assert stage.host.held == 0


def test_without_the_operators_word_there_are_uploads_only(stage: Stage) -> None:
    with run_streams(stage, StreamManager) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for source in ({"file": "a.mp4"}, {"url": "http://127.0.0.1/"}):
            answer = client.post("/v2/streams", json={"model": "brightness", "source": source})
            assert answer.status_code == 422 and "--" in answer.json()["detail"]


def test_a_folder_that_is_not_there_is_said_at_the_start(stage: Stage, tmp_path: Path) -> None:
    import asyncio

    with pytest.raises(NotFound):
        asyncio.run(StreamManager(stage.service, folder=tmp_path / "absent").start())
    stage.scheduler.pool.shutdown()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Callable[[], tuple[str, list[str]]]]:
    """An HTTP camera that sends an MPEG transport stream of unknown length and hangs up, again and again."""
    content = write_video(tmp_path / "camera.ts", [0, 255] * 10, codec="mpeg2video").read_bytes()
    visits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield lambda: (f"http://127.0.0.1:{server.server_address[1]}/live", visits)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_live_source_that_ends_is_opened_again(client: httpx.Client, camera: Callable[[], tuple[str, list[str]]]) -> None:
    address, visits = camera()
    stream = start(client, {"url": f"{address}?token=secret"}, realtime=True, drop="none")
    wait_until(lambda: read(client, stream)["statistics"]["reconnects"] >= 2)
    view = read(client, stream)
    assert view["source"] == address and "secret" not in json.dumps(view)
    assert len(visits) >= 2 and view["statistics"]["frames_analysed"] >= 20
    assert client.delete(f"/v2/streams/{stream['id']}").status_code == 204


def test_an_address_that_never_opened_fails(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        stream = start(client, {"url": f"rtsp://127.0.0.1:{hanging.getsockname()[1]}/cam"})
        assert "did not answer within 0.5 s" in wait_for(client, stream, "failed")["detail"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "does not open" in wait_for(client, start(client, {"url": f"http://127.0.0.1:{port}/"}), "failed")["detail"]


def test_a_camera_that_falls_silent_is_opened_again(client: httpx.Client, tmp_path: Path) -> None:
    content = write_video(tmp_path / "camera.ts", [0, 255] * 40, size=(320, 240), codec="mpeg2video").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as camera:
        camera.settimeout(DEADLINE_S)
        stream = start(client, {"url": f"http://127.0.0.1:{camera.getsockname()[1]}/"}, realtime=True)
        with camera.accept()[0] as line:
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)
            second, _ = camera.accept()
        second.close()
        view = wait_for(client, stream, "reconnecting")
        assert view["statistics"]["frames_read"] > 0 and view["detail"]


def test_a_camera_without_times_is_shown_as_its_frames_come(client: httpx.Client) -> None:
    picture = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    part = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode() + picture + b"\r\n"
    with socket.create_server(("127.0.0.1", 0)) as camera:
        camera.settimeout(DEADLINE_S)
        stream = start(client, {"url": f"http://127.0.0.1:{camera.getsockname()[1]}/"}, realtime=True, drop="none")
        line, _ = camera.accept()
        with line:
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n" + part * 8)
            wait_until(lambda: read(client, stream)["last_event"] >= 6)
            seen, sent_s = read(client, stream)["last_event"], time.monotonic()
            wait_until(lambda: time.monotonic() > sent_s + 0.3)
            line.sendall(part * 2)
            wait_until(lambda: read(client, stream)["last_event"] > seen)
            assert read(client, stream)["video"]["container"] == "mpjpeg"
        wait_until(lambda: read(client, stream)["statistics"]["reconnects"] > 0)
    events = read_until_end(client, stream)
    times_s = [event["time_s"] for event in events if event["type"] == "frame"]
    assert times_s == sorted(times_s) and max(np.diff(times_s)) > 0.25  # FFmpeg would take them for 0.04 s apart


def test_an_rtsp_camera_is_shown(client: httpx.Client, stage: Stage, tmp_path: Path) -> None:
    content = write_video(tmp_path / "camera.ts", [0, 255] * 15, codec="mpeg2video").read_bytes()
    with RtspCamera(content) as camera:
        stream = start(client, {"url": camera.url}, realtime=True, drop="none")
        wait_until(lambda: read(client, stream)["statistics"]["frames_analysed"] >= 20, "no frames over RTSP")
        view = read(client, stream)
        assert view["video"]["container"] == "rtsp" and view["source"] == camera.url.replace("user:word@", "")
        assert client.delete(f"/v2/streams/{stream['id']}").status_code == 204
    assert camera.methods[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    means = [round(mean) for mean in stage.model.means[:10]]
    assert means == pytest.approx([0, 255] * 5, abs=6)
