import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sightline.core.errors import Conflict, Exhausted, InvalidInput
from sightline.core.folders import read_manifest, verify_files
from sightline.core.manifests import ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.training import launcher
from sightline.training.folder import lock_training
from sightline.training.launcher import launch_training, worker_environment
from sightline.training.recipe import make_recipe
from sightline.training.train import training_folder

RECIPE = make_recipe("classification", budget="6it", size=32, batch_size=4, validations=1, log_every=1, checkpoint_s=0)

pytestmark = pytest.mark.slow


def test_idle_threads_of_a_worker_do_not_spin() -> None:
    assert worker_environment(3)["OMP_WAIT_POLICY"] == "PASSIVE"
    assert worker_environment(3)["OMP_NUM_THREADS"] == "3"


def test_a_worker_computes_with_the_threads_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_THREADS", "5")
    assert worker_environment()["OMP_NUM_THREADS"] == worker_environment()["MKL_NUM_THREADS"] == "5"


def test_a_worker_makes_a_model_and_reports_every_step(make_version, tmp_path: Path) -> None:
    version = make_version("classification")
    events: list[ProgressEvent] = []
    out = launch_training(version.folder, RECIPE, tmp_path / "model", on_progress=events.append, threads=1)
    manifest = read_manifest(out, ModelManifest)
    verify_files(out, manifest.files)
    assert set(manifest.files) == {"model.onnx", "weights.safetensors", "curve.jsonl", "curves.png"}
    assert manifest.dataset_version == version.id
    assert [event.metrics["step"] for event in events if event.stage == "training"] == [1, 2, 3, 4, 5, 6]
    assert not training_folder(out).exists()


def test_an_error_of_the_worker_is_raised_here(make_version, tmp_path: Path) -> None:
    version = make_version("multilabel")
    with pytest.raises(InvalidInput, match="train the task multilabel"):
        launch_training(version.folder, RECIPE, tmp_path / "model", threads=1)


def test_a_folder_that_is_trained_in_is_left_alone(make_version, tmp_path: Path) -> None:
    version, folder = make_version("classification"), training_folder(tmp_path / "model")
    with lock_training(folder):
        (folder / "worker.log").write_text("its words")
        with pytest.raises(Conflict, match="another run"):
            launch_training(version.folder, RECIPE, tmp_path / "model", threads=1)
        assert (folder / "worker.log").read_text() == "its words"


def test_an_interrupt_stops_the_worker_and_keeps_its_model(make_version, tmp_path: Path) -> None:
    version = make_version("classification")
    seen: list[float] = []

    def interrupt(event: ProgressEvent) -> None:
        seen.append(event.metrics.get("step", 0))
        if seen[-1] == 3:
            raise KeyboardInterrupt

    recipe = make_recipe("classification", budget="100000it", size=32, batch_size=4, validations=1, log_every=1)
    out = launch_training(version.folder, recipe, tmp_path / "model", on_progress=interrupt, threads=1)
    manifest = read_manifest(out, ModelManifest)
    assert 3 <= manifest.metrics["steps"] < 100_000
    assert manifest.metrics["primary"] == "top1"  # it was validated at the stop


def test_an_interrupt_while_the_worker_starts_is_a_plain_stop(
    make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_version("classification")
    events: list[ProgressEvent] = []
    read_lines, calls = launcher._read_lines, []

    def interrupt_once(messages: IO[bytes]) -> Iterator[bytes]:
        calls.append(messages)
        if len(calls) == 1:
            raise KeyboardInterrupt  # the worker was started a moment ago and still imports
        yield from read_lines(messages)

    monkeypatch.setattr(launcher, "_read_lines", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        launch_training(version.folder, RECIPE, tmp_path / "model", on_progress=events.append, threads=1)
    assert [event.message for event in events] == ["stopping"]  # nothing is promised
    assert not (tmp_path / "model").exists()


def test_a_worker_that_is_killed_becomes_one_line(make_version, tmp_path: Path) -> None:
    version = make_version("classification")

    def kill_worker(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 2:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for child in children:
                if b"sightline.training.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)

    with pytest.raises(Exhausted, match=r"died by signal SIGKILL.*resume it") as raised:
        launch_training(version.folder, RECIPE, tmp_path / "model", on_progress=kill_worker, threads=1)
    assert "\n" not in str(raised.value)
    out = launch_training(version.folder, RECIPE, tmp_path / "model", resume=True, threads=1)
    assert read_manifest(out, ModelManifest).metrics["steps"] == 6
