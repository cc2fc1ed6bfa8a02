"""A Device that is simulated: a clock that stands still between events, and executions that share its cores.

The simulation knows nothing of queues or shares. It gives the real Scheduler arrivals and ends of executions at their times
and writes down when each Work was answered.
"""

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from math import inf

from sightline.core.errors import QueueFull
from sightline.serving.scheduling.dispatch import Batch
from sightline.serving.scheduling.scheduler import Scheduler
from sightline.serving.scheduling.work import QueueSettings, Work, share_execution


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeExecutable:
    """A model whose execution costs `row_s` core seconds a row, or whatever `row_s` returns at each execution."""

    def __init__(self, name: str, row_s: float | Callable[[], float] = 0.01, **settings: object) -> None:
        self.name = name
        self.queue = QueueSettings(**settings)  # type: ignore[arg-type]
        self.is_resident = True
        self.row_s = row_s

    def cost_s(self, rows: int) -> float:
        return rows * (self.row_s() if callable(self.row_s) else self.row_s)


class Execution:
    """A batch that runs; `left_s` core seconds are still to do, `load` cores at most work on it."""

    def __init__(self, batch: Batch, began_s: float, slots: int) -> None:
        self.batch = batch
        self.began_s = began_s
        self.executable: FakeExecutable = batch.works[0].executable  # type: ignore[assignment]
        self.left_s = self.cost_s = self.executable.cost_s(sum(work.rows for work in batch.works))
        self.load = slots if batch.alone else min(slots, self.executable.queue.threads)


class Simulation:
    """Cores, slots and callers around a Scheduler."""

    def __init__(self, slots: int = 2, express_slots: int = 1, tenant_weights: Mapping[str, float] | None = None) -> None:
        self.clock = Clock()
        self.slots = slots
        self.scheduler = Scheduler(slots, self.clock, tenant_weights or {}, express_slots)
        self.running: list[Execution] = []
        self.answers: list[tuple[Work, float]] = []  # and when, in the order of the answers
        self.batches: list[Batch] = []
        self.used_s: dict[tuple[str, str], float] = {}  # core seconds by model and tenant
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def at(self, time_s: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._events, (time_s, next(self._numbers), action))

    def send(
        self,
        executable: FakeExecutable,
        then: Callable[[], object] = lambda: None,
        *,
        rows: int = 1,
        tenant: str = "",
        priority: int = 0,
        timeout_s: float | None = None,
        hastens: bool = True,
    ) -> Work:
        """Submit now; `then` is called when it is answered."""

        def note(work: Work) -> None:
            self.answers.append((work, self.clock.now))
            then()

        named = {"tenant": tenant, "priority": priority, "timeout_s": timeout_s, "hastens": hastens}
        work = Work(executable, None, note, rows=rows, **named)  # type: ignore[arg-type]
        self.scheduler.submit(work)
        return work

    def flood(self, executable: FakeExecutable, clients: int, tenant: str = "") -> None:
        """Clients that each send the next request the moment the last one is answered, for ever."""

        def again() -> None:
            self.send(executable, again, tenant=tenant)

        for _ in range(clients):
            again()

    def trickle(self, executable: FakeExecutable, every_s: float, until_s: float, tenant: str = "") -> list[Work]:
        """One request at each tick; the works appear in the list as they are sent."""
        works: list[Work] = []

        def one() -> None:
            works.append(self.send(executable, tenant=tenant))
            if self.clock.now + every_s < until_s:
                self.at(self.clock.now + every_s, one)

        self.at(self.clock.now + every_s, one)
        return works

    def latencies(self, works: list[Work]) -> list[float]:
        """Seconds from arrival to answer of those that were answered, in ascending order."""
        answered = dict(self.answers)
        return sorted(answered[work] - work.enqueued_s for work in works if work in answered)

    def model_s(self, name: str) -> float:
        return sum(used for (model, _), used in self.used_s.items() if model == name)

    def tenant_s(self, name: str) -> float:
        return sum(used for (_, tenant), used in self.used_s.items() if tenant == name)

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while True:
            alarm_s = self.scheduler.tick()
            while (batch := self.scheduler.try_take()) is not None:
                self.batches.append(batch)
                self.running.append(Execution(batch, self.clock.now, self.slots))
            speed = min(1.0, self.slots / max(1, sum(one.load for one in self.running)))
            ends = [self.clock.now + one.left_s / (speed * one.load) for one in self.running]
            next_s = min([alarm_s, *ends, self._events[0][0] if self._events else inf])
            if next_s > until_s:
                self._advance(until_s, speed)
                return
            self._advance(next_s, speed)
            for one in [one for one, end_s in zip(self.running, ends, strict=True) if end_s <= next_s]:
                self._end(one)
            while self._events and self._events[0][0] <= self.clock.now:
                heapq.heappop(self._events)[2]()

    def _advance(self, time_s: float, speed: float) -> None:
        for one in self.running:
            one.left_s -= (time_s - self.clock.now) * speed * one.load
        self.clock.now = time_s

    def _end(self, one: Execution) -> None:
        self.running.remove(one)
        rows = sum(work.rows for work in one.batch.works)
        for work in one.batch.works:
            key = (one.executable.name, work.tenant)
            self.used_s[key] = self.used_s.get(key, 0.0) + one.cost_s * work.rows / rows
        share_execution(one.batch.works, one.cost_s)
        for work in one.batch.works:
            work.finish("done")
        self.scheduler.finish(one.batch, self.clock.now - one.began_s)


def try_send(simulation: Simulation, executable: FakeExecutable, *, tenant: str = "", priority: int = 0) -> QueueFull | None:
    """Send a request; the refusal, if there is one."""
    try:
        simulation.send(executable, tenant=tenant, priority=priority)
    except QueueFull as error:
        return error
    return None


def make_work(executable: FakeExecutable, **settings: object) -> Work:
    return Work(executable, None, lambda work: None, **settings)  # type: ignore[arg-type]


def take_works(scheduler: Scheduler) -> list[Work]:
    batch = scheduler.try_take()
    return [] if batch is None else list(batch.works)


def end(scheduler: Scheduler, batch: Batch, busy_s: float) -> None:
    """End a batch whose works were all inferred."""
    share_execution(batch.works, busy_s)
    scheduler.finish(batch, busy_s)


def block(scheduler: Scheduler) -> list[Batch]:
    """Occupy every slot."""
    batches = []
    for _ in range(scheduler.slots):
        scheduler.submit(make_work(FakeExecutable("blocker", weight=1e-6)))
        batch = scheduler.try_take()
        assert batch is not None
        batches.append(batch)
    return batches


def drain(scheduler: Scheduler, batch: Batch) -> list[Work]:
    """End a batch, then execute whatever waits, one batch after the other; the works in that order."""
    works: list[Work] = []
    end(scheduler, batch, 0.01)
    while (batch_or_none := scheduler.try_take()) is not None:
        works += batch_or_none.works
        end(scheduler, batch_or_none, 0.01)
    return works
