"""What connections refuse by themselves, seen from the whole server: log, metrics, form of the answer, what is counted."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import ask_raw, connect, read_to_end
from stream_fakes import write_video
from waiting import wait_until
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect as connect_websocket
from whole_server import run_server

from sightline.imaging.files.reading import encode_image
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.keys import create_key
from sightline.serving.server_options import ServerOptions

EVIL, GOOD = "https://evil.example", "https://good.example"


def test_refusals_of_connections_are_in_the_log_and_the_metrics(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    limits = ConnectionLimits(body_grace_s=0.3, linger_s=0.3)
    with run_server(repository, ServerOptions(access_log=str(log), connection_limits=limits)) as running:
        ask_raw(running.port, b"GET /health?secret HTTP/1.1\r\n\r\n")
        too_large = b"POST /v2/models/parts/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        assert set(json.loads(ask_raw(running.port, too_large).partition(b"\r\n\r\n")[2])) == {"error"}
        with connect(running.port) as late:  # the guard has let it in; it is one line all the same
            late.sendall(b"POST /predict/parts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab")
            assert read_to_end(late).startswith(b"HTTP/1.1 408 ")
        ask_raw(running.port, b"nonsense\r\n\r\n")
        with running.client() as client:
            metrics = client.get("/metrics").text.splitlines()
        assert {"# TYPE sightline_streams gauge", "# TYPE sightline_stream_frames_total counter"} <= set(metrics)
        wait_until(lambda: log.read_text().count("\n") == 5)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/health", 400),
        ("POST", "/v2/models/parts/infer", 413),
        ("POST", "/predict/parts", 408),
        ("", "", 400),
        ("GET", "/metrics", 200),
    ]
    for status, count in ((400, 2), (408, 1), (413, 1)):
        assert f'sightline_refused_requests_total{{status="{status}"}} {count:.1f}' in metrics


def test_no_path_with_a_slash_behind_it_is_redirected(repository: Path) -> None:
    with run_server(repository) as running, running.client() as client:
        for method, path in (("POST", "/predict/parts/"), ("GET", "/metrics/"), ("GET", "/deployments/")):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers.get("location")) == (404, None)


def test_decompressed_bodies_count_against_all_bodies_together(repository: Path) -> None:
    tensor = {"name": "images", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0] * 3072}
    small = json.dumps({"inputs": [tensor]}).encode()
    large = small + b" " * 100_000
    with (
        run_server(repository, ServerOptions(connection_limits=ConnectionLimits(max_buffered_bytes=100_000))) as running,
        running.client(headers={"Content-Encoding": "gzip"}) as client,
    ):
        assert client.post("/v2/models/parts/infer", content=gzip.compress(small)).status_code == 200
        refused = client.post("/v2/models/parts/infer", content=gzip.compress(large))
        assert refused.status_code == 503 and refused.headers["retry-after"] and set(refused.json()) == {"error"}
        wait_until(lambda: running.whole.edge.buffered_bytes == 0)


def test_a_page_of_an_allowed_origin_sends_a_picture_and_reads_the_answer(repository: Path) -> None:
    """What a browser does for `fetch(url, {method: "POST", headers: {"Authorization": ..., "Content-Type": "image/png"}})`."""
    token, record = create_key("lab")
    options = ServerOptions(allowed_origins=frozenset({GOOD}), key_line=f"lab={record.hash}")
    picture = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
    with run_server(repository, options) as running, running.client(headers={"Origin": GOOD}) as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
        allowed = client.options("/predict/parts", headers=asked)
        assert (allowed.status_code, allowed.content) == (204, b"")
        assert allowed.headers["access-control-allow-origin"] == GOOD
        assert {"authorization", "content-type"} <= set(allowed.headers["access-control-allow-headers"].lower().split(", "))
        for headers, status in (({"Authorization": f"Bearer {token}"}, 200), ({}, 401)):
            answer = client.post("/predict/parts", content=picture, headers={"Content-Type": "image/png"} | headers)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == GOOD
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        evil = client.options("/predict/parts", headers=asked | {"Origin": EVIL})
        assert evil.status_code == 401 and "access-control-allow-origin" not in evil.headers


def test_viewers_of_a_stream_are_told_of_the_server_s_end_over_http_and_over_a_websocket(
    repository: Path, tmp_path: Path
) -> None:
    def watch_events() -> dict[str, Any]:
        with running.client() as other, other.stream("GET", f"/v2/streams/{stream['id']}/events") as answer:
            data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        return json.loads(data[-1])

    write_video(tmp_path / "a.mp4", [0, 255])
    with ThreadPoolExecutor(1) as pool:
        with run_server(repository, ServerOptions(stream_files=tmp_path)) as running, running.client() as client:
            source = {"model": "parts", "source": {"file": "a.mp4"}, "loop": True, "frames_per_second": 20}
            stream = client.post("/v2/streams", json=source).json()
            watched = pool.submit(watch_events)
            url = f"ws://127.0.0.1:{running.port}/v2/streams/{stream['id']}/ws?window=2"
            messages: list[dict[str, Any]] = []
            with connect_websocket(url) as websocket:
                wait_until(lambda: running.whole.streams.list_streams("")[0].viewers == 2)
                with pytest.raises(ConnectionClosedOK):
                    while True:
                        messages.append(json.loads(websocket.recv(timeout=30)))
                        websocket.send(str(messages[-1]["id"]))
                        running.loop.should_exit = True
        assert messages[-1]["type"] == "end" and watched.result(30) == messages[-1]
        assert websocket.close_code == 1000


def test_pages_of_allowed_origins_may_open_websockets(repository: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0, 255])
    options = ServerOptions(stream_files=tmp_path, allowed_origins=frozenset({GOOD}))
    with run_server(repository, options) as running, running.client(headers={"Origin": GOOD}) as client:
        stream = client.post("/v2/streams", json={"model": "parts", "source": {"file": "a.mp4"}}).json()
        url = f"ws://127.0.0.1:{running.port}/v2/streams/{stream['id']}/ws"
        with connect_websocket(url, origin=GOOD) as websocket:  # type: ignore[arg-type]
            assert json.loads(websocket.recv(timeout=30))["id"] == 1
        with pytest.raises(InvalidStatus, match="403"):
            connect_websocket(url, origin=EVIL)  # type: ignore[arg-type]
