"""What `POST /v2/streams` refuses."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from stream_fakes import Stage, run_streams

from sightline.core.errors import NotFound
from sightline.serving.streams.manager import StreamManager


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
    with pytest.raises(NotFound):
        asyncio.run(StreamManager(stage.service, folder=tmp_path / "absent").start())
    stage.scheduler.pool.shutdown()
