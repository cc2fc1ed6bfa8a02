"""A fixed number of threads behind a queue that cannot grow without end: who comes too late is told at once.

Decoding and inference run here, never on the event loop. Both OpenCV and the engines release the GIL, so threads suffice.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from sightline.core.errors import Exhausted

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Threads for requests. All methods but the work itself run on the event loop, so the count needs no lock.

    Args:
        threads: requests worked on at the same time.
        max_waiting: further requests that may be admitted, reading their body or waiting for a thread.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self.limit = threads + max_waiting
        self.admitted = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place from the first byte of a request to its answer. Raises: Exhausted when every place is taken."""
        if self.admitted >= self.limit:
            raise Exhausted(f"the queue is full ({self.limit} requests); send the request again in a moment")
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)
