"""The sessions of a served model: opened together, and given out so that no two threads use the same stream.

Threads with a one-stream session each reach 1.04 times the pictures/s of threads that share one with as many streams
(mobilenet_v3_large INT8 behind JPEG decoding on two cores, median of 6), 1.1 times where batches of four gather, for one more
copy of the weights each.
"""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.serving.inference.source import ModelSource

MOST_POOLS = 4  # sessions for throughput; beyond so many, streams share one, since each packs the weights for itself
OpenSession = Callable[[ModelSource, SessionOptions], Session]


class SessionPool:
    """Sessions of one graph, each used by as many threads at a time as it has streams."""

    def __init__(self, sessions: Sequence[Session], streams: int) -> None:
        self.sessions = tuple(sessions)
        self._free: queue.SimpleQueue[Session] = queue.SimpleQueue()
        for session in self.sessions * streams:
            self._free.put(session)

    @contextmanager
    def take(self) -> Iterator[Session]:
        """A session with a free stream; waits for one."""
        session = self._free.get()
        try:
            yield session
        finally:
            self._free.put(session)


def open_together(open_session: OpenSession, source: ModelSource, wanted: Sequence[SessionOptions]) -> list[Session]:
    """Open the first session, then the others at the same time, since engines compile on one thread each.

    The first is opened alone because OpenVINO's binding deadlocks when two threads use a part of it for the first time: one
    holds the lock of the interpreter, the other that of the part's first use, and each waits for the other's.

    Raises: what the first failure raised.
    """
    first, *others = wanted
    opened = [open_session(source, first)]
    if not others:
        return opened
    with ThreadPoolExecutor(len(others), thread_name_prefix="open") as pool:
        futures = [pool.submit(open_session, source, options) for options in others]
    opened += [future.result() for future in futures if future.exception() is None]
    if len(opened) < len(wanted):
        for session in opened:
            session.close()
        next(future for future in futures if future.exception() is not None).result()  # raises
    return opened


def open_source(source: ModelSource, options: SessionOptions) -> Session:
    """Open a version's graph with its own engine. Raises: SightlineError."""
    return load_backend(source.engine).open(source.graph, options)
