"""A training that is killed and resumed ends with the bits of one that never stopped."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sightline.core.errors import Conflict, CorruptFile, Exhausted, InvalidInput, NotFound, UnreadableImage
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace
from sightline.training.curve import read_curve
from sightline.training.launcher import launch_training, worker_environment
from sightline.training.loop import DivergedLoss
from sightline.training.recipe import Recipe, make_recipe
from sightline.training.train import train_model, training_folder
from sightline.training.worker_messages import Job, WorkerMessage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("graphs_once")]

RECIPE = make_recipe(
    "classification",
    budget="12it",
    size=32,
    batch_size=4,
    validations=3,
    log_every=1,
    checkpoint_s=0,
    augmentation={"mixup": 0.3, "cutmix": 0.3, "erase": 0.3},
)
TRAINERS = (train_model, lambda version, *rest, **named: launch_training(version.folder, *rest, **named))


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """What a test says of threads does not slow the ones after it down."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def assert_same_weights(folder: Path, other: Path) -> None:
    mine, theirs = (load_file(path / "weights.safetensors") for path in (folder, other))
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def train_until_killed(
    version_folder: Path, recipe: Recipe, out: Path, kill_at: int, before: Callable[[], None] = lambda: None
) -> None:
    """Start a real worker process and send it SIGKILL as soon as it reports step `kill_at`, after a call of `before`."""
    job = out.parent / "job.json"
    job.write_bytes(msgspec.json.encode(Job(version=str(version_folder), recipe=recipe, out=str(out), resume=out.exists())))
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "sightline.training.worker", str(job), str(write_end)]
    worker = subprocess.Popen(command, env=os.environ | worker_environment(1), pass_fds=(write_end,))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as messages:
        for line in messages:
            event = msgspec.json.decode(line, type=WorkerMessage).event
            if event is not None and event.metrics.get("step", 0) >= kill_at:
                worker.send_signal(signal.SIGSTOP)
                try:
                    before()
                finally:
                    worker.send_signal(signal.SIGKILL)
                break
    assert worker.wait() == -signal.SIGKILL


@pytest.mark.parametrize("processes", [0, 3])
def test_a_killed_training_ends_with_the_same_bits(processes: int, make_version, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = msgspec.structs.replace(RECIPE, prefetch_processes=processes)
    version = make_version("classification", {"train": 10, "val": 4})
    whole = train_model(version, RECIPE, tmp_path / "whole")
    killed = tmp_path / "killed"
    kill_at = int(np.random.default_rng().integers(2, 11))  # an arbitrary step, another one in each run of this test
    train_until_killed(version.folder, recipe, killed, kill_at)
    assert not killed.exists()
    train_model(version, recipe, killed, resume=True)  # the folder is free at once, whatever the worker had forked
    assert_same_weights(whole, killed)
    steps = [[point.step for point in read_curve(folder / "curve.jsonl")] for folder in (whole, killed)]
    assert steps[0] == steps[1] == list(range(1, 13))
    losses = [[point.loss for point in read_curve(folder / "curve.jsonl")] for folder in (whole, killed)]
    assert losses[0] == losses[1], f"killed at step {kill_at}"


def test_a_worker_that_still_runs_keeps_a_second_one_out(make_version, tmp_path: Path) -> None:
    """As after a SIGKILL of the launcher: its worker runs on until its next event."""
    torch.set_num_threads(1)
    version, out = make_version("classification", {"train": 10, "val": 4}), tmp_path / "model"

    def start_a_second() -> None:
        for resume in (True, False):
            with pytest.raises(Conflict, match="another run trains in"):
                train_model(version, RECIPE, out, resume=resume)

    train_until_killed(version.folder, RECIPE, out, 3, start_a_second)
    train_model(version, RECIPE, out, resume=True)
    assert [point.step for point in read_curve(out / "curve.jsonl")] == list(range(1, 13))


def test_what_prepares_samples_and_where_activations_are_kept_does_not_change_the_result(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 6})
    recipe = msgspec.structs.replace(RECIPE, budget="3it", checkpoint_s=100)
    one = train_model(version, recipe, tmp_path / "one")
    for changes in (
        {"prefetch_threads": 3, "cache_bytes": 0},
        {"prefetch_processes": 2},
        {"prefetch_processes": 1, "cache_bytes": 0},
        {"activation_bytes": 1},
    ):
        other, messages = msgspec.structs.replace(recipe, **changes), []
        folder = train_model(
            version, other, tmp_path / "-".join(changes), on_progress=lambda event, told=messages: told.append(event.message)
        )
        assert_same_weights(one, folder)
    assert re.search(r"in memory at once, and [1-9]\d*\.\d MB by way of a file", " ".join(filter(None, messages)))


