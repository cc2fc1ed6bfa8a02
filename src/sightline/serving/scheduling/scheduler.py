"""The Dispatcher shared between threads: one lock, and two places to sleep, for slots without work and for the timer.

A thread is woken only when there is something for it to start, and callers are answered only while the lock is not held. Who
runs next is told in `dispatch`.
"""

import copy
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf, isnan

from sightline.core.errors import Exhausted, InvalidInput, QueueTimeout, SightlineError
from sightline.serving.scheduling.dispatch import Batch, Dispatcher, Snapshot
from sightline.serving.scheduling.sleepers import Sleepers
from sightline.serving.scheduling.work import Executable, Work

LONGEST_SLEEP_S = 3600.0  # of the timer; a sleep has a limit in the platform

logger = logging.getLogger("sightline.serving")


class Scheduler:
    """The queues of a Device. Every method may be called from any thread; `take`, `keep_time` and `await_end` block.

    The thread that calls `finish` must call `take` again, or `close` must follow. Of an executable the scheduler reads `name`,
    `queue` and `is_resident` under its lock: they must not wait for anything.

    Args:
        slots: executions at a time.
        clock: monotonic seconds.
        tenant_weights: by name of the tenant; others have 1.
        express_slots: executions beyond `slots`, for models that are behind the others.

    Raises: InvalidInput for weights and numbers of slots that cannot be.
    """

    def __init__(
        self,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
        tenant_weights: Mapping[str, float] | None = None,
        express_slots: int = 1,
    ) -> None:
        self.slots = slots
        self.express_slots = express_slots
        self._clock = clock
        self._dispatcher = Dispatcher(slots, tenant_weights or {}, express_slots)
        self._is_closed = False
        self._lock = threading.Lock()
        self._sleepers = Sleepers(self._lock)  # threads in `take`
        self._rung = 0  # threads in `take` that were woken and have not looked yet
        self._timer = threading.Condition(self._lock)
        self._alarm_s = -inf  # when the timer will wake by itself; -inf: it is awake, or there is none
        self._ended = threading.Condition(self._lock)
        self._awaiting = 0  # threads that sleep until executions end

    def submit(self, work: Work) -> None:
        """Admit to the queue of its executable.

        Raises: QueueFull, at once; Exhausted once closed; InvalidInput for no rows, or a time that is none.
        """
        if work.rows < 1:
            raise InvalidInput(f"expected at least 1 row in a request to {work.executable.name}, got {work.rows}")
        if work.timeout_s is not None and isnan(work.timeout_s):
            raise InvalidInput("expected a timeout in seconds, got NaN; leave it out for the model's own")
        with self._lock:
            if self._is_closed:
                raise _refuse_closed()
            self._dispatcher.add(work, self._clock())
            self._set_timer()
            self._ring()

    def check_room(self, executable: Executable, tenant: str = "", priority: int = 0) -> None:
        """Whether `submit` would find room for a Work of this tenant and priority (0: the default). Raises: QueueFull."""
        with self._lock:
            self._dispatcher.check_room(executable, tenant, priority)

    def cancel(self, work: Work) -> None:
        """Drop it if it still waits; it is never answered."""
        work.is_cancelled = True
        with self._lock:
            self._dispatcher.remove(work, self._clock())

    def drop(self, executable: Executable, error: SightlineError) -> None:
        """Refuse everything that waits for an executable."""
        with self._lock:
            works = self._remove_all(executable)
        _refuse(works, error)

    def await_end(self, executables: Collection[Executable], timeout_s: float | None = None) -> bool:
        """Block until no execution of these runs; whoever calls has seen to it that no new one starts.

        Args:
            timeout_s: the longest wait; None: no bound.

        Returns: whether none runs.
        """
        with self._lock:
            self._awaiting += 1
            has_ended = self._ended.wait_for(lambda: not any(map(self._dispatcher.is_running, executables)), timeout_s)
            self._awaiting -= 1
        return has_ended

    @property
    def arrivals(self) -> int:
        """Works that were admitted since the start."""
        return self._dispatcher.arrivals

    @property
    def waiting(self) -> int:
        """Works that wait, of all executables."""
        return self._dispatcher.waiting

    def wake(self) -> None:
        """An executable became resident: look at those again that were not."""
        with self._lock:
            self._dispatcher.wake(self._clock())
            self._set_timer()
            self._ring()

    def list_depths(self) -> list[tuple[Executable, int]]:
        """Every executable that has a queue now, and the requests in it."""
        with self._lock:
            return self._dispatcher.list_depths()

    def snapshot(self) -> Snapshot:
        """What waits and runs now."""
        with self._lock:
            return self._dispatcher.snapshot()

    def set_tenant_weights(self, weights: Mapping[str, float]) -> None:
        """Weights by name of the tenant, from now on; others have 1. Raises: InvalidInput."""
        with self._lock:
            self._dispatcher.set_tenant_weights(weights)

    def take(self) -> Batch | None:
        """The next works to execute; blocks until there are some, None once closed. Every one must be given to `finish`."""
        while True:
            with self._lock:
                expired, batch = self._advance()
                while batch is None and not expired and not self._is_closed:
                    self._sleep()
                    expired, batch = self._advance()
                is_over = self._is_closed
            _refuse_late(expired)
            if batch is not None or is_over:
                return batch

    def try_take(self) -> Batch | None:
        """As `take`, but None when nothing may start now."""
        with self._lock:
            expired, batch = self._advance()
        _refuse_late(expired)
        return batch

    def finish(self, batch: Batch, busy_s: float) -> None:
        """A batch has ended, after so many seconds on the wall."""
        with self._lock:
            self._dispatcher.finish(batch, busy_s, self._clock())
            if self._awaiting:
                self._ended.notify_all()

    def tick(self) -> float:
        """Refuse what is late and let start what has gathered long enough. Returns: when to call again; inf if never."""
        with self._lock:
            expired = self._dispatcher.look_at_clock(self._clock())
            self._ring()
            alarm_s = self._dispatcher.alarm_s
        _refuse_late(expired)
        return alarm_s

    def keep_time(self) -> None:
        """Call `tick` whenever it is due, until closed; for one thread, which sleeps in between."""
        while True:
            self.tick()
            with self._lock:
                if self._is_closed:
                    return
                self._alarm_s = self._dispatcher.alarm_s
                sleep_s = self._alarm_s - self._clock()
                if sleep_s > 0:
                    self._timer.wait(min(sleep_s, LONGEST_SLEEP_S))
                self._alarm_s = -inf

    def close(self) -> None:
        """Let `take` return None everywhere and refuse what still waits; what runs may finish."""
        with self._lock:
            self._is_closed = True
            works = self._remove_all()
            self._sleepers.wake_all()
            self._timer.notify_all()
        _refuse(works, _refuse_closed())

    # Below, the lock is held.

    def _advance(self) -> tuple[list[Work], Batch | None]:
        """Bring everything up to now. Returns: works to refuse, and what starts."""
        now = self._clock()
        expired = self._dispatcher.look_at_clock(now)
        batch = self._dispatcher.start_next(now)
        if batch is not None:
            self._ring()
            self._set_timer()  # what the batch has left may have to wait less long than the timer sleeps
        return expired, batch

    def _remove_all(self, executable: Executable | None = None) -> list[Work]:
        works = self._dispatcher.list_works(executable)
        for work in works:
            self._dispatcher.remove(work, self._clock())
        return works

    def _ring(self) -> None:
        """Wake one sleeping thread, if there is something that it may start; it wakes the next."""
        if self._sleepers and self._dispatcher.find_next(self._rung) is not None:
            self._rung += 1
            self._sleepers.wake_last()

    def _sleep(self) -> None:
        """Wait in `take` until rung or closed."""
        self._set_timer()
        self._sleepers.sleep()
        self._rung -= 1

    def _set_timer(self) -> None:
        """Wake the timer when it would sleep too long."""
        if self._alarm_s > self._dispatcher.alarm_s:
            self._alarm_s = -inf
            self._timer.notify()


def answer_error(work: Work, error: Exception) -> None:
    """Finish a Work with an error; a caller that cannot be told, its event loop may be closed, stops nobody else."""
    try:
        work.finish(error=error)
    except Exception:
        logger.exception("defect: a caller of %s could not be told of an error", work.executable.name)


def _refuse(works: Iterable[Work], error: SightlineError) -> None:
    """Answer each with an error of its own: a raised error keeps its stack, so many waiters must not share one."""
    for work in works:
        answer_error(work, copy.copy(error))


def _refuse_late(works: Iterable[Work]) -> None:
    for work in works:
        waited_s = max(0.0, (work.deadline_s or 0.0) - work.enqueued_s)
        message = f"the request waited {waited_s:.3g} s, all the time it had, for a turn of {work.executable.name}"
        answer_error(work, QueueTimeout(f"{message}; send it again later or with a longer timeout"))


def _refuse_closed() -> Exhausted:
    return Exhausted("the server is shutting down; send the request to another, or again in a moment")
