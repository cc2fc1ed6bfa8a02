import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from counting import GO
from following import HERE
from platform_server import Running, run_app
from starlette.testclient import TestClient
from waiting import wait_until

from sightline.api.server import make_platform, open_parts
from sightline.core.workspace import Workspace
from sightline.jobs import running
from sightline.jobs.kinds.table import KINDS
from sightline.jobs.runner import JobRunner


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """`deploy` counts: see tests/jobs/counting.py."""
    monkeypatch.setitem(KINDS, "deploy", "counting:COUNT_AS_DEPLOY")
    monkeypatch.setattr(running, "MODULE", "counting_process")
    monkeypatch.setenv("COUNT_AS_DEPLOY", "1")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def wait_for(api: TestClient | httpx.Client, job: dict[str, Any], state: str) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        now: dict[str, Any] = api.get(f"/v1/jobs/{job['id']}").json()
        return now

    wait_until(lambda: read()["state"] == state, f"the job never was {state}")
    return read()


def test_a_verb_answers_with_a_job_that_tells_how_it_goes_on(api: TestClient) -> None:
    response = api.post("/v1/deploy", json={"artifact": "steps-3"}, headers={"Idempotency-Key": "k"})
    assert response.status_code == 202
    job = response.json()
    assert (job["kind"], job["author"], job["made"], job["error"]) == ("deploy", "ada", None, None)
    assert api.post("/v1/deploy", json={"artifact": "steps-3"}, headers={"Idempotency-Key": "k"}).json()["id"] == job["id"]
    assert api.post("/v1/deploy", json={"artifact": "steps-4"}, headers={"Idempotency-Key": "k"}).status_code == 409
    done = wait_for(api, job, "succeeded")
    assert done["made"]["shelf"] == "models" and done["made"]["facts"]["count"] == 3 and not done["can_stop"]
    listed = api.get("/v1/jobs", params={"state": "succeeded", "kind": "deploy"}).json()
    assert listed == {"jobs": [done], "next_cursor": None}
    assert api.get("/v1/jobs?cursor=99999999999999999999").status_code == 422
    assert api.get("/v1/jobs", params={"state": "failed"}).json()["jobs"] == []
    progress = api.get(f"/v1/jobs/{job['id']}/progress").json()["events"]
    assert [event["sequence"] for event in progress] == [1, 2, 3] and progress[-1]["progress"] == 1.0
    log = api.get(f"/v1/jobs/{job['id']}/log").json()
    assert log["text"].count("counting: one more") == 3 and log["has_ended"]
    assert api.get(f"/v1/jobs/{job['id']}/log", params={"offset": log["offset"]}).json()["text"] == ""


def test_what_is_no_job_and_what_cannot_be_is_refused(api: TestClient) -> None:
    for path in ("", "/log", "/progress", "/events"):
        assert api.get(f"/v1/jobs/none{path}").status_code == 404
    assert api.post("/v1/jobs/none/cancel").status_code == 404
    assert api.post("/v1/train", json={"dataset": "cells", "task": "detection"}).status_code == 404
    assert api.post("/v1/train", json={"dataset": "../cells", "task": "detection"}).status_code == 422
    assert api.get("/v1/jobs", params={"state": "dancing"}).status_code == 422


def test_a_bad_recipe_is_refused_when_it_is_asked_for(api: TestClient, parts: Workspace) -> None:
    refused = api.post("/v1/train", json={"dataset": "parts", "task": "detection", "budget": "soon"})
    assert refused.status_code == 422 and "expected a budget such as 10min" in refused.json()["detail"]
    assert api.get("/v1/jobs").json()["jobs"] == []


