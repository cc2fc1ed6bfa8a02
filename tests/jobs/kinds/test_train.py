import os
import signal
from pathlib import Path

import pytest
from following import Follower

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.workspace import Workspace
from sightline.data.editing import Put
from sightline.data.samples import generate_samples
from sightline.data.versions import open_version
from sightline.jobs.kinds.train import TrainArguments, find_needs, prepare
from sightline.training.folder import CHECKPOINT_NAME, training_folder
from sightline.training.launcher import launch_training
from sightline.training.recipe import make_recipe

SMALL = {"size": 32, "batch_size": 4, "log_every": 1, "checkpoint_s": 0.0, "validations": 2}


@pytest.fixture
def parts(workspace: Workspace) -> Workspace:
    generate_samples(workspace, 24, task="classification", name="parts")
    return workspace


def ask(**fields: object) -> TrainArguments:
    return TrainArguments(**{"dataset": "parts", "task": "classification", **fields})  # type: ignore[arg-type]


def test_names_stand_for_what_they_are_now(parts: Workspace) -> None:
    version = open_version(parts.find("datasets", "parts"))
    prepared = prepare(ask(), parts)
    assert (prepared.dataset, prepared.name) == (f"parts@{version.id[:16]}", "parts-fast")
    assert prepare(ask(dataset=prepared.dataset, model="timm/resnet10t", name="mine"), parts).name == "mine"


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"dataset": "cells"}, NotFound, "no dataset 'cells'"),
        ({"dataset": "../elsewhere"}, InvalidInput, "expected the dataset as NAME or NAME@ID"),
        ({"budget": "soon"}, InvalidInput, "expected a budget such as"),
        ({"task": "detection", "model": "resnet18"}, InvalidInput, "does not learn detection"),
        ({"model": "best"}, NotFound, "no network 'best'"),
        ({"name": "a/b"}, InvalidInput, "expected a name"),
        ({"set": {"batch_size": 0}}, InvalidInput, "batch_size"),
        ({"set": {"network": "fast"}}, InvalidInput, "network as `model`, got it in `set`"),
    ],
)
def test_what_could_not_be_trained_is_refused_when_it_is_asked_for(
    parts: Workspace, fields: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        prepare(ask(**fields), parts)


def test_a_training_gets_a_gpu_unless_it_wants_none(parts: Workspace) -> None:
    assert find_needs(ask(), parts).wants_gpu
    assert not find_needs(ask(set={"device": "cpu"}), parts).wants_gpu


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_training_that_is_killed_ends_with_the_same_bits(
    processes: int, parts: Workspace, follower: Follower, tmp_path: Path
) -> None:
    settings = {**SMALL, "processes": processes}
    job = follower.ask("train", dataset="parts", task="classification", budget="12it", seed=3, set=settings)
    making = follower.runner.folder(job.id).making / "parts-fast"
    follower.wait(job, lambda now: now.metrics.get("step", 0) >= 3 and (training_folder(making) / CHECKPOINT_NAME).is_file())
    os.kill(follower.find_process(job), signal.SIGKILL)
    done = follower.wait_for(job, "succeeded")
    assert done.restarts == 1 and done.made is not None
    killed = read_manifest(parts.find("models", "parts-fast"), ModelManifest)
    version = parts.find("datasets", "parts")
    recipe = make_recipe("classification", budget="12it", seed=3, **settings)
    whole = read_manifest(launch_training(version, recipe, tmp_path / "whole", threads=2), ModelManifest)
    assert killed.files["weights.safetensors"] == whole.files["weights.safetensors"]
    assert killed.files["model.onnx"] == whole.files["model.onnx"]
    events = follower.runner.folder(job.id).read_events()
    steps = [event.metrics["step"] for event in events if event.stage == "training" and "step" in event.metrics]
    assert steps == sorted(steps) and steps[-1] == 12
    assert any("resumed after" in event.message for event in events)


@pytest.mark.slow
def test_a_stopped_training_keeps_its_best_and_what_was_labelled_is_frozen_first(parts: Workspace, follower: Follower) -> None:
    dataset = follower.runner.datasets.open("parts")
    before, item = dataset.version.id, dataset.read_item(0)
    dataset.append_edit(0, "edit-of-a-person", 0, [Put(id="0", annotation=item.labels[0].annotation)], "ada")
    job = follower.ask("train", dataset="parts", task="classification", budget="100000it", set=SMALL)
    assert dataset.version.id != before
    assert job.arguments["dataset"] == f"parts@{dataset.version.id[:16]}"
    follower.wait(job, lambda now: now.metrics.get("step", 0) >= 2)
    follower.runner.stop(job.id)
    done = follower.wait_for(job, "succeeded")
    assert done.made is not None and done.made["name"] == "parts-fast"
    manifest = read_manifest(parts.find("models", "parts-fast"), ModelManifest)
    assert manifest.dataset_version == dataset.version.id and 2 <= manifest.metrics["steps"] < 100_000
