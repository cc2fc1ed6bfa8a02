"""Processes that share each batch, played by threads of this one: what they do together is the same."""

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sightline.core.progress import ignore_progress
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import TaskMetrics
from sightline.models.network import Network
from sightline.models.small_classifier import SmallClassifier
from sightline.training import rank_group
from sightline.training.arithmetic import EXACT
from sightline.training.curve import read_curve
from sightline.training.loop import DivergedLoss, TrainingLoop
from sightline.training.pictures import Pictures
from sightline.training.rank_group import LostRank, RankGroup, split_buckets
from sightline.training.ranks import Alone, Ranks, find_part
from sightline.training.recipe import make_recipe
from sightline.training.tasks.table import build_task
from sightline.training.tasks.task import TaskContext
from sightline.training.train import never

Answer = TypeVar("Answer")
PLAIN = {"scale": (1.0, 1.0), "shift": 0.0, "rotation_deg": 0.0}


def together(count: int, work: Callable[[Ranks], Answer]) -> list[Answer]:
    """What `work` returns for each of so many that met."""
    store, all_met = dist.HashStore(), threading.Barrier(count)

    def meet(rank: int) -> Answer:
        group = dist.ProcessGroupGloo(store, rank, count, rank_group.timedelta(seconds=60))
        all_met.wait(60)  # who left before would be waited for without an end by who has not met it yet
        return work(RankGroup(group))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(meet, range(count)))


@pytest.fixture(autouse=True)
def settings_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections on loopback, as the launcher has them, and arithmetic that does not depend on what else runs."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


