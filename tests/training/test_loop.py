"""The loop alone: which validation chooses the weights, and when there is one."""

from pathlib import Path

import pytest
import torch

from sightline.core.progress import ProgressEvent, ignore_progress
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import TaskMetrics
from sightline.models.network import Network
from sightline.models.small_classifier import SmallClassifier
from sightline.training import loop as loop_module
from sightline.training.arithmetic import EXACT
from sightline.training.curve import Curve, read_curve
from sightline.training.loop import TrainingLoop
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.table import build_task
from sightline.training.tasks.task import TaskContext
from sightline.training.train import never


class Scores:
    """A validation that gives these metrics in turn and keeps what it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.seen = list(scores), []

    def __call__(self, network: Network) -> TaskMetrics:
        self.seen.append(network.state_dict()["head.weight"].clone())
        return TaskMetrics(primary_name="top1", values={"top1": self.scores.pop(0)}, per_category={})


def make_loop(version: DatasetVersion, folder: Path, validate: Scores | None, **changes: object) -> TrainingLoop:
    recipe = make_recipe("classification", **{"size": 32, "batch_size": 2, "log_every": 1, **changes})
    pictures = Pictures(version, ("train",), width=32, height=32, cache_bytes=1 << 20)
    torch.manual_seed(0)
    network = SmallClassifier("classification", 3, 32, 32, channels=8, depths=(1, 1, 1, 1))
    task = build_task(TaskContext(recipe, version.categories, pictures, network.input_spec))
    return TrainingLoop(network, task, items=len(pictures), recipe=recipe, folder=folder, arithmetic=EXACT, validate=validate)


def test_of_equal_validations_the_last_gives_the_weights(make_version, tmp_path: Path) -> None:
    validate = Scores(0.5, 0.5, 0.4)
    loop = make_loop(make_version("classification"), tmp_path, validate, budget="3it", validations=3)
    loop.run(ignore_progress, never)
    first, second, _ = validate.seen
    assert not torch.equal(first, second)
    assert torch.equal(loop.keep_best().state_dict()["head.weight"], second)
    assert (loop.state.best_metric, loop.state.best_step) == (0.5, 2)


def test_an_equal_validation_is_no_progress_to_be_patient_for(make_version, tmp_path: Path) -> None:
    validate = Scores(*[1.0] * 20)
    loop = make_loop(make_version("classification"), tmp_path, validate, budget="20it", validations=20, patience=3)
    loop.run(ignore_progress, never)
    assert (loop.state.spent.steps, loop.state.best_step) == (4, 4)


def test_the_curve_shows_the_rate_that_linear_scaling_gives(make_version, tmp_path: Path) -> None:
    settings = {"learning_rate": 0.01, "reference_batch": 1, "schedule": "constant", "warm_up": 0.0}
    loop = make_loop(make_version("classification"), tmp_path, None, budget="1it", **settings)
    loop.run(ignore_progress, never)
    assert [point.learning_rate for point in read_curve(tmp_path / "curve.jsonl")] == [0.02]
    assert {group["lr"] for group in loop.optimiser.param_groups if group.get("orthogonal")} == {0.02}


def test_lars_and_batches_in_parts_go_on_with_the_same_bits(make_version, tmp_path: Path) -> None:
    version = make_version("classification")
    settings = {"budget": "6it", "optimiser": "lars", "batch_size": 7, "micro_batch": 3, "augmentation": {"mixup": 1.0}}
    whole, first, second = (make_loop(version, tmp_path / folder, None, **settings) for folder in ("whole", "parts", "parts"))
    whole.run(ignore_progress, never)
    first.run(ignore_progress, lambda: True)
    assert first.state.spent.steps == 1
    second.resume()
    second.run(ignore_progress, never)
    kept, resumed = (loop.optimiser.state_dict()["state"] for loop in (whole, second))
    assert len(kept) == len(list(whole.network.parameters()))
    for index, state in kept.items():
        assert torch.equal(state["momentum"], resumed[index]["momentum"])
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


class Clock:
    """Stands in for `time`: moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.perf_counter = self.process_time = self.monotonic = lambda: self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("log_every", "metrics"), [(10, {2: 0.5, 3: 0.6}), (1, {2: 0.5})])
def test_a_budget_that_runs_out_while_a_checkpoint_is_written_ends_with_a_validation(
    log_every: int, metrics: dict[int, float], make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, validate = Clock(), Scores(0.5, 0.6)
    monkeypatch.setattr(loop_module, "time", clock)
    settings = {"budget": "4s", "validations": 2, "checkpoint_s": 2.5, "log_every": log_every}
    loop = make_loop(make_version("classification"), tmp_path, validate, **settings)
    monkeypatch.setattr(loop, "_write_checkpoint", lambda: clock.move(2))  # after the third step, at 3 s

    def take_a_second() -> bool:
        clock.move(1)
        return False

    loop.run(ignore_progress, take_a_second)
    assert (loop.state.best_metric, loop.state.best_step, loop.state.validations) == (0.6, 3, 2)
    points = read_curve(tmp_path / "curve.jsonl")
    assert [point.step for point in points] == [1, 2, 3]
    assert {point.step: point.metric for point in points if point.metric is not None} == metrics


def test_a_training_that_is_stopped_is_not_validated_again(make_version, tmp_path: Path) -> None:
    validate = Scores(0.5)
    loop = make_loop(make_version("classification"), tmp_path, validate, budget="4it", validations=2)
    events: list[ProgressEvent] = []
    loop.run(events.append, lambda: any(event.metrics.get("step") == 2 for event in events))
    assert (loop.state.spent.steps, len(validate.seen)) == (3, 1)


def test_the_validation_of_an_early_stop_is_forgotten_by_a_run_that_goes_on(make_version, tmp_path: Path) -> None:
    settings = {"budget": "6it", "validations": 2, "patience": 2}
    stopped = make_loop(make_version("classification"), tmp_path, Scores(0.9), **settings)
    stopped.run(ignore_progress, lambda: True)  # after a step: before the first mark
    assert (stopped.state.best_metric, stopped.state.best_step) == (0.9, 1)
    resumed = make_loop(make_version("classification", name="again"), tmp_path, Scores(0.4, 0.5), **settings)
    resumed.resume()
    resumed.run(ignore_progress, never)
    assert (resumed.state.best_metric, resumed.state.best_step, resumed.state.validations) == (0.5, 6, 2)


def test_a_training_without_a_step_leaves_no_checkpoint(make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(loop_module, "time", clock)
    loop = make_loop(make_version("classification"), tmp_path, Scores(), budget="1s")
    monkeypatch.setattr(loop_module, "Curve", lambda *arguments: clock.move(2) or Curve(*arguments))
    loop.run(ignore_progress, never)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_what_other_processes_compute_counts_as_spent(make_version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make_loop(make_version("classification"), tmp_path, Scores(0.1, 0.2), budget="1000cpu-s", validations=1)
    batches = loop.open_batches()
    monkeypatch.setattr(loop, "open_batches", lambda: batches)

    def use_half_a_budget_elsewhere() -> bool:
        batches.cpu_s += 500
        return False

    loop.run(ignore_progress, use_half_a_budget_elsewhere)
    assert loop.state.spent.steps == 2
    assert 1000 <= loop.state.spent.cpu_s < 1100
