"""What stands in a queue: a Work, one request to one version of a model, from its admission to its answer.

The scheduler sees only what is in here. It never looks into `payload`, which belongs to the model that executes it.
"""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from sightline.core.errors import SightlineError

logger = logging.getLogger("sightline.serving")


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the requests of one model wait, gather and are shared out.

    Attributes:
        max_batch: rows of one execution at most. Requests are never split; a larger one runs alone.
        preferred_batches: an execution begins at once when one of these row counts is waiting, largest first.
        planned_batches: row counts that the engine is prepared for, 1 among them; others would be cut into these and gain
            nothing by being executed together. Empty: any.
        max_queue_delay_s: how long the oldest request may wait for others while a slot is free; 0 never waits.
        max_waiting: requests in the queue; the next one is refused.
        priority_levels: 1 (highest) .. this; a lower number is always taken before a higher one of the same model and user.
        default_priority: of requests that name none.
        default_timeout_s: a request that is still waiting then is refused; None: it waits for ever.
        allow_timeout_override: whether a request may name its own timeout.
        weight: of this model's share of the Device against the other models that have work.
        most_running: executions at a time; more would only hold slots and wait for each other. 0: any number.
        threads: that an execution uses; it counts as the load of so many slots.
    """

    max_batch: int = 1
    preferred_batches: tuple[int, ...] = ()
    planned_batches: tuple[int, ...] = ()
    max_queue_delay_s: float = 0.0
    max_waiting: int = 128
    priority_levels: int = 1
    default_priority: int = 1
    default_timeout_s: float | None = None
    allow_timeout_override: bool = True
    weight: float = 1.0
    most_running: int = 0
    threads: int = 1


class Executable(Protocol):
    """What the scheduler's threads run: a model's version, or a pipeline of several.

    Attributes:
        name: whose share of the Device it uses; all versions of a model have the same.
    """

    name: str

    @property
    def queue(self) -> QueueSettings:
        """How its requests wait."""

    @property
    def is_resident(self) -> bool:
        """Whether it could run now; work for one that is paged out waits without holding a slot."""

    def execute(self, works: Sequence["Work"], alone: bool) -> None:
        """Run one batch in the calling thread, giving each Work its `result` or `error`; raises nothing.

        Args:
            works: at least one, all of this executable.
            alone: nothing else runs or waits on the Device, nor did a moment ago, so all its threads may be used.
        """


class Execution:
    """One inference, shared by one or more works. Attributes: rows: that were inferred. is_counted: at one of them."""

    __slots__ = ("is_counted", "rows")

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.is_counted = False


class Work:
    """One request in a queue.

    Attributes:
        executable: the version it was admitted to; that version stays open until the Work is done.
        payload: what the executable needs; the scheduler never reads it.
        rows: pictures or batch rows in it.
        tenant: whose share it uses within the model's: the name of an API key; "" for callers without one.
        priority: 1 is the highest; 0 takes the model's default.
        timeout_s: the longest wait in the queue; None takes the model's default.
        hastens: whether a timeout of its own also brings it forward among the works of its tenant and priority.
        on_done: called once, from any thread, after `result` or `error` is set. Never called for a cancelled Work.
        result, error: what came of it.
        execution: what it was inferred with; None until then. leads_execution: whether that execution is counted at this Work.
        enqueued_s, started_s, finished_s: on the monotonic clock; 0.0 until reached.
        input_s, infer_s, output_s: how long its own pictures were prepared, the inference took that it shared, and its own
            answer was written; 0.0 until known, and as far as it came where it failed. What it waits for others of its batch is
            in none of them.
        is_cancelled: the caller has gone; whoever holds the Work drops it at the next chance.
    """

    __slots__ = (
        "deadline_s", "enqueued_s", "error", "executable", "execution", "finished_s", "hastens", "infer_s", "input_s",
        "is_cancelled", "leads_execution", "on_done", "output_s", "payload", "priority", "result", "rows", "started_s",
        "tenant", "timeout_s",
    )  # fmt: skip

    def __init__(
        self,
        executable: Executable,
        payload: Any,
        on_done: Callable[["Work"], None],
        *,
        rows: int = 1,
        tenant: str = "",
        priority: int = 0,
        timeout_s: float | None = None,
        hastens: bool = True,
    ) -> None:
        self.executable = executable
        self.payload = payload
        self.on_done = on_done
        self.rows = rows
        self.tenant = tenant
        self.priority = priority
        self.timeout_s = timeout_s
        self.hastens = hastens
        self.deadline_s: float | None = None  # set when it enters the queue
        self.result: Any = None
        self.error: Exception | None = None  # no SightlineError: a defect of ours
        self.enqueued_s = self.started_s = self.finished_s = 0.0
        self.input_s = self.infer_s = self.output_s = 0.0
        self.execution: Execution | None = None
        self.leads_execution = False
        self.is_cancelled = False

    def cost_s(self) -> float:
        """What it took of its execution: its own pictures and answer, and its rows' part of what was inferred together."""
        part = 1.0 if self.execution is None else self.rows / self.execution.rows
        return self.input_s + self.infer_s * part + self.output_s

    def claim_execution(self) -> None:
        """Lead the execution unless another Work of it does; on the event loop, when the Work has ended.

        Not before: the first Work of a batch may fail, or its caller may have gone, before anything was inferred.
        """
        if self.execution is not None and not self.execution.is_counted:
            self.execution.is_counted = self.leads_execution = True

    def finish(self, result: Any = None, error: Exception | None = None) -> None:
        """Set what came of it and tell the caller, unless the caller has gone."""
        self.result, self.error = result, error
        self.finished_s = time.monotonic()
        if not self.is_cancelled:
            self.on_done(self)


class Laps:
    """Cuts the time of a batch into laps without gaps, each from the end of the one before. Args: began_s: of the first."""

    __slots__ = ("_ended_s",)

    def __init__(self, began_s: float) -> None:
        self._ended_s = began_s

    def end(self) -> float:
        """End a lap. Returns: its seconds."""
        before_s, self._ended_s = self._ended_s, time.monotonic()
        return self._ended_s - before_s


def fail_works(works: Sequence[Work], error: Exception) -> None:
    """Finish works with what was raised on their way, each with an error of its own: whoever raises one writes into it.

    A SightlineError is for the callers. All else is a defect of ours: the log has it, and the callers learn that there is one.
    """
    name = works[0].executable.name
    is_defect = not isinstance(error, SightlineError)
    if is_defect:
        logger.error("defect: %s failed on %d of the requests of an execution", name, len(works), exc_info=error)
    for work in works:
        work.finish(error=RuntimeError(f"{name} failed on a request; the log says why") if is_defect else copy.copy(error))


def share_execution(works: Sequence[Work], infer_s: float) -> None:
    """Say of works that they were inferred together, and how long that took."""
    execution = Execution(sum(work.rows for work in works))
    for work in works:
        work.infer_s, work.execution = infer_s, execution
