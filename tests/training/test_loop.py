"""The loop alone: which validation chooses the weights, and when there is one."""

from collections.abc import Callable
from pathlib import Path

import torch

from sightline.core.progress import ProgressEvent, ignore_progress
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import TaskMetrics
from sightline.models.network import Network
from sightline.models.small_classifier import SmallClassifier
from sightline.training.arithmetic import EXACT
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
        return TaskMetrics(primary_name="top1", primary=self.scores.pop(0), values={}, per_category={})


def make_loop(version: DatasetVersion, folder: Path, validate: Scores, **changes: object) -> TrainingLoop:
    recipe = make_recipe("classification", size=32, batch_size=2, log_every=1, **changes)
    pictures = Pictures(version, ("train",), 32, 32, 1 << 20)
    torch.manual_seed(0)
    network = SmallClassifier("classification", 3, 32, 32, channels=8, depths=(1, 1, 1, 1))
    task = build_task(TaskContext(recipe, version.categories, pictures, network.input_spec))
    return TrainingLoop(network, task, len(pictures), recipe, folder, EXACT, validate)


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
