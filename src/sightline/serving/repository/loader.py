"""The one thread that opens, closes and pages models, so that no two of these ever race and the event loop never waits.

Only jobs of this thread change which versions there are; every other thread reads that under the host's lock.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from enum import IntEnum
from typing import Any, TypeVar

from sightline.core.errors import Exhausted

Value = TypeVar("Value")
PAGE_INS_AT_A_TIME = 4  # before a load has its turn
ENDING = "the server is shutting down; ask another one"
logger = logging.getLogger("sightline.serving")


Job = tuple[Future[Any], Callable[[], Any]]


class Urgency(IntEnum):
    """Which of the waiting jobs is next: memory is given back first, then requests that wait, then what administrators ask for.

    A load that waits has its turn after a few page-ins all the same, or models that take turns in memory would keep it out.
    One of many models lets what is more urgent have its turn between two of them.
    """

    CLOSE = 0
    PAGE_IN = 1
    LOAD = 2
    END = 3


class Loader:
    """A thread with queues of jobs, the most urgent first, in order of arrival among equals."""

    def __init__(self) -> None:
        self._jobs: dict[Urgency, deque[Job]] = {urgency: deque() for urgency in Urgency}
        self._page_ins = 0  # since the last load
        self._ends = self._is_left = False
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def submit(self, urgency: Urgency, job: Callable[[], Value]) -> "Future[Value]":
        """Have a job done; never waits. Raises: Exhausted once `close` was called."""
        future: Future[Value] = Future()
        with self._came:
            if self._ends:
                raise Exhausted(ENDING)
            self._jobs[urgency].append((future, job))
            self._came.notify()
        return future

    def give_way(self) -> None:
        """Do what is more urgent than a load; called by one of many models, between two of them."""
        while (job := self._take_more_urgent()) is not None:
            _do(*job)
        self._page_ins = 0

    def is_current(self) -> bool:
        """Whether the calling thread is the loader's."""
        return threading.current_thread() is self._thread

    def close(self, last: Callable[[], None], patience_s: float | None = None) -> bool:
        """Do the last job and end; nothing is taken any more, and what waits to be loaded is refused.

        Once. Args: patience_s: how long what is being done is waited for; None: no bound.

        Returns: False when it has not ended by then: the last job is left out, and the thread to itself.
        Raises: whatever the last job raised.
        """
        begins = threading.Event()

        def do_last() -> None:
            begins.set()
            last()

        done: Future[None] = Future()
        with self._came:
            self._ends = True
            refused = [*self._jobs[Urgency.PAGE_IN], *self._jobs[Urgency.LOAD]]
            self._jobs[Urgency.PAGE_IN].clear()
            self._jobs[Urgency.LOAD].clear()
            self._jobs[Urgency.END].append((done, do_last))
            self._came.notify()
        for future, _ in refused:
            if future.set_running_or_notify_cancel():
                future.set_exception(Exhausted(ENDING))
        if not begins.wait(patience_s):
            self._is_left = True
            return False
        self._thread.join()
        done.result()
        return True

    def _work(self) -> None:
        urgency = Urgency.LOAD
        while urgency != Urgency.END and not self._is_left:
            urgency = self._work_once()

    def _work_once(self) -> Urgency:
        """One job; a function of its own, so that nothing of a done job is kept alive while the next one is waited for."""
        with self._came:
            self._came.wait_for(lambda: any(self._jobs.values()))
            urgency = self._choose()
            future, job = self._jobs[urgency].popleft()
        _do(urgency, future, job)
        return urgency

    def _take_more_urgent(self) -> "tuple[Urgency, Future[Any], Callable[[], Any]] | None":
        """The next job that is more urgent than a load, never the end; None when there is none, or loads have waited enough."""
        with self._came:
            may_page_in = self._jobs[Urgency.PAGE_IN] and self._page_ins < PAGE_INS_AT_A_TIME
            if not self._jobs[Urgency.CLOSE] and not may_page_in:
                return None
            urgency = self._choose()
            return (urgency, *self._jobs[urgency].popleft())

    def _choose(self) -> Urgency:
        """Of which kind the next job is."""
        if self._page_ins >= PAGE_INS_AT_A_TIME and self._jobs[Urgency.LOAD] and not self._jobs[Urgency.CLOSE]:
            chosen = Urgency.LOAD
        else:
            chosen = next(urgency for urgency in Urgency if self._jobs[urgency])
        if chosen is not Urgency.CLOSE:
            self._page_ins = self._page_ins + 1 if chosen is Urgency.PAGE_IN else 0
        return chosen


def give_up(future: "Future[Any]") -> None:
    """Tell whoever waits for a job that it is waited for no more, unless it has ended; it may go on."""
    with suppress(InvalidStateError):
        future.set_exception(Exhausted(ENDING))


def _do(urgency: Urgency, future: "Future[Any]", job: Callable[[], Any]) -> None:
    if future.done() or not future.set_running_or_notify_cancel():  # nobody wants it any more
        return
    try:
        value = job()
    except Exception as error:  # the thread's border: the error goes to whoever waits for the job
        with suppress(InvalidStateError):  # it was given up
            future.set_exception(error)
        if urgency in (Urgency.CLOSE, Urgency.PAGE_IN):  # nobody waits for those
            logger.exception("a job of the loader failed")
    else:
        with suppress(InvalidStateError):
            future.set_result(value)
