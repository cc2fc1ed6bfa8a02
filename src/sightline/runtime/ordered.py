"""Run work ahead of its reader, in order, with a bounded number in flight: the one idea behind every stream of the runtime.

The reader's own thread starts work and collects it, so there is no queue between threads that could block for ever. An input
that raises does so at its place, after the results of what it gave before. A reader that stops early, or work that raises,
ends the generator, and its `finally` waits for what is in flight.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sightline.core.errors import InvalidInput

Value = TypeVar("Value")
Handle = TypeVar("Handle")
Result = TypeVar("Result")


def run_in_order(
    values: Iterable[Value],
    start: Callable[[Value], Handle],
    finish: Callable[[Handle], Result],
    discard: Callable[[Handle], None],
    in_flight: int,
) -> Generator[Result, None, None]:
    """Start each value, keep at most `in_flight` unfinished, yield results in the order of the values.

    Args:
        values: read one at a time, only when there is room; their error is raised after the results of those before it.
        start: begins work without waiting for its end; its error is raised as one of the values.
        finish: waits for the work and returns its result; its error is raised in its place in the order.
        discard: waits for work whose result nobody wants any more; must not raise.
        in_flight: at least 1.
    """
    pending: deque[Handle] = deque()
    try:
        reading, failure = iter(values), None
        while failure is None:
            try:
                pending.append(start(next(reading)))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, its place in the order has not come
                failure = error
            if len(pending) >= in_flight:
                yield finish(pending.popleft())
        while pending:
            yield finish(pending.popleft())
        if failure is not None:
            raise failure
    finally:
        while pending:
            discard(pending.popleft())
        if isinstance(values, Generator):
            values.close()  # a chain of streams ends from its last to its first, also while an error is on its way


def map_in_order(
    pool: ThreadPoolExecutor, work: Callable[[Value], Result], values: Iterable[Value], in_flight: int
) -> Generator[Result, None, None]:
    """Like `map`, in the pool's threads, in order, with at most `in_flight` values taken ahead of the reader.

    Raises: InvalidInput at the first value that comes when the pool was shut down.
    """

    def start(value: Value) -> "Future[Result]":
        try:
            return pool.submit(work, value)
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            raise InvalidInput("expected an open Predictor or session, got one that was closed; open it again") from error

    return run_in_order(values, start, Future.result, discard_future, in_flight)


def discard_future(future: "Future[Result]") -> None:
    """Cancel a future, or wait for its end when it runs already; its error is nobody's any more."""
    if not future.cancel():
        future.exception()
