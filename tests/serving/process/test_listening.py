import gc
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
from stream_fakes import write_video
from waiting import wait_until
from whole_server import begin_server, run_server

from sightline.core.errors import Conflict, InvalidInput
from sightline.imaging.files.reading import encode_image
from sightline.serving.deployments import deploy_artifact
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.process import listening
from sightline.serving.process.listening import format_url, is_loopback, open_listener
from sightline.serving.scheduling.work import Work
from sightline.serving.server_options import ServerOptions

OUR_THREADS = ("slot-", "scheduler-time", "loader", "repository", "server", "access-log")


def test_a_remote_address_needs_permission() -> None:
    with pytest.raises(InvalidInput, match="allow-remote"):
        open_listener("0.0.0.0", 0)
    open_listener("0.0.0.0", 0, allow_remote=True).close()


def test_a_taken_port_is_a_conflict() -> None:
    with open_listener("127.0.0.1", 0) as first, pytest.raises(Conflict, match="--port 0"):
        open_listener("127.0.0.1", first.getsockname()[1])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1"):
        open_listener("no.such.name.invalid", 0, allow_remote=True)
    with pytest.raises(Conflict, match="cannot listen"):
        open_listener("192.0.2.1", 0, allow_remote=True)  # kept for documents (RFC 5737): no machine has it


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False), ("example", False)],
)
def test_loopback_addresses_are_told_apart(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_urls_of_both_address_families() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        assert format_url(listener, "https") == f"https://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with open_listener("::1", 0) as listener:
            assert format_url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def find_our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(OUR_THREADS)]


def test_a_server_collects_garbage_though_the_command_line_had_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    def make_server(*_: object) -> None:
        assert gc.isenabled()
        raise Stop

    monkeypatch.setattr(listening, "make_server", make_server)
    gc.disable()
    try:
        with closing(open_listener("127.0.0.1", 0, allow_remote=False)) as listener, pytest.raises(Stop):
            listening.run_server(cast(Any, None), listener, cast(Any, None), lambda: None)
    finally:
        gc.enable()


def test_nothing_of_a_server_outlives_it(repository: Path, tmp_path: Path) -> None:
    options = ServerOptions(grpc_address=("127.0.0.1", 0), access_log=str(tmp_path / "access.log"), check_every_s=0.05)
    others = set(find_our_threads())  # of whatever ran in this process before
    with run_server(repository, options) as running, running.client() as client:
        assert client.get("/v2/health/ready").status_code == 200
        assert set(find_our_threads()) - others
        ports = (running.port, running.whole.grpc_port)
    assert set(find_our_threads()) <= others
    assert not running.whole.is_ready()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_connections_and_requests_that_are_open_do_not_keep_it(repository: Path) -> None:
    """An idle kept-alive connection, half a head and half a body; the server's end closes them all."""
    beginnings = (
        b"",
        b"POST /predict/parts HT",
        b"POST /predict/parts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab",
    )
    with run_server(repository) as running:
        connections = [socket.create_connection(("127.0.0.1", running.port), timeout=30) for _ in beginnings]
        for connection, sent in zip(connections, beginnings, strict=True):
            connection.sendall(sent)
        wait_until(lambda: len(running.whole.edge.connections) == len(beginnings))
    for connection in connections:
        while connection.recv(65536):
            pass
        connection.close()


def list_children(pid: int) -> list[int]:
    """Processes below one, at any depth; of threads and processes that end meanwhile there are none."""
    children: list[int] = []
    for task in Path("/proc").glob(f"{pid}/task/*"):
        with suppress(OSError):
            children += map(int, (task / "children").read_text().split())
    return children + [below for child in children for below in list_children(child)]


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """A failed test leaves no process behind, nor waits for one."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_process_ends_with_all_its_children(repository: Path, tmp_path: Path, number: signal.Signals) -> None:
    """While a stream decodes in a process of its own."""
    write_video(tmp_path / "videos.mp4", [0, 255] * 500)
    words = ["serve", repository, "--port", "0", "--grpc-port", "0", "--stream-files", tmp_path, "--json"]
    command = [sys.executable, "-P", "-m", "sightline", *map(str, words)]
    mine = signal.signal(number, signal.SIG_DFL)  # a child of `nohup` would inherit that the signal is ignored
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, killed(process):
        signal.signal(number, mine)
        assert process.stdout is not None and process.stderr is not None
        told = json.loads(process.stdout.readline())
        assert told["deployments"] == ["parts"] and told["grpc_port"] > 0
        body = {"model": "parts", "source": {"file": "videos.mp4"}}
        started = httpx.post(f"{told['url']}/v2/streams", json=body, trust_env=False, timeout=60)
        assert started.status_code == 201, started.text
        wait_until(lambda: list_children(process.pid))
        children = list_children(process.pid)
        process.send_signal(number)
        assert process.wait(30) == 0, process.stderr.read()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    for port in (int(told["url"].rpartition(":")[2]), told["grpc_port"]):
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may still be told apart
            bound.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["--model-control", "explicit", "--load", "nope"], "NotFound", 3),
        (["--stream-files", "absent"], "NotFound", 3),
        (["--grpc-port", "taken"], "Conflict", 4),
    ],
)
def test_a_start_that_fails_is_one_line_and_an_object_for_programs(
    tmp_path: Path, repository: Path, words: list[str], kind: str, code: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [str(taken.getsockname()[1]) if word == "taken" else word for word in words]
        command = [sys.executable, "-P", "-m", "sightline", "serve", str(repository), "--port", "0", "--json", *words]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    told = json.loads(ran.stdout)["error"]
    assert (ran.returncode, told["exit_code"], told["type"]) == (code, code, kind)
    assert ran.stderr.strip().splitlines() == [f"error: {told['detail']}"]


def test_a_repository_that_is_not_there_ends_the_start_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "sightline", "serve", str(tmp_path / "absent"), "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0 and len(ran.stderr.strip().splitlines()) == 1


def test_requests_that_run_when_the_server_begins_to_end_are_answered(repository: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Gated(ServedModel):
        def execute(self, works: Sequence[Work], alone: bool) -> None:
            entered.set()
            assert gate.wait(30)
            super().execute(works, alone)

    picture = encode_image(np.full((8, 8, 3), 255, np.uint8), "png")
    with (
        run_server(repository, open_model=lambda source: Gated(source, 1, 1000)) as running,
        running.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(client.post, "/predict/parts", content=picture)
        assert entered.wait(30)
        running.loop.should_exit = True
        wait_until(lambda: not running.whole.is_ready())
        gate.set()
        assert answer.result().status_code == 200


class Opening:
    """Models that are opened when the gate opens. Attributes: begun: names, in order."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []

    def open_model(self, source: ModelSource) -> ServedModel:
        self.begun.append(source.name)
        assert self.gate.wait(30)
        return ServedModel(source, 1, 1000)


