import fcntl
import os
import select
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.core.errors import CorruptFile, Exhausted
from sightline.models.network import Network
from sightline.training import sample_processes
from sightline.training.box_assignment import Truth
from sightline.training.sample_processes import ForkedBatches, SlotMemory, choose_processes
from sightline.training.sampling import BatchPlan, BatchSource, ThreadedBatches
from sightline.training.tasks.task import Batch, Sample

STEPS = range(3, 20)


class RandomTask:
    """Random pixels, and as many boxes as the step is far: later targets are larger than the first one's."""

    boxes_per_progress = 50.0

    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        return Sample(rng.integers(0, 256, (6, 5, 3), np.uint8), (index, progress))

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))
        boxes = torch.from_numpy(rng.random((len(samples), 1 + round(self.boxes_per_progress * progress), 4)))
        labels = torch.tensor([sample.target[0] for sample in samples])
        return Batch(images, Truth(boxes, labels, labels > 2), float(rng.random()))

    def compute_loss(self, network: Network, images: Tensor, targets: Any) -> dict[str, Tensor]:
        return {}


class OneTargetTask(RandomTask):
    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        return Batch(super().collate(samples, rng, progress).images, torch.from_numpy(rng.random(3, np.float32)))


class ProcessTask(OneTargetTask):
    """The target is the number of the process that made it."""

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        return Batch(super().collate(samples, rng, progress).images, torch.tensor([os.getpid()]))


def make_plan(task: RandomTask) -> BatchPlan:
    return BatchPlan(task, items=7, batch_size=3, seed=4)


def take_copies(source: BatchSource) -> list[Batch]:
    with source:
        return [source.take(step, step / 20, lambda later: later / 20).map(Tensor.clone) for step in STEPS]


@pytest.mark.parametrize("task", [RandomTask(), OneTargetTask()])
@pytest.mark.parametrize(("processes", "ahead"), [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_processes_make_the_batches_that_threads_make(task: RandomTask, processes: int, ahead: int) -> None:
    expected = take_copies(ThreadedBatches(make_plan(task), threads=1))
    made = take_copies(ForkedBatches(make_plan(task), processes, ahead=ahead))
    for one, other in zip(expected, made, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.mixed == other.mixed
        assert type(one.targets) is type(other.targets)
        assert all(map(torch.equal, one.targets, other.targets))


def test_targets_without_room_in_their_slot_are_carried_along() -> None:
    task = RandomTask()
    task.boxes_per_progress = 2e5  # the last batches have 600,000 boxes: 18 MB
    expected = take_copies(ThreadedBatches(make_plan(task), threads=1))
    made = take_copies(ForkedBatches(make_plan(task), 2))
    assert all(torch.equal(one.targets.boxes_xyxy, other.targets.boxes_xyxy) for one, other in zip(expected, made, strict=True))


def test_the_work_is_done_in_other_processes_which_end_with_the_source() -> None:
    makers = [int(batch.targets[0]) for batch in take_copies(ForkedBatches(make_plan(ProcessTask()), 2))]
    assert makers[0] == os.getpid()  # the first tells how much memory a batch takes
    assert len(set(makers[1:])) == 2
    assert os.getpid() not in makers[1:]
    for maker in set(makers[1:]):
        with pytest.raises(ProcessLookupError):
            os.kill(maker, 0)


class SignalsTask(OneTargetTask):
    """The target: how many signals are blocked where it is made, and whether interrupts are ignored."""

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        blocked = len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        ignores = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return Batch(super().collate(samples, rng, progress).images, torch.tensor([blocked, int(ignores)]))


class WarpingTask(OneTargetTask):
    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        return Sample(cv2.warpAffine(np.full((900, 900, 3), index, np.uint8), np.eye(2, 3), (900, 900)), (index, progress))


def test_the_threads_of_opencv_are_not_forked() -> None:
    """A process that inherits OpenCV's pool hangs in it, or crashes."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        expected = take_copies(ThreadedBatches(make_plan(WarpingTask()), threads=1))
        made = take_copies(ForkedBatches(make_plan(WarpingTask()), 2))
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)
    assert all(torch.equal(one.images, other.images) for one, other in zip(expected, made, strict=True))


class FailingTask(RandomTask):
    """Makes steps of progress below a half."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def collate(self, samples: list[Sample], rng: np.random.Generator, progress: float) -> Batch:
        if progress >= 0.5:
            raise self.error
        return super().collate(samples, rng, progress)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (CorruptFile("blob 7 is damaged; import it again"), CorruptFile, "^blob 7 is damaged; import it again$"),
        (EOFError("the store closed"), RuntimeError, r"(?s)Traceback.*in collate.*EOFError: the store closed"),
        (ValueError("a mistake"), RuntimeError, r"(?s)Traceback.*in collate.*ValueError: a mistake"),
    ],
)
def test_an_error_comes_out_where_its_batch_is_taken(error: Exception, kind: type[Exception], message: str) -> None:
    with ForkedBatches(make_plan(FailingTask(error)), 2) as source:
        for step in range(10):
            source.take(step, step / 20, lambda later: later / 20)
        with pytest.raises(kind, match=message):
            source.take(10, 0.5, lambda later: later / 20)


@pytest.mark.parametrize("is_dead_before", [True, False])
def test_a_process_that_dies_is_an_error_that_says_how(is_dead_before: bool) -> None:
    with ForkedBatches(make_plan(ProcessTask()), 1) as source:
        for step in range(2):
            maker = int(source.take(step, 0.0, lambda _: 0.0).targets[0])
        os.kill(maker, signal.SIGKILL)
        if is_dead_before:
            os.waitid(os.P_PID, maker, os.WEXITED | os.WNOWAIT)
        with pytest.raises(Exhausted, match="SIGKILL; perhaps out of memory: lower prefetch_processes"):
            for step in range(2, 9):
                source.take(step, 0.0, lambda _: 0.0)


def test_a_source_can_be_left_before_its_first_batch_and_while_others_are_made() -> None:
    with ForkedBatches(make_plan(RandomTask()), 2):
        pass
    with ForkedBatches(make_plan(RandomTask()), 2) as source:
        source.take(0, 0.0, lambda _: 0.0)
        makers = [helper.pid for helper in source._helpers]
    for maker in makers:
        with pytest.raises(ProcessLookupError):
            os.kill(maker, 0)


class EndlessTask(ProcessTask):
    def make_sample(self, index: int, rng: np.random.Generator, progress: float) -> Sample:
        if progress:
            signal.pause()
        return super().make_sample(index, rng, progress)


def test_a_process_that_does_not_end_with_its_pipe_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_processes, "END_S", 0.05)
    with ForkedBatches(make_plan(EndlessTask()), 1) as source:
        source.take(0, 0.0, lambda _: 1.0)
        source._helpers[0].pipe.close()
        with pytest.raises(Exhausted, match="died by signal SIGKILL"):
            source.take(1, 0.0, lambda _: 1.0)


