"""How the whole server ends while something of it does not."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from whole_server import run_server

from sightline.core.settings import Settings
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import Work
from sightline.serving.server_options import ServerOptions

PNG = bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1])


def test_an_execution_that_hangs_does_not_keep_the_server_from_ending(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sightline.serving.server.DRAIN_S", 0.05)
    monkeypatch.setattr("sightline.serving.listening.SHUTDOWN_GRACE_S", 1)
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
                with pytest.raises(httpx.HTTPError):  # its connection ends without an answer
                    asked.result(30).raise_for_status()
            assert "an execution does not end: version 1 of parts stays open" in caplog.text
        finally:  # `run_server` has seen its thread end before
            gate.set()
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    assert json.loads(line)["path"] == "/predict/parts"