def test_clients_are_answered_while_models_are_loaded(repository: Path) -> None:
    opening = Opening()
    picture = encode_image(np.full((8, 8, 3), 255, np.uint8), "png")
    with begin_server(repository, open_model=opening.open_model) as (running, is_up), running.client() as client:
        wait_until(lambda: opening.begun)
        assert client.get("/v2/health/live").status_code == client.get("/health").status_code == 200
        assert client.get("/v2/health/ready").status_code == 400
        for name in ("parts", "absent"):
            refused = client.post(f"/predict/{name}", content=picture)
            assert refused.status_code == 503 and "loading" in refused.json()["detail"]
        assert not is_up.is_set()
        opening.gate.set()
        assert is_up.wait(30) and running.whole.names == ["parts"]
        assert client.get("/v2/health/ready").status_code == client.post("/predict/parts", content=picture).status_code == 200
        assert client.post("/predict/absent", content=picture).status_code == 404


def test_a_server_that_is_told_to_end_opens_no_further_model(repository: Path, halves: Path) -> None:
    opening = Opening()
    deploy_artifact(halves, "second", repository)
    with begin_server(repository, open_model=opening.open_model) as (running, is_up):
        wait_until(lambda: opening.begun)
        running.loop.should_exit = True
        wait_until(lambda: running.whole._is_ending)
        opening.gate.set()
    assert opening.begun == ["parts"]
    assert not is_up.is_set() and not running.whole.is_ready()


def end_while_it_opens(repository: Path, code: str) -> str:
    """What a server says that is ended as soon as its code has written that the model `parts` is being opened."""
    command = [sys.executable, "-P", "-c", code, "serve", str(repository), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, killed(process):
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == "parts\n"
        process.send_signal(signal.SIGTERM)
        out, told = process.communicate(timeout=30)
    assert process.returncode == 0 and out == ""
    return told


def test_a_signal_ends_the_process_while_it_loads(repository: Path, halves: Path) -> None:
    """After the model that is being opened, which takes long here, and with no word of being ready."""
    deploy_artifact(halves, "second", repository)
    code = (
        "import sys, threading\n"
        "from sightline.cli.main import run\n"
        "from sightline.serving.inference.served_model import ServedModel\n"
        "from sightline.serving.server import InferenceServer\n"
        "opened, begin_end, is_ending = ServedModel.open, InferenceServer.begin_end, threading.Event()\n"
        "def open_slowly(model):\n"
        "    print(model.name, file=sys.stderr, flush=True)\n"
        "    assert is_ending.wait(30)\n"
        "    opened(model)\n"
        "async def begin_and_tell(server):\n"
        "    await begin_end(server)\n"
        "    is_ending.set()\n"
        "ServedModel.open, InferenceServer.begin_end = open_slowly, begin_and_tell\n"
        "run()\n"
    )
    assert "second" not in end_while_it_opens(repository, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_loop_runs_ends_the_process(repository: Path, number: signal.Signals) -> None:
    code = (
        "import os, signal, uvicorn\n"
        "from sightline.cli.main import run\n"
        "serve = uvicorn.Server.run\n"
        "def begin(*arguments, **named):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    serve(*arguments, **named)\n"
        "uvicorn.Server.run = begin\n"
        "run()\n"
    )
    command = [sys.executable, "-P", "-c", code, "serve", str(repository), "--port", "0"]
    mine = signal.signal(number, signal.SIG_DFL)  # a child of `nohup` would inherit that the signal is ignored
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, killed(process):
        signal.signal(number, mine)
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), told


def test_a_signal_ends_the_process_while_an_opening_hangs_in_native_code(repository: Path) -> None:
    code = (
        "import ctypes, sys\n"
        "from sightline.cli.main import run\n"
        "from sightline.serving import server\n"
        "from sightline.serving.inference.served_model import ServedModel\n"
        "server.OPENING_S = server.LEAST_OPENING_S = 0.2\n"
        "def hang(model):\n"
        "    print(model.name, file=sys.stderr, flush=True)\n"
        "    ctypes.CDLL(None).sleep(600)\n"
        "ServedModel.open = hang\n"
        "run()\n"
    )
    (line,) = end_while_it_opens(repository, code).splitlines()
    assert line.endswith("ERROR opening version 1 of parts does not end: the server ends without it, and all models stay open")
