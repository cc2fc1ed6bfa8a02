"""What a client does with streams: start one, wait for a state, read its events."""

import json
from typing import Any

import httpx
from waiting import DEADLINE_S, wait_until
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_anyhow


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
