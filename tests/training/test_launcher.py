import os
import signal
from pathlib import Path

import pytest

from sightline.core.errors import Conflict, Exhausted, InvalidInput, Unsupported
from sightline.core.folders import read_manifest, verify_files
from sightline.core.manifests import ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.training.folder import lock_training
from sightline.training.launcher import launch_training, worker_environment
from sightline.training.recipe import make_recipe
from sightline.training.relaying import Worker
from sightline.training.train import train_model, training_folder
from sightline.training.worker_messages import WorkerMessage

RECIPE = make_recipe("classification", budget="6it", size=32, batch_size=4, validations=1, log_every=1, checkpoint_s=0)

pytestmark = pytest.mark.slow


def list_workers() -> list[int]:
    """Training processes of this one, in the order in which they were started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(one) for one in children if b"sightline.training.worker" in Path(f"/proc/{one}/cmdline").read_bytes()]


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
    hear, calls = Worker.hear, []

    def interrupt_once(worker: Worker) -> WorkerMessage | None:
        calls.append(worker)
        if len(calls) == 1:
            raise KeyboardInterrupt  # before its first message was read
        return hear(worker)

    monkeypatch.setattr(Worker, "hear", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        launch_training(version.folder, RECIPE, tmp_path / "model", on_progress=events.append, threads=1)
    assert [event.message for event in events] == ["stopping"]  # nothing is promised
    assert not (tmp_path / "model").exists()


def test_a_worker_that_is_killed_becomes_one_line(make_version, tmp_path: Path) -> None:
    version = make_version("classification")

    def kill_worker(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 2:
            for worker in list_workers():
                os.kill(worker, signal.SIGKILL)

    with pytest.raises(Exhausted, match=r"died by signal SIGKILL.*resume it") as raised:
        launch_training(version.folder, RECIPE, tmp_path / "model", on_progress=kill_worker, threads=1)
    assert "\n" not in str(raised.value)
    out = launch_training(version.folder, RECIPE, tmp_path / "model", resume=True, threads=1)
    assert read_manifest(out, ModelManifest).metrics["steps"] == 6


def test_several_processes_end_together_whether_one_dies_or_all_shall_stop(make_version, tmp_path: Path) -> None:
    version, out = make_version("classification"), tmp_path / "model"
    recipe = make_recipe("classification", budget="100000it", size=32, batch_size=4, log_every=1, checkpoint_s=0, processes=2)
    seen: list[int] = []

    def kill_the_second(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 2:
            seen.extend(list_workers())
            os.kill(seen[1], signal.SIGKILL)

    with pytest.raises(Exhausted, match=r"process 1 of the 2 .*SIGKILL.*resume it, or see the end of .*worker-1.log") as raised:
        launch_training(version.folder, recipe, out, on_progress=kill_the_second, threads=2)
    assert "\n" not in str(raised.value)
    assert len(seen) == 2 and list_workers() == []
    events: list[ProgressEvent] = []

    def interrupt(event: ProgressEvent) -> None:
        events.append(event)
        if event.metrics.get("step") == 5:
            raise KeyboardInterrupt

    launch_training(version.folder, recipe, out, resume=True, on_progress=interrupt, threads=2)
    assert list_workers() == []
    messages = [event.message for event in events if event.message]
    assert messages[0].startswith("resumed after") and messages[1] == "2 processes share each batch of 4 pictures"
    manifest = read_manifest(out, ModelManifest)
    assert 5 <= manifest.metrics["steps"] < 100_000 and manifest.metrics["primary"] == "top1"
    assert manifest.recipe is not None and manifest.recipe["processes"] == 2


def test_this_process_alone_does_not_train_as_several(make_version, tmp_path: Path) -> None:
    recipe = make_recipe("classification", budget="1it", size=32, batch_size=4, processes=2)
    with pytest.raises(Unsupported, match="launch_training"):
        train_model(make_version("classification"), recipe, tmp_path / "model")
