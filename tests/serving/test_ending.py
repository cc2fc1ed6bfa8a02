"""How the whole server ends while something of it does not."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from waiting import wait_until
from whole_server import begin_server, run_server

from sightline.core.settings import Settings
from sightline.serving.deployments import deploy_artifact
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import Work
from sightline.serving.server_options import ServerOptions

PNG = bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1])


def test_an_execution_that_hangs_does_not_keep_the_server_from_ending(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sightline.serving.server.DRAIN_S", 0.05)
    monkeypatch.setattr("sightline.serving.process.listening.SHUTDOWN_GRACE_S", 1)
    entered, gate = threading.Event(), threading.Event()

    class Hanging(ServedModel):
        def run_hanging(self) -> None:
            with self._use_sessions():
                entered.set()
                gate.wait()

        def execute(self, works: Sequence[Work], alone: bool) -> None:
            self.run_hanging()
            super().execute(works, alone)

    def open_model(source: ModelSource) -> ServedModel:
        return Hanging(source, 2, 1_000_000)

    options = ServerOptions(access_log=str(tmp_path / "access.log"))
    with ThreadPoolExecutor(1) as pool:
        try:
            with run_server(repository, options, Settings(threads=2), open_model) as running, running.client() as client:
                asked = pool.submit(client.post, "/predict/parts", content=PNG)
                assert entered.wait(30)
                running.loop.should_exit = True
                assert asked.result(30).status_code == 503
            assert "an execution does not end: version 1 of parts stays open" in caplog.text
        finally:  # `run_server` has seen its thread end before
            gate.set()
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    told = json.loads(line)
    assert (told["path"], told["status"]) == ("/predict/parts", 503)


@pytest.mark.parametrize("moment", ["at the start", "while it serves"])
def test_an_opening_that_hangs_does_not_keep_the_server_from_ending(
    moment: str, repository: Path, halves: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sightline.serving.server.OPENING_S", 0.2)
    monkeypatch.setattr("sightline.serving.server.LEAST_OPENING_S", 0.1)
    entered, gate = threading.Event(), threading.Event()

    class Hanging(ServedModel):
        def open(self) -> None:
            if self.name == "second":
                entered.set()
                gate.wait()
            super().open()

    def open_model(source: ModelSource) -> ServedModel:
        return Hanging(source, 2, 1_000_000)

    if moment == "at the start":
        deploy_artifact(halves, "second", repository)
    try:
        with begin_server(repository, open_model=open_model) as (running, is_up), running.client() as client:
            if moment == "while it serves":
                assert is_up.wait(30)
                deploy_artifact(halves, "second", repository)
            assert entered.wait(30)
            wait_until(lambda: client.post("/predict/parts", content=PNG).status_code == 200)  # what is open answers
        assert [record.message for record in caplog.records if "does not end" in record.message] == [
            "opening version 1 of second does not end: the server ends without it, and all models stay open"
        ]
        assert is_up.is_set() == (moment == "while it serves")
    finally:  # `begin_server` has seen its thread end before
        gate.set()


def test_a_request_that_is_being_answered_is_not_cut_off_for_an_opening_that_hangs(
    repository: Path, halves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.serving.server.OPENING_S", 0.0)
    monkeypatch.setattr("sightline.serving.server.LEAST_OPENING_S", 0.0)
    entered, opened, running_now, answers = (threading.Event() for _ in range(4))

    class Hanging(ServedModel):
        def open(self) -> None:
            if self.name == "second":
                entered.set()
                opened.wait()
            super().open()

        def execute(self, works: Sequence[Work], alone: bool) -> None:
            running_now.set()
            assert answers.wait(30)
            super().execute(works, alone)

    def open_model(source: ModelSource) -> ServedModel:
        return Hanging(source, 2, 1_000_000)

    deploy_artifact(halves, "second", repository)
    with ThreadPoolExecutor(1) as pool:
        try:
            with begin_server(repository, open_model=open_model) as (running, _), running.client() as client:
                assert entered.wait(30)
                asked = pool.submit(client.post, "/predict/parts", content=PNG)
                assert running_now.wait(30)
                running.loop.should_exit = True
                wait_until(lambda: running.whole.host._starting is not None and running.whole.host._starting.done())
                answers.set()
                assert asked.result(30).status_code == 200
        finally:
            opened.set()
