"""Questions to a server in order, several on their way at once, of which none is waited for once their caller has left."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sightline.runtime.ordered import discard_future, run_in_order
from sightline.serving.client.deadline import Recall

Value = TypeVar("Value")
Result = TypeVar("Result")


def ask_in_order(
    ask: Callable[[Value, Recall], Result], values: Iterable[Value], in_flight: int
) -> Generator[Result, None, None]:
    """The answer about each value, in order. Args: ask: called on threads; the recall ends it. in_flight: at least 1."""
    recall = Recall()

    def discard(future: Future[Result]) -> None:
        recall.call()
        discard_future(future)

    with ThreadPoolExecutor(in_flight, thread_name_prefix="ask") as pool:
        try:
            yield from run_in_order(values, lambda value: pool.submit(ask, value, recall), Future.result, discard, in_flight)
        finally:
            recall.call()
