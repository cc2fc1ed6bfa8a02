from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.core.errors import InvalidInput
from sightline.models.network import Network
from sightline.training.sampling import BatchPlan, ThreadedBatches
from sightline.training.tasks.task import Batch, Sample


class NumberTask:
    """Samples are their index and a random number; even ones take longer to make, so threads finish out of order."""

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        np.sort(np.random.default_rng(0).random(20_000 if index % 2 == 0 else 1))
        return Sample(np.zeros((1, 1, 3), np.uint8), (index, rng.random(), progress))

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        return Batch(torch.zeros(1), ([sample.target for sample in samples], rng.random()))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        return {}


def take_all(steps: range, threads: int, ahead: int, total: int = 12) -> list[Any]:
    with ThreadedBatches(BatchPlan(NumberTask(), items=7, batch_size=3, seed=4), threads, ahead) as source:
        return [source.take(step, step / total, lambda later: later / total).targets for step in steps]


def test_threads_and_prefetching_do_not_change_the_samples() -> None:
    assert take_all(range(12), 1, 0) == take_all(range(12), 4, 3)


def test_a_run_that_starts_later_sees_what_the_whole_run_saw() -> None:
    assert take_all(range(5, 12), 2, 2) == take_all(range(12), 1, 0)[5:]


def test_so_many_batches_are_prepared_ahead() -> None:
    asked: list[int] = []

    def note(later: int) -> float:
        asked.append(later)
        return 0.0

    with ThreadedBatches(BatchPlan(NumberTask(), items=7, batch_size=3, seed=4), threads=1, ahead=2) as source:
        source.take(5, 0.0, note)
        assert asked == [6, 7]
        source.take(6, 0.0, note)
        assert asked == [6, 7, 8]


def test_processes_that_share_a_batch_make_its_parts() -> None:
    whole = BatchPlan(NumberTask(), items=7, batch_size=6, seed=4).make_batch(5, 0.5).targets
    parts = [BatchPlan(NumberTask(), 7, 6, 4, part).make_batch(5, 0.5).targets for part in (range(3), range(3, 6))]
    assert parts[0][0] + parts[1][0] == whole[0]
    assert parts[0][1] == parts[1][1] == whole[1]  # they blend by the same draw
    with ThreadedBatches(BatchPlan(NumberTask(), 7, 6, 4, range(3, 6)), threads=2) as source:
        assert source.take(5, 0.5, lambda _: 0.5).targets == parts[1]


def test_every_epoch_holds_every_picture_once_in_another_order() -> None:
    indices = [index for targets, _ in take_all(range(7), 1, 1) for index, _, _ in targets]  # 21 samples: 3 epochs of 7
    epochs = [indices[:7], indices[7:14], indices[14:]]
    assert all(Counter(epoch) == Counter(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_no_pictures_are_an_error() -> None:
    with pytest.raises(InvalidInput, match="train_splits"):
        BatchPlan(NumberTask(), items=0, batch_size=3, seed=4)
