"""Which pictures a step sees, and with what randomness: a pure function of (seed, step, position), computed ahead in threads.

Nothing random is carried from step to step, so a run that starts at step k sees exactly what an uninterrupted run sees from
step k on, whatever the number of threads.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from sightline.core.errors import InvalidInput
from sightline.training.tasks.task import Batch, Sample, TrainingTask

ORDER, SAMPLE, COLLATE = 1, 2, 3  # separate streams of random numbers


class BatchSource:
    """Batches by step number; epochs are shuffled and run on into one another, so every batch is full.

    Args:
        task: makes the samples.
        items: pictures of the training splits, >= 1.
        batch_size: samples a step.
        seed: of order and augmentation.
        threads: workers that prepare samples; cv2 frees the interpreter lock.
        ahead: batches that are prepared before they are asked for.
    """

    def __init__(self, task: TrainingTask, items: int, batch_size: int, seed: int, threads: int, ahead: int = 2) -> None:
        if items < 1:
            raise InvalidInput(
                "expected at least one picture in the training splits, got none; check the recipe's train_splits"
            )
        self._task, self._items, self._batch_size, self._seed, self._ahead = task, items, batch_size, seed, ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="samples")
        self._waiting: deque[tuple[int, float, list[Future[Sample]]]] = deque()
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def __enter__(self) -> "BatchSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int, progress: float, progress_ahead: list[float]) -> Batch:
        """The batch of `step`; prepares the following ones.

        Args:
            step: 0 for the first; steps are taken in order.
            progress: of the budget at this step, 0..1.
            progress_ahead: the same at the following steps, as far as it is known; how many are prepared.
        """
        if not self._waiting or self._waiting[0][0] != step:
            self._waiting.clear()
            self._submit(step, progress)
        for offset, later in enumerate(progress_ahead[: self._ahead], 1):
            if step + offset > self._waiting[-1][0]:
                self._submit(step + offset, later)
        _, at, futures = self._waiting.popleft()
        samples = [future.result() for future in futures]
        return self._task.collate(samples, np.random.default_rng((self._seed, COLLATE, step)), at)

    def _submit(self, step: int, progress: float) -> None:
        futures = [
            self._pool.submit(
                self._task.make_sample, index, np.random.default_rng((self._seed, SAMPLE, step, position)), progress
            )
            for position, index in enumerate(self.indices(step))
        ]
        self._waiting.append((step, progress, futures))

    def indices(self, step: int) -> Iterator[int]:
        """Indices of the pictures of a step: every epoch is a permutation of its own."""
        for position in range(step * self._batch_size, (step + 1) * self._batch_size):
            epoch, place = divmod(position, self._items)
            if self._order[0] != epoch:
                self._order = (epoch, np.random.default_rng((self._seed, ORDER, epoch)).permutation(self._items))
            yield int(self._order[1][place])