@pytest.mark.parametrize(
    ("task", "network"),
    [*((task, "fast") for task in ("classification", "multilabel", "detection", "semantic")), ("semantic", "gated_scnn")],
)
def test_a_stopped_training_keeps_its_model_and_can_go_on(task: str, network: str, make_version, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    version = make_version(task, {"train": 6, "val": 3}, width=96, height=64)
    recipe = make_recipe(task, network, budget="6it", width=96, height=64, batch_size=4, validations=3, log_every=1)
    whole = train_model(version, recipe, tmp_path / "whole")
    seen: list[float] = []

    def listen(event: ProgressEvent) -> None:
        seen.append(event.metrics.get("step", 0))

    out = train_model(version, recipe, tmp_path / "part", on_progress=listen, stop=lambda: 3 in seen)
    assert max(seen) in (3, 4)  # the event of step 3 is reported after the question of step 3
    assert (out / "model.onnx").is_file()
    assert training_folder(out).is_dir()
    train_model(version, recipe, out, resume=True)
    assert not training_folder(out).exists()
    assert_same_weights(whole, out)
    curves = [[(point.step, point.loss) for point in read_curve(folder / "curve.jsonl")] for folder in (whole, out)]
    assert curves[0] == curves[1]  # also after the best weights, which are the model's


def test_a_checkpoint_of_another_recipe_is_refused(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 6})
    out = train_model(version, RECIPE, tmp_path / "part", stop=lambda: True)
    with pytest.raises(InvalidInput, match="another recipe"):
        train_model(version, msgspec.structs.replace(RECIPE, seed=9), out, resume=True)
    with pytest.raises(Conflict, match="exists already"):
        train_model(version, RECIPE, out)
    checkpoint = training_folder(out) / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    with pytest.raises(CorruptFile, match="train from the start"):
        train_model(version, RECIPE, out, resume=True)


def break_off(event: ProgressEvent) -> None:
    """A listener that ends the training as a crash does."""
    if event.metrics.get("step") == 3:
        raise ZeroDivisionError


def test_the_work_of_a_run_that_broke_off_is_not_replaced_unasked(make_version, tmp_path: Path) -> None:
    version, out = make_version("classification", {"train": 6, "val": 3}), tmp_path / "model"
    with pytest.raises(ZeroDivisionError):
        train_model(version, RECIPE, out, on_progress=break_off)
    checkpoint = training_folder(out) / "checkpoint.safetensors"
    kept = checkpoint.read_bytes()
    for recipe in (RECIPE, msgspec.structs.replace(RECIPE, seed=9)):
        with pytest.raises(Conflict, match="go on with `resume`, or remove that folder"):
            train_model(version, recipe, out)
    assert checkpoint.read_bytes() == kept
    messages: list[str] = []
    train_model(version, RECIPE, out, resume=True, on_progress=lambda event: messages.append(event.message))
    assert "resumed after 2 steps" in messages


def diverge(event: ProgressEvent) -> None:
    """A listener that ends the training as a loss that is no number does."""
    if event.metrics.get("step") == 3:
        raise DivergedLoss("the loss is not finite; train anew with a lower learning_rate")


def test_a_run_whose_loss_is_no_number_any_more_may_be_trained_anew(make_version, tmp_path: Path) -> None:
    version, out = make_version("classification", {"train": 6, "val": 3}), tmp_path / "model"
    with pytest.raises(InvalidInput, match="train anew"):
        train_model(version, RECIPE, out, on_progress=diverge)
    assert (training_folder(out) / "checkpoint.safetensors").is_file()
    train_model(version, msgspec.structs.replace(RECIPE, learning_rate=1e-4), out)
    assert not training_folder(out).exists()


