"""Cameras on loopback: live streams over HTTP and RTSP, their silences and their ends."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import httpx
import msgspec
import numpy as np
import pytest
from rtsp_camera import RtspCamera
from stream_client import read, read_until_end, start, wait_for
from stream_fakes import LIMITS, Stage, run_streams, write_video
from tls_certificates import make_certificate
from waiting import DEADLINE_S, wait_until

from sightline.core.errors import Exhausted, InvalidInput, NotFound, SightlineError, UnknownHost
from sightline.serving.http import tls
from sightline.serving.streams.manager import StreamManager


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


@pytest.mark.parametrize(
    ("error", "state"),
    [(UnknownHost("not known"), "running"), (Exhausted("not in time"), "running"), (InvalidInput("no"), "failed")],
)
def test_a_name_that_is_not_found_while_a_stream_reconnects_is_looked_up_again(
    stage: Stage, camera: Callable[[], tuple[str, list[str]]], error: SightlineError, state: str
) -> None:
    address, visits = camera()
    answers: list[SightlineError | None] = [None, error, error]  # when it is created, and before it is opened again

    async def check(address: str) -> None:
        if answers and (refusal := answers.pop(0)) is not None:
            raise refusal

    def make(service: Any) -> StreamManager:
        return StreamManager(service, check_url=check, limits=LIMITS)

    with run_streams(stage, make) as url, httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client:
        stream = start(client, {"url": address}, realtime=True, drop="none")
        if state == "running":
            wait_until(lambda: read(client, stream)["statistics"]["reconnects"] >= 2)
            assert not answers and len(visits) >= 2
        else:
            assert wait_for(client, stream, "failed")["detail"] == "no" and len(visits) == 1


@pytest.mark.parametrize("limits", [msgspec.structs.replace(LIMITS, open_timeout_s=0.5)])
def test_an_address_that_never_answers_fails(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        stream = start(client, {"url": f"rtsp://127.0.0.1:{hanging.getsockname()[1]}/cam"})
        assert "did not answer within 0.5 s" in wait_for(client, stream, "failed")["detail"]


def test_an_address_that_never_opened_fails(client: httpx.Client) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        stream = start(client, {"url": f"http://127.0.0.1:{closed.getsockname()[1]}/"})
        assert "does not open" in wait_for(client, stream, "failed")["detail"]


@pytest.mark.parametrize("limits", [msgspec.structs.replace(LIMITS, read_timeout_s=1.5)])
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


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    return {
        "camera": make_certificate(tmp_path, "camera"),
        "elsewhere": make_certificate(tmp_path, "elsewhere", holder="DNS:elsewhere.example"),
    }


@contextmanager
def listen_over_tls(certificate: tuple[Path, Path], content: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A camera behind TLS, and the first words that each visitor said to it; it answers HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    heard: list[bytes] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(line, server_side=True) as visitor:
                    heard.append(visitor.recv(4096))
                    visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
@pytest.mark.parametrize(
    ("shown", "trusted"), [("camera", None), ("camera", "elsewhere"), ("elsewhere", "elsewhere")], ids=lambda name: str(name)
)
def test_a_camera_without_a_trusted_certificate_of_its_name_hears_nothing(
    stage: Stage, certificates: dict[str, tuple[Path, Path]], scheme: str, shown: str, trusted: str | None
) -> None:
    def make(service: Any) -> StreamManager:
        ca_file = None if trusted is None else certificates[trusted][0]
        return StreamManager(service, check_url=allow_every_url, ca_file=ca_file, limits=LIMITS)

    with (
        listen_over_tls(certificates[shown], b"") as (port, heard),
        run_streams(stage, make) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client,
    ):
        stream = start(client, {"url": f"{scheme}://user:word@127.0.0.1:{port}/live"})
        assert "--stream-ca" in wait_for(client, stream, "failed")["detail"]
    assert b"".join(heard) == b""


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "of the system"])
def test_a_camera_with_a_certificate_of_a_trusted_authority_is_shown(
    is_named: bool,
    stage: Stage,
    certificates: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = ssl.get_default_verify_paths()._replace(cafile=None)  # as where Python knows only the system's folder
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(tls, "AUTHORITY_FILES", (str(certificates["camera"][0]),))
    named = certificates["camera"][0] if is_named else None
    content = write_video(tmp_path / "camera.ts", [0, 255] * 10, codec="mpeg2video").read_bytes()

    def make(service: Any) -> StreamManager:
        return StreamManager(service, check_url=allow_every_url, ca_file=named, limits=LIMITS)

    with (
        listen_over_tls(certificates["camera"], content) as (port, heard),
        run_streams(stage, make) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client,
    ):
        stream = start(client, {"url": f"https://localhost:{port}/live"}, realtime=True, drop="none")
        wait_until(lambda: read(client, stream)["statistics"]["frames_analysed"] >= 10, "no frames over TLS")
    assert heard[0].startswith(b"GET /live ")


def test_a_file_of_authorities_that_holds_none_ends_the_start(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(InvalidInput, match=r"authority.*ca\.pem"):
        asyncio.run(StreamManager(stage.service, ca_file=tmp_path / "ca.pem").start())
    with pytest.raises(NotFound, match="no file"):
        asyncio.run(StreamManager(stage.service, ca_file=tmp_path / "absent.pem").start())


async def allow_every_url(url: str) -> None:
    pass


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