def test_jobs_are_stopped_and_cancelled(api: TestClient) -> None:
    first = api.post("/v1/deploy", json={"artifact": "steps-10000"}).json()
    second = api.post("/v1/deploy", json={"artifact": "steps-1"}).json()
    assert api.post(f"/v1/jobs/{second['id']}/stop").status_code == 409
    assert api.post(f"/v1/jobs/{second['id']}/cancel").json()["state"] == "cancelled"
    wait_for(api, first, "running")
    wait_until(lambda: api.get(f"/v1/jobs/{first['id']}").json()["can_stop"])
    stopped = api.post(f"/v1/jobs/{first['id']}/stop")
    assert stopped.status_code == 202 and stopped.json()["asked"] == "stop"
    assert wait_for(api, first, "succeeded")["asked"] == "stop"
    assert api.post(f"/v1/jobs/{first['id']}/cancel").status_code == 409


@pytest.fixture
def served(workspace: Workspace) -> Iterator[tuple[Running, JobRunner]]:
    """A server, since only that streams."""
    with open_parts(workspace) as parts, run_app(lambda session: make_platform(parts, session)) as up:
        yield up, parts.jobs


def read_events(response: httpx.Response) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Name, id and data of each event of a stream."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])
            fields = {}


def test_a_stream_tells_everything_to_the_end_and_goes_on_where_a_reader_was(
    served: tuple[Running, JobRunner], client: httpx.Client
) -> None:
    up, _ = served
    client.base_url, client.headers = httpx.URL(up.url), httpx.Headers(up.bearer)  # type: ignore[assignment]
    job = client.post("/v1/deploy", json={"artifact": "steps-20"}).json()
    path = f"/v1/jobs/{job['id']}/events"
    seen: list[int] = []
    with client.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for name, number, _data in read_events(response):
            if name == "progress":
                assert number is not None
                seen.append(number)
                if number >= 5:
                    break
    last: dict[str, Any] = {}
    with client.stream("GET", path, headers={"Last-Event-ID": str(seen[-1])}) as response:
        for name, number, data in read_events(response):
            if name == "progress":
                assert number is not None
                seen.append(number)
            else:
                last = data
    assert seen == list(range(1, 21))
    assert last["state"] == "succeeded"
    with client.stream("GET", path, headers={"Last-Event-ID": "20"}) as response:
        assert [name for name, _, _ in read_events(response)] == ["job"]


def test_a_job_that_is_killed_goes_on_in_the_same_stream(served: tuple[Running, JobRunner], client: httpx.Client) -> None:
    up, jobs = served
    client.base_url, client.headers = httpx.URL(up.url), httpx.Headers(up.bearer)  # type: ignore[assignment]
    job = client.post("/v1/deploy", json={"artifact": "steps-30-15"}).json()
    states, numbers = [], []
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as response:
        for name, number, data in read_events(response):
            if name == "job":
                states.append(data["state"])
                continue
            assert number is not None
            numbers.append(number)
            if len(numbers) == 3:
                mark = jobs.folder(job["id"]).read_mark()
                assert mark is not None
                os.kill(mark.pid, signal.SIGKILL)
                (jobs.folder(job["id"]).path / GO).touch()
    assert numbers == sorted(set(numbers)) and states[-1] == "succeeded"
    assert client.get(f"/v1/jobs/{job['id']}").json()["restarts"] == 1


def test_streams_end_when_the_server_ends(workspace: Workspace, client: httpx.Client) -> None:
    with open_parts(workspace) as parts:
        with run_app(lambda session: make_platform(parts, session), parts.jobs.begin_to_close) as up:
            client.base_url, client.headers = httpx.URL(up.url), httpx.Headers(up.bearer)  # type: ignore[assignment]
            job = client.post("/v1/deploy", json={"artifact": "steps-10000"}).json()
            ended = threading.Event()
            begun = threading.Event()

            def follow() -> None:
                with client.stream("GET", f"/v1/jobs/{job['id']}/events") as response:
                    for _ in read_events(response):
                        begun.set()
                ended.set()

            thread = threading.Thread(target=follow)
            thread.start()
            assert begun.wait(30)
        assert ended.wait(30)
        thread.join()
        assert [left.state for left in parts.jobs.close()] == ["queued"]
