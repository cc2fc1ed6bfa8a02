"""Which pictures a step sees, and with what randomness: a pure function of (seed, step, position), computed ahead.

Nothing random is carried from step to step, so a run that starts at step k sees exactly what an uninterrupted run sees from
step k on, whatever makes its batches: threads (here), or processes (`sample_processes`), which the interpreter's lock does not
hold back where a GPU learns faster than one core prepares.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from sightline.core.errors import InvalidInput
from sightline.training.tasks.task import Batch, Sample, TrainingTask

ORDER, SAMPLE, COLLATE = 1, 2, 3  # separate streams of random numbers
AHEAD = 2  # batches prepared before they are needed

ProgressAt = Callable[[int], float]  # of the budget at a step, 0..1, as far as it is known


class BatchPlan:
    """What each step learns from; epochs are shuffled and run on into one another, so every batch is full.

    Args:
        task: makes the samples.
        items: pictures of the training splits, >= 1.
        batch_size: samples a step.
        seed: of order and augmentation.
        part: positions in each batch that are made here, where several processes share it; None: all.
    """

    def __init__(self, task: TrainingTask, items: int, batch_size: int, seed: int, part: range | None = None) -> None:
        if items < 1:
            raise InvalidInput(
                "expected at least one picture in the training splits, got none; check the recipe's train_splits"
            )
        self._task, self._items, self._batch_size, self._seed = task, items, batch_size, seed
        self._part = range(batch_size) if part is None else part
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def indices(self, step: int) -> Iterator[tuple[int, int]]:
        """Positions in a step's batch, and the index of the picture at each: every epoch is a permutation of its own."""
        for position in self._part:
            epoch, place = divmod(step * self._batch_size + position, self._items)
            if self._order[0] != epoch:
                self._order = (epoch, np.random.default_rng((self._seed, ORDER, epoch)).permutation(self._items))
            yield position, int(self._order[1][place])

    def make_sample(self, step: int, position: int, index: int, progress: float) -> Sample:
        """The sample at a position of a step's batch; `index` is the one of `indices` there."""
        return self._task.make_sample(index, np.random.default_rng((self._seed, SAMPLE, step, position)), progress)

    def collate(self, step: int, samples: list[Sample], progress: float) -> Batch:
        """A step's batch of its samples."""
        return self._task.collate(samples, np.random.default_rng((self._seed, COLLATE, step)), progress)

    def make_batch(self, step: int, progress: float) -> Batch:
        """A step's batch, made here and now."""
        samples = [self.make_sample(step, position, index, progress) for position, index in self.indices(step)]
        return self.collate(step, samples, progress)


class BatchSource(Protocol):
    """Batches by step number, prepared ahead while it is open."""

    @property
    def cpu_s(self) -> float:
        """CPU-seconds that were spent on them in other processes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def take(self, step: int, progress: float, progress_at: ProgressAt) -> Batch:
        """The batch of `step`, to be used before the next is taken; prepares the following ones.

        Args:
            step: any at first, then one after another.
            progress: of the budget at this step, 0..1.
            progress_at: the same at the following steps.
        """


class ThreadedBatches:
    """A `BatchSource` whose samples are made in threads; cv2 frees the interpreter's lock.

    Args:
        plan: what is in the batches.
        threads: that prepare samples.
        ahead: batches that are prepared before they are asked for.
    """

    def __init__(self, plan: BatchPlan, threads: int, ahead: int = AHEAD) -> None:
        self.cpu_s = 0.0  # none elsewhere
        self._plan, self._ahead = plan, ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="samples")
        self._waiting: deque[tuple[int, float, list[Future[Sample]]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int, progress: float, progress_at: ProgressAt) -> Batch:
        """See `BatchSource`."""
        if not self._waiting:
            self._submit(step, progress)
        while (later := self._waiting[-1][0] + 1) <= step + self._ahead:
            self._submit(later, progress_at(later))
        _, at, futures = self._waiting.popleft()
        return self._plan.collate(step, [future.result() for future in futures], at)

    def _submit(self, step: int, progress: float) -> None:
        futures = [
            self._pool.submit(self._plan.make_sample, step, position, index, progress)
            for position, index in self._plan.indices(step)
        ]
        self._waiting.append((step, progress, futures))
