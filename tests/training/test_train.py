"""Every network of the table: a few steps, export, inference through a Predictor."""

import json
import random
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import cv2
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sightline.core.errors import Exhausted, InvalidInput, NotFound, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.progress import ProgressEvent, ignore_progress
from sightline.data.versions import VersionWriter, open_version
from sightline.models.table import NETWORKS, build_network
from sightline.runtime.predictor import open_predictor
from sightline.training import train
from sightline.training.arithmetic import EXACT
from sightline.training.curve import read_curve
from sightline.training.loop import TrainingLoop
from sightline.training.recipe import make_recipe, read_recipe
from sightline.training.staging import compute_recipe_id
from sightline.training.train import never, prepare_loop, train_model, training_folder

pytestmark = pytest.mark.slow

PAIRS = [(task, name) for name, row in NETWORKS.items() for task in row.tasks]


@pytest.mark.parametrize(("task", "name"), [*PAIRS, ("classification", "timm/resnet10t")])
def test_a_network_trains_exports_and_predicts(task: str, name: str, make_version, tmp_path: Path) -> None:
    version = make_version(task, {"train": 4, "val": 2}, width=80, height=64)
    recipe = make_recipe(task, name, budget="2it", width=64, height=64, batch_size=2, validations=1, precision="fp32")
    out = train_model(version, recipe, tmp_path / "model")
    manifest = read_manifest(out, ModelManifest)
    assert manifest.export_check["pictures"] == 4
    assert manifest.export_check["max_relative_error"] <= 1e-3
    assert manifest.parameter_count > 1000
    assert manifest.recipe["budget"] == "2it"
    with open_predictor(out, engine="reference", threads=1) as predictor:
        answers = predictor.predict([version.read_image(item) for item in version.items("val")], confidence_threshold=0.0)
    assert len(answers) == 2
    names = set(version.categories)
    assert all(annotation.category in names for answer in answers for annotation in answer)


@pytest.mark.usefixtures("graphs_once")
def test_shapes_are_learned_and_the_curve_is_drawn(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 24, "val": 9})
    recipe = make_recipe("classification", budget="60it", size=32, batch_size=12, validations=3, learning_rate=3e-3)
    out = train_model(version, recipe, tmp_path / "model")
    manifest = read_manifest(out, ModelManifest)
    assert manifest.metrics["top1"] >= 0.8  # colours of shapes
    points = read_curve(out / "curve.jsonl")
    assert [point.step for point in points if point.metric is not None] == [20, 40, 60]
    assert points[-1].progress == 1
    assert cv2.imread(str(out / "curves.png")).shape[0] > 400


@pytest.mark.usefixtures("graphs_once")
def test_lars_leads_biases_and_norms_downhill_from_the_first_step(make_version, tmp_path: Path) -> None:
    version = make_version("semantic", {"train": 16}, width=64, height=64)
    settings = {"optimiser": "lars", "batch_size": 16, "warm_up": 0.0, "log_every": 1, "precision": "fp32"}
    recipe = make_recipe("semantic", size=64, budget="6it", validation_split=None, **settings)
    loop = prepare_loop(version, recipe, tmp_path, ignore_progress, is_resumed=False)
    loop.run(ignore_progress, never)
    losses = [point.loss for point in read_curve(tmp_path / "curve.jsonl")]
    assert max(losses) == losses[0]


def test_early_stopping_counts_validations_without_improvement(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 6, "val": 3})
    recipe = make_recipe("classification", budget="20it", size=32, batch_size=2, validations=20, learning_rate=0.0, patience=3)
    out = train_model(version, recipe, tmp_path / "model")
    assert read_manifest(out, ModelManifest).metrics["steps"] == 4  # the first is the best, three more bring nothing


@pytest.mark.usefixtures("graphs_once")
def test_without_a_validation_split_the_last_weights_are_kept_and_it_is_said(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 4})
    messages: list[str] = []
    recipe = make_recipe("classification", budget="2it", size=32, batch_size=2)
    out = train_model(version, recipe, tmp_path / "model", on_progress=lambda event: messages.append(event.message))
    assert "no split 'val'" in "".join(messages)
    assert "primary" not in read_manifest(out, ModelManifest).metrics
    assert json.loads((out / "curve.jsonl").read_text().splitlines()[-1])["step"] == 2


