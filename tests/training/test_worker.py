import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import pytest
import torch

from sightline.core.errors import NotFound
from sightline.training.recipe import make_recipe
from sightline.training.worker import main
from sightline.training.worker_messages import Job, WorkerMessage


@pytest.fixture
def keep_process_settings() -> Iterator[None]:
    """`main` sets what holds for its whole process; put it back for the other tests."""
    handler, threads, cv2_threads = signal.getsignal(signal.SIGINT), torch.get_num_threads(), cv2.getNumThreads()
    yield
    signal.signal(signal.SIGINT, handler)
    torch.set_num_threads(threads)
    cv2.setNumThreads(cv2_threads)


@pytest.mark.usefixtures("keep_process_settings")
def test_a_missing_version_is_reported_on_the_pipe(tmp_path: Path) -> None:
    recipe = make_recipe("classification", budget="1it")
    job = Job(version=str(tmp_path / "nothing"), recipe=recipe, out=str(tmp_path / "out"), resume=False)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(job))
    read_end, write_end = os.pipe()
    assert main(tmp_path / "job.json", write_end) == 1
    with os.fdopen(read_end, "rb") as messages:
        message = msgspec.json.decode(messages.readline(), type=WorkerMessage)
        assert messages.readline() == b""
    assert message.error_type == NotFound.__name__
    assert "nothing" in (message.error or "")


def test_a_job_survives_json() -> None:
    job = Job(version="v", recipe=make_recipe("semantic", augmentation={"scale": (0.5, 2.0)}), out="o", resume=True)
    assert msgspec.json.decode(json.dumps(msgspec.to_builtins(job)).encode(), type=Job) == job