class Scores:
    """A validation that gives these metrics in turn, and counts."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def __call__(self, network: Network) -> TaskMetrics:
        return TaskMetrics(primary_name="top1", values={"top1": self.scores.pop(0)}, per_category={})


def make_loop(version: DatasetVersion, folder: Path, ranks: Ranks, validate: Scores, **changes: object) -> TrainingLoop:
    """A classifier whose norms see each picture by itself, so that its gradient is the mean of those of its pictures."""
    recipe = make_recipe("classification", **{"size": 32, "batch_size": 4, "log_every": 1, **changes})
    pictures = Pictures(version, ("train",), width=32, height=32, cache_bytes=1 << 20)
    network = SmallClassifier("classification", 3, 32, 32, channels=8, depths=(1, 1, 1, 1))
    for name, norm in [(name, one) for name, one in network.named_modules() if isinstance(one, nn.BatchNorm2d)]:
        network.set_submodule(name, nn.GroupNorm(1, norm.num_features))
    rng = np.random.default_rng(ranks.rank)  # each begins elsewhere, until they meet
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(0.1 * rng.standard_normal(parameter.shape)))
    task = build_task(TaskContext(recipe, version.categories, pictures, network.input_spec))
    folder = folder / str(ranks.rank)
    folder.mkdir(parents=True)
    return TrainingLoop(
        network, task, items=len(pictures), recipe=recipe, folder=folder, arithmetic=EXACT, validate=validate, ranks=ranks
    )


def read_weights(loop: TrainingLoop) -> Tensor:
    return nn.utils.parameters_to_vector(loop.network.parameters()).detach()


def test_processes_learn_what_one_does_and_the_same_by_the_bit(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 10})

    def train(ranks: Ranks) -> TrainingLoop:
        loop = make_loop(version, tmp_path / str(ranks.count), ranks, Scores(0.5, 0.4), budget="6it", validations=2)
        loop.meet()
        loop.run(ignore_progress, never)
        return loop

    alone, (first, second) = train(Alone()), together(2, train)
    assert torch.equal(read_weights(first), read_weights(second))
    torch.testing.assert_close(read_weights(first), read_weights(alone), rtol=0, atol=2e-5)
    curves = [read_curve(loop.folder / "curve.jsonl") for loop in (alone, first)]
    assert [point.loss for point in curves[1]] == pytest.approx([point.loss for point in curves[0]], abs=1e-4)
    assert not list(second.folder.iterdir())  # the first one writes
    assert second.validate.scores == [0.5, 0.4] and first.validate.scores == []  # and validates
    assert first.state == second.state and first.state.best_step == 3
    assert torch.equal(first.best["head.weight"], second.best["head.weight"])


def test_all_stop_after_the_step_after_which_the_first_one_is_asked_to(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 10})

    def train(ranks: Ranks) -> int:
        loop = make_loop(version, tmp_path, ranks, Scores(0.5), budget="9it", validations=1)
        asked: list[int] = []
        loop.run(ignore_progress, lambda: asked.append(1) or (len(asked) == (3 if ranks.rank == 0 else 2)))
        return loop.state.spent.steps

    assert together(2, train) == [3, 3]


def test_times_are_those_of_the_first_and_of_all_together() -> None:
    def read(ranks: Ranks) -> tuple[float, float]:
        wall_clock, cpu_clock = ranks.watch(lambda: 10.0 + ranks.rank, lambda: 1.0 + ranks.rank)
        return wall_clock(), cpu_clock()

    assert together(3, read) == [(10.0, 6.0)] * 3


def test_a_budget_of_time_ends_for_all_at_the_same_step(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 10})

    def train(ranks: Ranks) -> int:
        loop = make_loop(version, tmp_path, ranks, Scores(*[0.5] * 4), budget="1cpu-s", validations=3)
        loop.run(ignore_progress, never)
        return loop.state.spent.steps, loop.state.validations, loop.state.spent

    first, second = together(2, train)
    assert first == second and first[1] == 3


def test_a_loss_that_is_no_number_in_one_process_ends_all(make_version, tmp_path: Path) -> None:
    version = make_version("classification", {"train": 10})

    def train(ranks: Ranks) -> None:
        loop = make_loop(version, tmp_path, ranks, Scores(), budget="9it")
        compute = loop.gradients.compute
        if ranks.rank == 1:
            loop.gradients.compute = lambda batch: {name: part * math.nan for name, part in compute(batch).items()}
        with pytest.raises(DivergedLoss, match="at step 1;"):
            loop.run(ignore_progress, never)

    together(2, train)


def test_the_others_are_told_that_a_process_is_gone() -> None:
    def leave(ranks: Ranks) -> None:
        if ranks.rank == 1:
            return  # its connections end with it
        with pytest.raises(LostRank):
            ranks.share(b"news")
            ranks.look()

    together(2, leave)


def test_a_gradient_that_some_have_counts_and_one_that_nobody_has_stays_away() -> None:
    def average(ranks: Ranks) -> list[Tensor | None]:
        network = nn.Module()
        network.some, network.none = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        network.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        if ranks.rank == 1:
            network.some.grad = torch.tensor([3.0, 6.0])
        parts = ranks.average(network, {"a": torch.tensor(float(ranks.rank)), "b": torch.tensor(2.0)})
        assert {name: part.item() for name, part in parts.items()} == {"a": 1.0, "b": 2.0}
        return [network.some.grad, network.none.grad, network.frozen.grad]

    for some, none, frozen in together(3, average):
        assert torch.equal(some, torch.tensor([1.0, 2.0]))
        assert none is None and frozen is None


def test_statistics_of_norms_are_averaged_but_those_that_are_fixed() -> None:
    def average(ranks: Ranks) -> list[list[float]]:
        network = nn.ModuleDict({"learns": nn.BatchNorm1d(1, momentum=1.0), "is_fixed": nn.BatchNorm1d(1).eval()})
        network["is_fixed"].running_mean.fill_(ranks.rank)
        network["learns"](torch.tensor([[-1.0], [1.0]]) * (1 + ranks.rank) + 10 * ranks.rank)
        ranks.average(network, {"a": torch.tensor(0.0)})
        return [network[name].running_mean.tolist() + network[name].running_var.tolist() for name in network]

    first, second = together(2, average)
    assert first[0] == second[0] == [5.0, 5.0]  # means 0 and 10; variances 2 and 8, of n - 1
    assert [first[1], second[1]] == [[0.0, 1.0], [1.0, 1.0]]


def test_large_tensors_are_averaged_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [torch.zeros(size) for size in (3, 1, 9, 2, 2)]
    assert [[len(one) for one in bucket] for bucket in split_buckets(tensors, 4 * 4)] == [[3, 1], [9], [2, 2]]
    assert list(split_buckets([], 16)) == []
    monkeypatch.setattr(rank_group, "BUCKET_BYTES", 16)

    def average(ranks: Ranks) -> Tensor:
        network = nn.Conv2d(3, 4, 2)
        network.to(memory_format=torch.channels_last)
        network.weight.grad = torch.arange(48.0).reshape(network.weight.shape).contiguous(memory_format=torch.channels_last)
        network.weight.grad *= ranks.rank
        ranks.average(network, {"a": torch.tensor(0.0)})
        return network.weight.grad

    for gradient in together(2, average):
        assert gradient.flatten().tolist() == [index / 2 for index in range(48)]


def test_what_the_first_one_says_reaches_all() -> None:
    content = os.urandom(3_000_000)
    assert together(3, lambda ranks: ranks.share(content if ranks.rank == 0 else b"") == content) == [True] * 3


def test_parts_of_a_batch_are_its_whole() -> None:
    three = [SimpleNamespace(rank=rank, count=3) for rank in range(3)]
    assert [find_part(ranks, 12) for ranks in three] == [range(4), range(4, 8), range(8, 12)]
    assert find_part(Alone(), 5) == range(5)