@pytest.mark.usefixtures("graphs_once")
def test_without_a_label_to_validate_on_the_last_weights_are_kept_and_it_is_said(make_version, tmp_path: Path) -> None:
    version = make_version("detection", {"train": 4, "val": 3}, width=64, height=64, unlabelled=("val",))
    events: list[ProgressEvent] = []
    recipe = make_recipe("detection", budget="2it", size=64, batch_size=2, validations=2)
    out = train_model(version, recipe, tmp_path / "model", on_progress=events.append)
    assert "the split 'val' has no labels by people to validate detection on" in "".join(event.message for event in events)
    assert "validating" not in {event.stage for event in events}
    assert "primary" not in read_manifest(out, ModelManifest).metrics


@pytest.mark.usefixtures("graphs_once")
def test_pictures_that_nobody_looked_at_are_not_learned_and_it_is_said(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 6, "val": 3})
    for seen, count in (("some", 2), ("none", 9)):
        with VersionWriter(tmp_path / seen, "seen", version.categories, version.blobs) as writer:
            for number, item in enumerate(version.items()):
                viewer = ("nobody", "model")[number % 2]
                writer.add(msgspec.structs.replace(item, seen_by=viewer, annotations=()) if number < count else item)
            writer.close()
    messages: list[str] = []
    recipe = make_recipe("classification", budget="2it", size=32, batch_size=2)
    train_model(
        open_version(tmp_path / "some"), recipe, tmp_path / "model", on_progress=lambda event: messages.append(event.message)
    )
    assert "2 pictures without annotations are left out: no person looked at them to label them" in messages
    with pytest.raises(InvalidInput, match="expected labelled pictures to learn from in train, got 6 that nobody labelled"):
        train_model(open_version(tmp_path / "none"), recipe, tmp_path / "model-none")


@pytest.mark.usefixtures("graphs_once")
def test_a_category_that_no_validation_picture_shows_is_named(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 6, "val": 2})  # red and green, none blue
    messages: list[str] = []
    recipe = make_recipe("classification", budget="1it", size=32, batch_size=2)
    train_model(version, recipe, tmp_path / "model", on_progress=lambda event: messages.append(event.message))
    assert "no label in the split 'val' is of blue: the score says nothing of that" in messages
    messages.clear()
    whole = make_version("classification", {"train": 6, "val": 3}, name="whole")
    train_model(whole, recipe, tmp_path / "whole-model", on_progress=lambda event: messages.append(event.message))
    assert "says nothing" not in "".join(messages)


@pytest.mark.usefixtures("graphs_once")
def test_start_weights_come_from_a_file(make_version, tmp_path: Path) -> None:
    torch.manual_seed(77)
    source = build_network("classification", "fast", 3, 32, 32)
    torch.save(source.state_dict(), tmp_path / "start.pth")
    messages: list[str] = []
    version = make_version("classification", {"train": 4})
    recipe = make_recipe(
        "classification", budget="1it", size=32, batch_size=2, learning_rate=0.0, weights=str(tmp_path / "start.pth")
    )
    out = train_model(version, recipe, tmp_path / "model", on_progress=lambda event: messages.append(event.message))
    assert "of the file unused" in "".join(messages)
    kept = load_file(out / "weights.safetensors")
    assert torch.equal(kept["head.weight"], source.head.weight)


def test_published_weights_out_of_reach_are_said_once_and_no_error(
    make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    messages: list[str] = []
    version = make_version("classification", {"train": 4})
    recipe = make_recipe("classification", "resnet18", budget="1it", size=32, batch_size=2, pretrained=True)
    train_model(version, recipe, tmp_path / "model", on_progress=lambda event: messages.append(event.message))
    assert sum("not reachable" in message for message in messages) == 1


def test_a_loss_that_is_not_finite_ends_the_training_with_advice(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 4})
    recipe = make_recipe(
        "classification", budget="50it", size=32, batch_size=4, optimiser="sgd", learning_rate=1e30, warm_up=0, clip_norm=0
    )
    with np.errstate(all="ignore"), pytest.raises(InvalidInput, match="lower learning_rate"):
        train_model(version, recipe, tmp_path / "model")


