"""Streams under the limits of their caller's key, and what becomes of them when the key goes or changes."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from stream_client import read, start, wait_for
from stream_fakes import GRAYS, Stage, write_video
from waiting import wait_until
from whole_server import run_server

from sightline.serving.http.keys import Caller, create_key
from sightline.serving.http.limits import Quota, TokenBucket
from sightline.serving.server_options import ServerOptions


def limit(stage: Stage, **limits: Any) -> Quota:
    quota = Quota(**limits)
    stage.callers[""] = Caller("", quota=quota)
    return quota


def test_frames_beyond_the_rate_of_a_key_are_dropped_and_leave_a_token_for_its_requests(
    client: httpx.Client, stage: Stage
) -> None:
    quota = limit(stage, bucket=TokenBucket(0.001, burst=3))
    view = wait_for(client, start(client, realtime=True, drop="none"), "ended")
    assert view["statistics"]["frames_analysed"] == 2
    assert view["statistics"]["frames_dropped"] == {"limit": len(GRAYS) - 2}
    assert not quota.enter_frame()
    quota.spend()
    quota.begin()


def test_a_frame_counts_among_what_its_key_runs_at_once(client: httpx.Client, stage: Stage) -> None:
    quota = limit(stage, max_concurrent=1)
    quota.spend()
    quota.begin()
    stream = start(client, realtime=True, drop="none")
    view = wait_for(client, stream, "ended")
    assert view["statistics"]["frames_dropped"] == {"limit": len(GRAYS)}
    quota.leave()
    assert wait_for(client, start(client), "ended")["statistics"]["frames_analysed"] == len(GRAYS)
    assert (quota.running, quota.frames) == (0, 0)


def test_without_real_time_a_frame_waits_until_the_key_may_go_on(client: httpx.Client, stage: Stage) -> None:
    quota = limit(stage, max_concurrent=1)
    quota.spend()
    quota.begin()
    stream = start(client)
    wait_until(lambda: read(client, stream)["statistics"]["frames_read"] > 0)
    assert read(client, stream)["statistics"]["frames_analysed"] == 0
    quota.leave()
    view = wait_for(client, stream, "ended")
    assert (view["statistics"]["frames_analysed"], view["statistics"]["frames_dropped"]) == (len(GRAYS), {})


def test_viewers_take_no_place_among_the_requests_of_their_key(client: httpx.Client, stage: Stage) -> None:
    quota = limit(stage, max_concurrent=1)
    quota.spend()  # as the guard does for the viewer, whose request this server has no guard for
    quota.begin()
    stream = start(client, loop=True)
    with client.stream("GET", f"/v2/streams/{stream['id']}/events") as answer:
        assert any(line.startswith("data: ") for line in answer.iter_lines())
    wait_until(lambda: quota.running == 1)
    client.delete(f"/v2/streams/{stream['id']}")


CHANGES: dict[str, tuple[dict[str, Any] | None, str]] = {
    "removed": (None, "removed or replaced"),
    "replaced": ({"hash": create_key("a")[1].hash}, "removed or replaced"),
    "restricted": ({"models": ["other"]}, "may not use its model"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_streams_and_viewers_end_when_the_file_of_keys_says_so(repository: Path, tmp_path: Path, change: str) -> None:
    """Nobody but the viewer asks anything meanwhile, and a stream of another key goes on."""
    fields, detail = CHANGES[change]
    write_video(tmp_path / "a.mp4", GRAYS)
    (token, record), (other_token, other) = create_key("a"), create_key("b")
    mine, others = {"name": "a", "hash": record.hash}, {"name": "b", "hash": other.hash}
    options = ServerOptions(keys_file=write_keys(tmp_path, mine, others), stream_files=tmp_path)
    with run_server(repository, options) as running, running.client() as client:
        body = {"model": "parts", "source": {"file": "a.mp4"}, "loop": True, "frames_per_second": 5}
        keys = [{"authorization": f"Bearer {one}"} for one in (token, other_token)]
        streams = [client.post("/v2/streams", json=body, headers=key).json() for key in keys]
        messages = []
        with client.stream("GET", f"/v2/streams/{streams[0]['id']}/events", headers=keys[0]) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    messages.append(json.loads(line[6:]))
                if len(messages) == 1:
                    write_keys(tmp_path, *([] if fields is None else [mine | fields]), others)
        assert messages[-1]["type"] == "end" and detail in messages[-1]["detail"]
        states = [one["state"] for one in client.get("/v2/streams", headers=keys[1]).json()["streams"]]
        assert states == ["running"]
        assert client.get("/v2/streams", headers=keys[0]).status_code == (200 if change == "restricted" else 401)


def write_keys(folder: Path, *records: dict[str, Any]) -> Path:
    (folder / "new.json").write_text(json.dumps({"keys": records}))
    return (folder / "new.json").replace(folder / "keys.json")
