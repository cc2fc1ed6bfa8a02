import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cli_fixtures import Run
from tls_certificates import make_certificate
from waiting import wait_until

from sightline.api import server
from sightline.cli.commands.up import find_user
from sightline.core.errors import Conflict
from sightline.jobs.server_lock import ServerLock

END_TIMEOUT_S = 30


class Up(NamedTuple):
    """A running `sightline up`: its process, what it printed when it was ready, and a client that it lets in."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    client: httpx.Client

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=END_TIMEOUT_S)
        return self.process.returncode, out, err


def heed_hang_ups() -> None:
    """Also where the tests themselves run under `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def start(workspace: Path, *options: str) -> Iterator[Up]:
    command = [sys.executable, "-m", "sightline", "up", "--port", "0", "--workspace", str(workspace), "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_hang_ups
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            bearer = {"Authorization": f"Bearer {ready['token']}"}
            with httpx.Client(base_url=ready["url"], headers=bearer, trust_env=False, timeout=60) as client:
                yield Up(process, ready, client)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_opens_by_its_link_and_ends_cleanly(workspace: Path, number: signal.Signals) -> None:
    with start(workspace, "--author", "ada") as up:
        assert up.ready["link"] == f"{up.ready['url']}/?token={up.ready['token']}"
        with httpx.Client(trust_env=False, timeout=60) as browser:
            assert browser.get(up.ready["url"]).status_code == 401
            assert browser.get(up.ready["link"]).status_code == 303
            assert browser.get(f"{up.ready['url']}/v1/session").json()["author"] == "ada"
            assert browser.get(f"{up.ready['url']}/v1/datasets").json() == {"datasets": [], "broken": {}}
        code, out, err = up.end(number)
    assert (code, out) == (0, "")
    assert up.ready["token"] not in err and "Traceback" not in err
    assert sorted(path.name for path in workspace.iterdir() if not path.name.startswith("sightline.db")) in ([], ["jobs"])


def test_people_get_one_line_with_the_link(workspace: Path) -> None:
    command = [sys.executable, "-m", "sightline", "up", "--port", "0", "--workspace", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=END_TIMEOUT_S)
    assert str(workspace) in line and "http://127.0.0.1:" in line and "/?token=" in line
    assert (process.returncode, out) == (0, "")


@pytest.mark.slow
def test_jobs_end_with_the_server_and_go_on_at_the_next_start(run: Run, workspace: Path) -> None:
    assert run("sample", "boxes", "--count", "20").code == 0
    with start(workspace) as up:
        asked = {"dataset": "boxes", "task": "detection", "budget": "100000it", "set": {"size": 64, "batch_size": 2}}
        job = up.client.post("/v1/train", json=asked).json()
        wait_for_state(up, job["id"], "running")
        with pytest.raises(Conflict, match="is served by process"):
            ServerLock(workspace)
        code, _, err = up.end(signal.SIGINT)
    assert code == 0 and "1 job will go on at the next `sightline up`: train 0 %" in err and "Traceback" not in err
    with start(workspace) as up:
        wait_for_state(up, job["id"], "running")
        assert up.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
        wait_for_state(up, job["id"], "cancelled")
        assert up.end(signal.SIGTERM)[0] == 0


def wait_for_state(up: Up, job: str, state: str) -> None:
    wait_until(lambda: up.client.get(f"/v1/jobs/{job}").json()["state"] == state, f"the job never was {state}")


def test_what_was_saved_outlives_a_killed_server(run: Run, workspace: Path) -> None:
    assert run("sample", "boxes", "--count", "20").code == 0
    item = "/v1/datasets/boxes/items/0"
    with start(workspace) as up:
        before = up.client.get(item).json()
        category = up.client.get("/v1/datasets/boxes").json()["categories"][0]["name"]
        put = {"kind": "put", "id": "new0", "annotation": {"category": category, "box_xyxy": [1, 2, 30, 40]}}
        edit = {"edit_id": "edit-000001", "revision": 0, "operations": [put]}
        saved = up.client.post(f"{item}/edits", json=edit)
        assert saved.status_code == 200
        after = up.client.get(item).json()
        assert after["revision"] == saved.json()["revision"] == before["revision"] + 1
        up.process.kill()
    with start(workspace) as up:
        assert up.client.get(item).json() == after != before
        assert up.client.post(f"{item}/edits", json=edit).json() == saved.json()  # the client did not know that it was saved


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_its_link_opens_at_any_address_of_this_machine_alone(workspace: Path, host: str) -> None:
    with start(workspace, "--host", host) as up:
        assert host in up.ready["url"] and up.client.get("/v1/session").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "vision.example"])
def test_nobody_else_is_let_in(run: Run, workspace: Path, host: str) -> None:
    ran = run("up", "--host", host)
    assert ran.code == 2 and host in ran.err and "127.0.0.1" in ran.err and "users" in ran.err
    assert len(ran.err.splitlines()) == 1 and not workspace.exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")
def test_with_users_and_a_certificate_it_is_open_to_others(workspace: Path, tmp_path: Path, run: Run) -> None:
    certificate, key = make_certificate(tmp_path, "mine")
    options = ("--host", "0.0.0.0", "--server-name", "localhost")
    assert run("users", "add", "ada", "--role", "admin", "--without-password").code == 0
    plain = run("up", *options)
    assert plain.code == 2 and "--tls-certificate" in plain.err and len(plain.err.splitlines()) == 1
    with start(workspace, *options, "--tls-certificate", str(certificate), "--tls-key", str(key)) as up:
        assert up.ready["link"].startswith("https://localhost:")
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=up.ready["url"], verify=trusted, trust_env=False, timeout=60) as browser:
            assert "Sign in" in browser.get("/").text
            assert browser.get(up.ready["link"]).status_code == 303
            told = browser.get("/v1/session").json()
            assert (told["role"], told["entry"], told["has_users"]) == ("admin", "link", True)
            assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400
        code, _, err = up.end(signal.SIGTERM)
    assert code == 0 and "Traceback" not in err


def test_behind_a_proxy_it_says_where_it_listens_and_how_browsers_come(workspace: Path, run: Run) -> None:
    run("users", "add", "ada", "--role", "admin", "--without-password")
    with start(workspace, "--behind-proxy", "--server-name", "vision.example") as up:
        assert up.ready["link"] == f"https://vision.example/?token={up.ready['token']}"
        _, _, err = up.end(signal.SIGTERM)
    assert "http://127.0.0.1:" in err and "Host" in err


def test_a_port_that_was_asked_for_and_is_taken_is_refused(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("up", "--port", taken.getsockname()[1])
    assert ran.code == 4 and "in use" in ran.err and len(ran.err.splitlines()) == 1


def test_where_the_usual_port_is_taken_the_next_is_and_it_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        ports = []
        for _ in range(2):
            with server.listen("127.0.0.1", None) as listener:
                ports.append(listener.getsockname()[1])
        assert port < ports[0] == ports[1] < port + server.PORTS_TRIED
        monkeypatch.setattr(server, "PORTS_TRIED", 1)
        with pytest.raises(Conflict, match=str(port)):
            server.listen("127.0.0.1", None)


def test_an_author_is_written_down_even_where_nobody_said_who(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_user()
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert find_user() == "user 54321"
