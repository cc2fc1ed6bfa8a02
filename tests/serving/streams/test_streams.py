"""Streams over a real server: HTTP, server-sent events, WebSocket, limits, and the ends a stream can have."""

import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from stream_client import connect, read, read_events, start, wait_for
from stream_fakes import GRAYS, LIMITS, Stage, count_open_files, run_streams
from waiting import DEADLINE_S, wait_until
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from sightline.core.errors import QueueFull, QueueTimeout
from sightline.serving.streams.manager import StreamManager

CATEGORIES = ["bright" if gray else "dark" for gray in GRAYS]


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


def test_websockets_of_unknown_streams_are_refused(client: httpx.Client, url: str) -> None:
    stream = start(client)
    wait_for(client, stream, "ended")
    with pytest.raises(InvalidStatus) as refusal:
        connect(url, "unknown/ws")
    assert refusal.value.response.status_code == 404
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
            one_more = client.get(f"/v2/streams/{stream['id']}/events")
            with pytest.raises(InvalidStatus) as refusal:
                connect(url, f"{stream['id']}/ws")
        del chunks
    assert one_more.status_code == refusal.value.response.status_code == 503
    assert one_more.headers["retry-after"] == refusal.value.response.headers["retry-after"] == "1"
    assert refusal.value.response.body == one_more.content
    wait_until(lambda: running.viewers == 0)


def test_a_slow_viewer_loses_the_oldest_and_is_told(client: httpx.Client, url: str) -> None:
    stream = start(client, loop=True)
    with socket.socket() as viewer:
        viewer.settimeout(DEADLINE_S)
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        viewer.sendall(f"GET /v2/streams/{stream['id']}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: read(client, stream)["last_event"] > 600)  # more than kept events and buffers hold together
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
    wait_until(lambda: read(client, stream)["statistics"]["frames_dropped"].get("waiting", 0) >= 6)
    stage.model.gate.set()
    view = wait_for(client, stream, "ended")
    # The first is at the model, and what was due next waits: the second, unless this machine slept before the server asked.
    first, *waited = (event["data"]["frame"] for event in read_events(client, stream)[:-1])
    assert first == 0 and waited in ([], [1], [2], [3], [4], [5], [6])
    assert view["statistics"]["frames_analysed"] == 1 + len(waited)
    assert view["statistics"]["frames_dropped"] == {"waiting": 7 - len(waited)}


def test_cameras_have_one_frame_on_its_way_each(client: httpx.Client, stage: Stage) -> None:
    stage.model.gate.clear()
    streams = [start(client, tenant=f"t{number}", loop=True) for number in range(3)]
    for number, stream in enumerate(streams):  # each has a second frame ready, and waits with it
        wait_until(lambda stream=stream, number=number: read(client, stream, f"t{number}")["statistics"]["frames_read"] >= 5)
    assert len(stage.scheduler.timeouts) == 3
    stage.model.gate.set()
    wait_until(lambda: len(stage.model.tenants) >= 3)
    assert sorted(stage.model.tenants[:3]) == ["t0", "t1", "t2"]


def test_refusals_of_the_queue_are_drops_by_reason_in_real_time(client: httpx.Client, stage: Stage) -> None:
    stage.scheduler.refusals = [QueueFull("full", 1.0), QueueTimeout("late")]
    view = wait_for(client, start(client, realtime=True, drop="none"), "ended")
    assert view["statistics"]["frames_dropped"] == {"queue_full": 1, "timeout": 1}
    assert view["statistics"]["frames_analysed"] == 6
    assert stage.scheduler.timeouts[0] == pytest.approx(0.2)
    assert not stage.scheduler.hastened  # or cameras would keep out requests that name no timeout


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
    with run_streams(stage, make) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        streams = [start(client, loop=True, realtime=True) for _ in range(2)]
        for stream in streams:
            wait_for(client, stream, "running")
        pids = [stream.decoder_pid for stream in managers[0].list_streams("")]
    assert all(pids) and not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert [stream.state for stream in managers[0].list_streams("")] == ["ended", "ended"]
    assert count_open_files() <= descriptors


def test_viewers_are_told_the_end_of_the_server(stage: Stage, videos: Path) -> None:
    def make(service: Any) -> StreamManager:
        return StreamManager(service, folder=videos, limits=LIMITS)

    with ExitStack() as server, httpx.Client(trust_env=False, timeout=DEADLINE_S) as client:
        client.base_url = httpx.URL(server.enter_context(run_streams(stage, make)))
        stream = start(client, loop=True, realtime=True)
        with client.stream("GET", f"/v2/streams/{stream['id']}/events") as answer:
            lines = answer.iter_lines()
            next(lines)
            server.close()
            (last,) = [line for line in lines if line.startswith("data: ")][-1:]
    end = json.loads(last.removeprefix("data: "))
    assert (end["type"], end["detail"]) == ("end", "the stream was stopped")


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


def test_of_streams_that_are_over_those_of_who_has_most_go_first_in_the_order_of_their_ends(stage: Stage, videos: Path) -> None:
    managers = []

    def make(service: Any) -> StreamManager:
        managers.append(StreamManager(service, folder=videos, limits=msgspec.structs.replace(LIMITS, kept=2)))
        return managers[0]

    with run_streams(stage, make) as url, httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client:
        long = start(client, tenant="ann", loop=True)
        short = []
        for _ in range(3):
            short.append(start(client, tenant="bob"))
            wait_until(lambda: managers[0].find(short[-1]["id"], "bob").is_over)
        pid = managers[0].find(long["id"], "ann").decoder_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: read(client, long, "ann")["state"] == "failed")  # it began first, and ended last
        listed = client.get("/v2/streams", headers={"x-tenant": "bob"}).json()["streams"]
        assert [stream["id"] for stream in listed] == [short[2]["id"]]
        last = start(client, tenant="bob")
        wait_until(lambda: read(client, last, "bob")["state"] == "ended")
        assert read(client, long, "ann")["state"] == "failed"
