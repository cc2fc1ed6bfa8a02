"""What every protocol calls: find the version, put the call in its queue, wait for the answer, count it.

`InferenceService.infer` is the only way from a protocol to a model. It runs on the event loop and never blocks: opening,
decoding, inferring and encoding happen on other threads. A task that is cancelled, because its client hung up, takes its work
out of the queue.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from sightline.core.errors import Exhausted, QueueFull, SightlineError
from sightline.serving.inference.calls import Call, ServedFacts
from sightline.serving.scheduling.work import Executable, Work


class ServedVersion(Executable, Protocol):
    """An executable with what protocols must know of it."""

    @property
    def facts(self) -> ServedFacts:
        """Tensors, categories and where it runs."""

    def check(self, call: Call) -> int:
        """Rows of a call, checked against the graph. Raises: InvalidInput before anything is queued; decodes nothing."""


class Host(Protocol):
    """The opened models, by name and version; `repository.host.ModelHost` is one."""

    def acquire(self, name: str, version: str = "") -> ServedVersion:
        """The version that answers now, held open until `release`. Never waits.

        A version that is paged out is returned as well: paging in begins, and its work waits in the queue.

        Raises: NotFound for unknown names and versions; Exhausted while the first version is still loading or failed.
        """

    def release(self, served: ServedVersion) -> None:
        """Let go of an acquired version; an old one is closed when the last holder lets go."""


class Submitter(Protocol):
    """The queues; `scheduling.scheduler.Scheduler` is one."""

    def submit(self, work: Work) -> None:
        """Admit to the queue. Raises: QueueFull, an Exhausted, at once when the queue is full."""

    def check_room(self, executable: Executable, tenant: str = "", priority: int = 0) -> None:
        """Whether `submit` would find room for a Work of this tenant and priority (0: the default). Raises: QueueFull."""

    def cancel(self, work: Work) -> None:
        """Drop it if it still waits; it is never answered."""


Observer = Callable[[Work, ServedFacts], None]
ListServed = Callable[[], Set[tuple[str, int]]]  # names and versions that answer


class InferenceService:
    """Models behind queues.

    Args:
        host: finds versions.
        scheduler: holds the queues.
        observers: told of every finished, refused or cancelled Work, on the event loop; statistics and metrics are two.
    """

    def __init__(self, host: Host, scheduler: Submitter, observers: Sequence[Observer] = ()) -> None:
        self.host = host
        self.scheduler = scheduler
        self._observers = tuple(observers)

    def check_room(self, model: str, version: str = "", tenant: str = "", priority: int = 0) -> None:
        """Refuse a request that has not been read yet when its queue is full, so that a refusal costs little.

        Raises: QueueFull, of which observers are told as of any other; whatever else is wrong is for `infer` to say.
        """
        try:
            served = self.host.acquire(model, version)
        except SightlineError:
            return
        try:
            self.scheduler.check_room(served, tenant, priority)
        except QueueFull as error:
            work = Work(served, None, lambda _: None, tenant=tenant)
            work.error = error
            for observe in self._observers:
                observe(work, served.facts)
            work.error = None  # its traceback holds this frame, and so the work: no cycle of the two
            raise
        finally:
            self.host.release(served)

    @contextmanager
    def hold(self, model: str, version: str = "") -> Iterator[ServedVersion]:
        """The version that answers now, for several calls to it alone. Raises: as `Host.acquire`."""
        served = self.host.acquire(model, version)
        try:
            yield served
        finally:
            self.host.release(served)

    async def infer(self, call: Call, held: ServedVersion | None = None) -> Any:
        """Answer one call: what its `write_answer` returned.

        Args:
            held: the version that is to answer, of `hold`; None: the one that answers now.

        Raises: NotFound, InvalidInput, Exhausted (full queue, timeout), and whatever preparing or writing raised on purpose.
        """
        loop = asyncio.get_running_loop()
        with self.hold(call.model, call.version) if held is None else nullcontext(held) as served:
            answered: asyncio.Future[None] = loop.create_future()

            def wake(_: Work) -> None:
                loop.call_soon_threadsafe(_wake, answered)

            work = Work(
                served,
                call,
                wake,
                rows=served.check(call),
                tenant=call.tenant,
                priority=call.priority,
                timeout_s=call.timeout_s,
                hastens=call.hastens,
            )
            try:
                self.scheduler.submit(work)
                await answered
            except asyncio.CancelledError:
                work.is_cancelled = True
                self.scheduler.cancel(work)
                raise
            except Exhausted as error:
                work.error = error
            finally:
                work.claim_execution()
                for observe in self._observers:
                    observe(work, served.facts)
        if work.error is None:
            return work.result
        try:
            raise work.error
        finally:  # the error's traceback holds this frame, and so the work: a cycle of the two would keep the request's body
            work.error = None


def _wake(answered: "asyncio.Future[None]") -> None:
    if not answered.done():
        answered.set_result(None)