def test_a_validation_split_that_is_not_there_is_refused_when_asked_for(make_version, tmp_path: Path) -> None:
    version = make_version("classification", splits={"train": 4})
    recipe = make_recipe("classification", budget="1it", validation_split="vall")
    with pytest.raises(NotFound, match="no split 'vall' to validate on; there is train, or none"):
        train_model(version, recipe, tmp_path / "model")
    assert not training_folder(tmp_path / "model").exists()


@pytest.mark.usefixtures("graphs_once")
def test_pictures_learned_under_the_name_trainval_cannot_choose_the_best_weights(make_version, tmp_path: Path) -> None:
    version = make_version("classification", splits={"train": 4, "val": 3})
    recipe = make_recipe("classification", budget="1it", size=32, batch_size=2, train_splits=("trainval",))
    with pytest.raises(InvalidInput, match="'val' is among train_splits, which are train, val"):
        train_model(version, recipe, tmp_path / "model")
    assert not training_folder(tmp_path / "model").exists()
    train_model(version, msgspec.structs.replace(recipe, validation_split=None), tmp_path / "model")


@pytest.mark.parametrize(
    ("task", "name", "size"), [("semantic", "deeplabv3_mobilenet_v3_large", 64), ("detection", "fast", 32)]
)
def test_a_norm_that_would_see_one_value_refuses_single_pictures(
    task: str, name: str, size: int, make_version, tmp_path: Path
) -> None:
    version = make_version(task, splits={"train": 4})
    recipe = make_recipe(task, name, budget="1it", size=size, batch_size=1)
    with pytest.raises(InvalidInput, match=r"at least 2 pictures at once at .* got batch_size 1; raise it"):
        train_model(version, recipe, tmp_path / "model")
    shared = msgspec.structs.replace(recipe, batch_size=3, processes=3)
    with pytest.raises(InvalidInput, match=r"at least 2 pictures at once at .* got batch_size 3 for 3 processes; raise it"):
        prepare_loop(version, shared, tmp_path, ignore_progress, False)
    network = build_network(task, name, 3, size, size)
    with pytest.raises(ValueError, match="more than 1 value per channel"):  # what it spares the user
        network.train()(torch.zeros(1, 3, size, size))
    network(torch.zeros(2, 3, size, size))


@pytest.mark.parametrize(("batch_size", "micro_batch"), [(4, 1), (5, 2)])
def test_a_norm_that_would_see_one_value_refuses_parts_of_single_pictures(
    batch_size: int, micro_batch: int, make_version, tmp_path: Path
) -> None:
    version = make_version("detection", splits={"train": 4})
    recipe = make_recipe("detection", budget="1it", size=32, batch_size=batch_size, micro_batch=micro_batch)
    with pytest.raises(
        InvalidInput, match=f"at once at 32 x 32, got batch_size {batch_size} by micro_batch {micro_batch}; raise"
    ):
        train_model(version, recipe, tmp_path / "model")


GPU_IS_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
MEMORY_IS_FULL = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)