def test_a_busy_process_ends_when_its_parent_is_killed() -> None:
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            with ForkedBatches(make_plan(EndlessTask()), 1) as source:
                source.take(0, 0.0, lambda _: 1.0)
                os.write(write_end, source._helpers[0].pid.to_bytes(4, "little"))
                signal.pause()
        finally:
            os._exit(1)
    os.close(write_end)
    maker = os.pidfd_open(int.from_bytes(os.read(read_end, 4), "little"))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert select.select([maker], [], [], 20)[0] == [maker]  # it has ended
    os.close(maker)
    os.close(read_end)


def test_a_process_lets_go_of_what_its_parent_has_open(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with (tmp_path / "lock").open("w") as lock, ForkedBatches(make_plan(ProcessTask()), 1) as source:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for step in range(2):
            source.take(step, 0.0, lambda _: 0.0)
        os.close(write_end)
        lock.close()
        assert select.select([read_end], [], [], 20)[0] == [read_end]
        assert os.read(read_end, 1) == b""
        with (tmp_path / "lock").open("w") as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        source.take(2, 0.0, lambda _: 0.0)  # it lives
    os.close(read_end)


def test_a_process_has_its_signals_back() -> None:
    with ForkedBatches(make_plan(SignalsTask()), 1) as source:
        for step in range(2):
            blocked, ignores_interrupts = source.take(step, 0.0, lambda _: 0.0).targets.tolist()
    assert (blocked, ignores_interrupts) == (0, 1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_what_the_processes_compute_is_counted() -> None:
    with ForkedBatches(make_plan(WarpingTask()), 2) as source:
        spent = [source.take(step, 0.0, lambda _: 0.0) and source.cpu_s for step in range(9)]
    assert 0 <= spent[0] < spent[2] < spent[8] <= source.cpu_s < 60  # and known when they have ended


def test_large_batches_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = take_copies(ThreadedBatches(make_plan(RandomTask()), threads=1))
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    process_bytes = 5 * (sample_processes.SPARE_BYTES + 10_000)  # two ahead, and what it holds while it makes one
    for processes in (0, 1, 2, 3, 4):
        monkeypatch.setattr(sample_processes, "MEMORY_SHARE", processes * process_bytes / memory_bytes)
        source = ForkedBatches(make_plan(RandomTask()), 3)
        made = take_copies(source)
        assert source._count == max(1, min(processes, 3))
        assert all(torch.equal(one.images, other.images) for one, other in zip(expected, made, strict=True))


def test_no_further_process_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(Exhausted, match="lower prefetch_processes"), ForkedBatches(make_plan(RandomTask()), 2) as source:
        source.take(0, 0.0, lambda _: 0.0)


def test_no_memory_is_one_clear_line() -> None:
    with pytest.raises(Exhausted, match="the system refuses the memory of the next batches; lower prefetch_processes"):
        SlotMemory(1 << 20, 1 << 40)


def test_a_slot_holds_what_was_written_until_the_next_write() -> None:
    memory = SlotMemory(2, 100)
    tensors = [torch.arange(5, dtype=torch.uint8), torch.tensor([[1.5], [2.5]]), torch.zeros(200, dtype=torch.uint8)]
    placed = memory.write(1, tensors)
    memory.write(0, [torch.full((100,), 9, dtype=torch.uint8)])
    assert [each.offset for each in placed] == [0, 64, None]
    assert all(torch.equal(memory.read(1, each), tensor) for each, tensor in zip(placed, tensors, strict=True))


def test_a_cpu_trains_with_threads_and_a_gpu_has_a_process_at_least() -> None:
    assert choose_processes(torch.device("cpu")) == 0
    assert 1 <= choose_processes(torch.device("cuda")) <= 16
