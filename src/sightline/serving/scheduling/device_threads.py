"""The threads that own the Device: each takes works from the scheduler, executes them to the end and says how long it took.

All are alike; the scheduler alone decides which execution counts as an express one. One more thread keeps the time: it refuses
requests whose time is up while every slot is busy, and otherwise sleeps.
"""

import logging
import threading
import time

from sightline.serving.scheduling.dispatch import Batch
from sightline.serving.scheduling.scheduler import Scheduler, answer_error

logger = logging.getLogger("sightline.serving")


class DeviceThreads:
    """A thread for each slot of a Scheduler, express ones too. They survive whatever an executable does but hanging."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        count = scheduler.slots + scheduler.express_slots
        # Daemons: an engine that hangs must not keep the process from ending.
        self._threads = [threading.Thread(target=self._work, name=f"slot-{number}", daemon=True) for number in range(count)]
        self._threads.append(threading.Thread(target=scheduler.keep_time, name="scheduler-time", daemon=True))

    def start(self) -> None:
        """Begin to take works. Once."""
        for thread in self._threads:
            thread.start()

    def close(self, timeout_s: float) -> bool:
        """Close the scheduler, refuse what waits and let running executions end. Returns: whether all did within the time."""
        self._scheduler.close()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while self._take_and_execute():
            pass  # nothing of the last batch stays in this frame while the next is waited for

    def _take_and_execute(self) -> bool:
        batch = self._scheduler.take()
        if batch is None:
            return False
        busy_s = 0.0
        try:
            busy_s = execute_batch(batch)
        finally:
            self._scheduler.finish(batch, busy_s)
        return True


def execute_batch(batch: Batch) -> float:
    """Execute the works of a batch that were not cancelled; each has a result or an error afterwards, whatever happens.

    Returns: seconds it took; 0 when nothing was left to do.
    """
    works = [work for work in batch.works if not work.is_cancelled]
    if not works:
        return 0.0
    started_s = time.monotonic()
    for work in works:
        work.started_s = started_s
    try:
        works[0].executable.execute(works, batch.alone)
    except BaseException:  # also SystemExit, which would end the thread without a word
        logger.exception("defect: %s raised out of an execution", works[0].executable.name)
    for work in works:
        if not (work.finished_s or work.is_cancelled):  # a defect of ours, so it is none of the five heads
            answer_error(work, RuntimeError(f"{work.executable.name} left a request without an answer; the log says why"))
    return time.monotonic() - started_s