@pytest.mark.parametrize(
    ("failure", "changes", "said"),
    [
        (GPU_IS_FULL, {}, "the GPU does not hold 4 pictures at once; set a lower micro_batch,"),
        (GPU_IS_FULL, {"micro_batch": 3}, "the GPU does not hold 3 pictures at once; set a lower micro_batch,"),
        (GPU_IS_FULL, {"micro_batch": 9}, "the GPU does not hold 4 pictures at once; set a lower micro_batch,"),
        (
            MEMORY_IS_FULL,
            {},
            "memory does not hold 4 pictures at once; set a lower micro_batch, .*, or activation_bytes, which",
        ),
        (MEMORY_IS_FULL, {"activation_bytes": 9}, "memory does not hold 4 pictures at once; .*, or a lower activation_bytes"),
    ],
)
def test_memory_that_is_full_is_said_with_advice(
    failure: RuntimeError,
    changes: dict[str, int],
    said: str,
    make_version,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_out(*_: object) -> None:
        raise failure

    monkeypatch.setattr(TrainingLoop, "run", run_out)
    version = make_version("classification")
    recipe = make_recipe("classification", budget="1it", size=32, batch_size=4, **changes)
    with pytest.raises(Exhausted, match=said):
        train_model(version, recipe, tmp_path / "model")


def test_a_checkpoint_may_go_on_on_another_device_and_in_less_memory(make_version) -> None:
    version = make_version("classification")
    changes = ({}, {"device": "cpu"}, {"activation_bytes": 1 << 20}, {"seed": 1})
    here, there, less, other = (compute_recipe_id(version.id, make_recipe("classification", **change)) for change in changes)
    assert here == there == less != other


def test_a_process_that_follows_has_its_file_of_activations_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def note(version: object, recipe: object, folder: Path, *rest: object) -> SimpleNamespace:
        folders.append(folder)
        return SimpleNamespace(meet=lambda: None, run=lambda on_progress, stop: None)

    monkeypatch.setattr(train, "prepare_loop", note)
    train.follow_training(None, make_recipe("classification"), tmp_path / "model", None)
    assert folders == [tmp_path / "model.training"]


@pytest.mark.parametrize("changes", [{"processes": 2}, {"activation_bytes": 1}])
def test_what_only_a_cpu_can_do_is_refused_on_a_gpu(
    changes: dict[str, int], make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = EXACT._replace(device=torch.device("cuda"))
    monkeypatch.setattr(train, "choose_arithmetic", lambda precision, device: gpu)
    recipe = make_recipe("classification", batch_size=4, **changes)
    with pytest.raises(Unsupported, match=f"{next(iter(changes))} is for trainings on a CPU"):
        prepare_loop(make_version("classification"), recipe, tmp_path, ignore_progress, False)


# The recipe of a detector and its id as they were before augmentation had `settle` and `least_visible`, and recipes a `device`.
OLD_RECIPE = {
    "task": "detection",
    "network": "fast",
    "budget": "8h",
    "size": 320,
    "width": None,
    "height": None,
    "batch_size": 8,
    "optimiser": "muon",
    "learning_rate": 0.008,
    "momentum": 0.9,
    "weight_decay": 0.02,
    "schedule": "cosine",
    "warm_up": 0.05,
    "final_rate": 0.01,
    "clip_norm": 10.0,
    "average_decay": 0.998,
    "augmentation": {
        "scale": [0.7, 1.35],
        "stretch": 1.0,
        "shift": 0.12,
        "rotation_deg": 0.0,
        "shear_deg": 0.0,
        "flip_x": 0.5,
        "flip_y": 0.0,
        "quarter_turns": False,
        "brightness": 0.05,
        "contrast": 0.15,
        "colour": 0.2,
        "mosaic": 0.4,
        "mosaic_scale": [0.6, 1.2],
        "mixup": 0.0,
        "cutmix": 0.0,
        "erase": 0.0,
        "close": 0.25,
    },
    "label_smoothing": 0.0,
    "class_weights": "none",
    "train_splits": ["train"],
    "validation_split": "val",
    "validations": 10,
    "patience": None,
    "precision": "auto",
    "weights": None,
    "pretrained": False,
    "checkpoint_s": 30.0,
    "log_every": 10,
    "prefetch_threads": 1,
    "cache_bytes": 1073741824,
    "seed": 0,
}
OLD_ID = "b0a5f3261b0ada61e62fe283bff41b246a1b83a7b0be801cb663c56cf56e5647"


def test_a_checkpoint_from_before_a_setting_was_there_can_be_resumed() -> None:
    version = SimpleNamespace(id="0" * 64)
    recipe = read_recipe(OLD_RECIPE)
    assert compute_recipe_id(version.id, recipe) == OLD_ID
    for changes in (
        {"augmentation": {**OLD_RECIPE["augmentation"], "settle": 0.1}},
        {"augmentation": {**OLD_RECIPE["augmentation"], "least_visible": 0.5}},
        {"micro_batch": 4},
        {"processes": 2},
        {"reference_batch": 4},
    ):
        changed = read_recipe({**OLD_RECIPE, **changes})
        assert compute_recipe_id(version.id, changed) != OLD_ID


def test_a_training_leaves_the_random_numbers_of_its_caller_alone(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 4})
    recipe = make_recipe("classification", budget="1it", size=32, batch_size=2)
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    expected = torch.rand(4).tolist(), np.random.rand(4).tolist(), random.random()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    train_model(version, recipe, tmp_path / "model")
    assert (torch.rand(4).tolist(), np.random.rand(4).tolist(), random.random()) == expected
