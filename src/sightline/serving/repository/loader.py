"""The one thread that opens, closes and pages models, so that no two of these ever race and the event loop never waits.

Only jobs of this thread change which versions there are; every other thread reads that under the host's lock.
"""

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from sightline.core.errors import Exhausted

Value = TypeVar("Value")
logger = logging.getLogger("sightline.serving")


class Urgency(IntEnum):
    """Which of the waiting jobs is next: memory is given back first, then requests that wait, then what nobody waits for."""

    CLOSE = 0
    PAGE_IN = 1
    LOAD = 2
    END = 3


class Loader:
    """A thread with a queue of jobs, the most urgent first, in order of arrival among equals."""

    def __init__(self) -> None:
        self._jobs: queue.PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any]]] = queue.PriorityQueue()
        self._count = itertools.count()
        self._ends = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def submit(self, urgency: Urgency, job: Callable[[], Value]) -> "Future[Value]":
        """Have a job done; never waits. Raises: Exhausted once `close` was called."""
        future: Future[Value] = Future()
        with self._lock:
            if self._ends:
                raise Exhausted("the server is shutting down; ask another one")
            self._jobs.put((urgency, next(self._count), future, job))
        return future

    def run(self, job: Callable[[], Value]) -> Value:
        """Have a job done and wait for it; what it returned or raised. Called by the thread itself, it runs at once."""
        if threading.current_thread() is self._thread:
            return job()
        return self.submit(Urgency.LOAD, job).result()

    def close(self, last: Callable[[], None]) -> None:
        """Do what waits, then the last job, and end; nothing is taken any more. Once. Raises: whatever the last job raised."""
        done: Future[None] = Future()
        with self._lock:
            self._ends = True
            self._jobs.put((Urgency.END, next(self._count), done, last))
        self._thread.join()
        done.result()

    def _work(self) -> None:
        urgency = Urgency.LOAD
        while urgency != Urgency.END:
            urgency = self._work_once()

    def _work_once(self) -> Urgency:
        """One job; a function of its own, so that nothing of a done job is kept alive while the next one is waited for."""
        urgency, _, future, job = self._jobs.get()
        try:
            future.set_result(job())
        except Exception as error:  # the thread's border: the error goes to whoever waits for the job
            future.set_exception(error)
            if urgency in (Urgency.CLOSE, Urgency.PAGE_IN):  # nobody waits for those
                logger.exception("a job of the loader failed")
        return Urgency(urgency)