@pytest.mark.parametrize("failure", [UnreadableImage("a damaged picture"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_run_that_failed_can_go_on_and_is_not_replaced_unasked(failure: Exception, make_version, tmp_path: Path) -> None:
    version, out = make_version("classification", {"train": 6, "val": 3}), tmp_path / "model"

    def fail(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 3:
            raise failure

    with pytest.raises((UnreadableImage, Exhausted)):
        train_model(version, RECIPE, out, on_progress=fail)
    with pytest.raises(Conflict, match="go on with `resume`"):
        train_model(version, RECIPE, out)
    train_model(version, RECIPE, out, resume=True)


def test_a_run_that_was_stopped_may_be_trained_anew_but_not_replaced_by_one_that_fails(make_version, tmp_path: Path) -> None:
    version, out = make_version("classification", {"train": 6, "val": 3}), tmp_path / "model"
    train_model(version, RECIPE, out, stop=lambda: True).rename(tmp_path / "shelved")
    checkpoint = training_folder(out) / "checkpoint.safetensors"
    kept = checkpoint.read_bytes()
    with pytest.raises(NotFound):
        train_model(version, msgspec.structs.replace(RECIPE, weights=str(tmp_path / "absent.safetensors")), out)
    with pytest.raises(InvalidInput, match="another recipe"):
        train_model(version, msgspec.structs.replace(RECIPE, seed=9), out, resume=True)
    assert checkpoint.read_bytes() == kept
    train_model(version, msgspec.structs.replace(RECIPE, seed=9), out)
    assert not training_folder(out).exists()


def test_a_training_into_a_workspace_goes_on_under_its_name_in_either_process(make_version, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    version, home = make_version("classification", {"train": 6, "val": 3}), Workspace(tmp_path / "home")

    def fail(event: ProgressEvent) -> None:
        if event.metrics.get("step") == 3:
            raise UnreadableImage("a damaged picture")

    with pytest.raises(UnreadableImage):
        train_model(version, RECIPE, home, on_progress=fail, name="net")
    assert home.names("models") == []
    with pytest.raises(Conflict, match="go on with `resume`"):
        train_model(version, RECIPE, home, name="net")
    made = launch_training(version.folder, RECIPE, home, resume=True, threads=1, name="net")
    assert home.find("models", "net") == made
    assert sorted(path.name for path in made.parent.iterdir()) == sorted([made.name, "latest"])
    assert read_manifest(made, ModelManifest).name == "net"
    assert [point.step for point in read_curve(made / "curve.jsonl")] == list(range(1, 13))
    again = train_model(version, RECIPE, home, name="net")
    assert home.find("models", "net") == again and home.list("models", "net") == [made, again]
    assert_same_weights(made, again)


@pytest.mark.parametrize("train", TRAINERS)
def test_a_model_that_a_killed_run_finished_is_kept_and_is_what_resume_gives(
    train: Callable[..., Path], make_version, tmp_path: Path
) -> None:
    version, home = make_version("classification", {"train": 4}), Workspace(tmp_path / "home")
    recipe = make_recipe("classification", budget="1it", size=32)
    staged = home.root / "models" / "net" / ".making" / "net"
    finished = train_model(version, recipe, staged)
    weights = (finished / "weights.safetensors").read_bytes()
    resumed = train(version, recipe, home, resume=True, name="net")
    assert (resumed / "weights.safetensors").read_bytes() == weights and home.find("models", "net") == resumed
    assert sorted(path.name for path in resumed.parent.iterdir()) == sorted([resumed.name, "latest"])
    for changes in ({"resume": False}, {"resume": True, "recipe": msgspec.structs.replace(recipe, seed=9)}):
        staged.parent.mkdir()
        resumed.rename(staged)
        trained = train(version, **{"recipe": recipe, **changes}, out=home, name="net")
        assert trained != resumed and home.list("models", "net")[0] == resumed


@pytest.mark.parametrize("train", TRAINERS)
@pytest.mark.parametrize("out", [".", "/"])
def test_a_folder_without_a_name_exists_already(out: str, train: Callable[..., Path], make_version) -> None:
    with pytest.raises(Conflict, match="exists already"):
        train(make_version("classification", {"train": 4}), RECIPE, out)


@pytest.mark.parametrize("train", TRAINERS)
def test_a_folder_gives_its_model_a_name_unless_one_is_said(train: Callable[..., Path], make_version, tmp_path: Path) -> None:
    version, recipe = make_version("classification", {"train": 4}), make_recipe("classification", budget="1it", size=32)
    for out, name, expected in (("first", None, "first"), ("second", "said", "said")):
        made = train(version, recipe, str(tmp_path / out), name=name)
        assert made == tmp_path / out and read_manifest(made, ModelManifest).name == expected
    with pytest.raises(InvalidInput, match="expected a name"):
        train(version, recipe, tmp_path / "third", name="no name")
    with pytest.raises(InvalidInput, match="expected a name"):
        train(version, recipe, Workspace(tmp_path))
