"""Who runs next: what waits and runs on a Device as one plain state, without threads, locks or a clock of its own.

A slot is one core's worth of executions. The next to start is the model that has used least of the Device for its weight, in it
the tenant that has used least for its own, and of its works the one of the highest priority, then of the earliest deadline,
then the first to come.

Between users: inside a model tenants share by weight, and what a tenant uses in other models counts while it competes here, but
leaves it a tenth of its weight. Models come first, so a tenant alone in a model of its own may still have more than the others.

The express slot: while every slot is taken, `express_slots` more executions may begin, of the model next in line and only if
- it holds fewer slots than it is due by weight, or none at all, and
- even with this execution it will have used less than every other running model will have by the end of its own.
So a light model need not wait for the long executions of a flooded one, and no model gains more than its share by it.

Executions gather less while another model keeps up with its requests: only one or two of these find the express slot, the rest
would wait for the end of what the flooded model gathered.
"""

import heapq
import logging
from collections.abc import Mapping
from math import inf

import msgspec

from sightline.core.errors import InvalidInput, QueueFull
from sightline.serving.scheduling.fair_share import DeviceMeter, FairShares, Share
from sightline.serving.scheduling.queueing import ExecutableQueue, PlaceHeap, Taken
from sightline.serving.scheduling.work import Executable, Work

FIRST_ROW_S = 0.01  # estimate for a model that has never run
CALM_S = 0.05  # a request is alone only when none met another for so long: all threads cost half as much again as one
KEPT_UP_S = 5.0  # after a model left nothing waiting, the executions of others gather for so long
LONGEST_BESIDE_S = 0.03  # at most as much as is expected to take this time
LEARNING_RATE = 0.2  # of the estimate of a row's cost, from execution to execution

logger = logging.getLogger("sightline.serving")


class ModelShare(Share):
    """A model's share of the Device, for all its versions.

    Attributes:
        ready: its queues that could start now, one of each version.
        served_s: of the version that started last; one that begins to wait is moved up to it and so earns no credit.
        row_s: device seconds of a row, measured; None until it ran.
    """

    __slots__ = ("ready", "row_s", "served_s")

    def __init__(self, name: str, weight: float) -> None:
        super().__init__(name, weight)
        self.ready: list[ExecutableQueue] = []
        self.served_s = 0.0
        self.row_s: float | None = None

    @property
    def expected_row_s(self) -> float:
        """Device seconds of a row."""
        return FIRST_ROW_S if self.row_s is None else self.row_s

    def learn(self, row_s: float) -> None:
        """Take the measured cost of a row into the estimate."""
        self.row_s = row_s if self.row_s is None else self.row_s + LEARNING_RATE * (row_s - self.row_s)


class Batch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Works that one thread executes together.

    Attributes:
        works: all of one executable, at least one. alone: nothing else runs or waits.
        is_express: began although every slot was taken.
        queue, model, taken, charge, began_s, load, reading: the scheduler's, for `finish`.
    """

    works: tuple[Work, ...]
    alone: bool
    is_express: bool
    queue: ExecutableQueue
    model: ModelShare
    taken: list[Taken]
    charge: float
    began_s: float
    load: int
    reading: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What waits and runs at one moment.

    Attributes:
        waiting: requests by name of the model. running: executions by name of the model.
        express_started: executions that began on an express slot since the start.
    """

    waiting: dict[str, int]
    running: dict[str, int]
    express_started: int


class Dispatcher:
    """The queues of a Device, their order, and what runs. Not thread-safe; `now` never goes back from call to call.

    Args:
        slots: executions at a time.
        tenant_weights: by name of the tenant; others have 1.
        express_slots: executions beyond `slots`, see above.

    Attributes:
        arrivals: works that were admitted. waiting: works that wait.

    Raises: InvalidInput for weights and numbers of slots that cannot be.
    """

    def __init__(self, slots: int, tenant_weights: Mapping[str, float], express_slots: int) -> None:
        if slots < 1 or express_slots < 0:
            raise InvalidInput(f"expected at least 1 slot and 0 express slots, got {slots} and {express_slots}")
        self.slots = slots
        self.express_slots = express_slots
        self._tenant_weights: dict[str, float] = {}  # one object, which the queues look into
        self._tenant_used_s: dict[str, float] = {}
        self._shares: FairShares[ModelShare] = FairShares()
        self._models: dict[str, ModelShare] = {}
        self._queues: dict[int, ExecutableQueue] = {}  # by id of the executable; each has works that wait or run
        self.set_tenant_weights(tenant_weights)
        self._parked: dict[ExecutableQueue, None] = {}
        self._deadlines = PlaceHeap()
        self._ripening: list[tuple[float, int, ExecutableQueue]] = []
        self._meter = DeviceMeter(slots)
        self._ripenings = 0
        self.arrivals = 0
        self.waiting = 0
        self._running = 0
        self._express_started = 0
        self._kept_up_s: dict[ModelShare, float] = {}  # when an execution last took all that waited, latest at the end
        self._crowded_s = -inf  # when a request last met another

    def set_tenant_weights(self, weights: Mapping[str, float]) -> None:
        """From now on these; what was used keeps its old price. Raises: InvalidInput."""
        checked = {name: _check_weight(name, weight) for name, weight in weights.items()}
        self._tenant_weights.clear()
        self._tenant_weights.update(checked)
        for queue in self._queues.values():
            queue.reweigh()

    @property
    def has_slot(self) -> bool:
        """Whether an execution could begin, at least of some model."""
        return self._running < self.slots + self.express_slots

    @property
    def ripens_s(self) -> float:
        """When a model has gathered long enough for its next batch; inf when none does."""
        return self._ripening[0][0] if self._ripening else inf

    @property
    def alarm_s(self) -> float:
        """When `look_at_clock` must be called, if nothing happens before; inf if never."""
        late = self._deadlines.first()
        deadline_s = inf if late is None else late[0][0]
        return min(deadline_s, self.ripens_s) if self.has_slot else deadline_s

    def add(self, work: Work, now: float) -> None:
        """Let a Work wait. Raises: QueueFull."""
        queue = self._queues.get(id(work.executable))
        if queue is None:
            queue = self._open_queue(work.executable)
        self._check_room(queue, work.tenant, work.priority)
        if self._running or self.waiting:
            self._crowded_s = now
        self.arrivals += 1
        place = queue.push(work, now, self.arrivals)
        self.waiting += 1
        if work.deadline_s is not None:
            self._deadlines.push((work.deadline_s,), self.arrivals, place, self.waiting)
        if queue.is_parked and _is_resident(queue.executable):
            self._unpark(queue)
        self._update(queue, now)

    def check_room(self, executable: Executable, tenant: str, priority: int) -> None:
        """Whether one more Work of a tenant might wait for an executable. Args: priority: 0: the default. Raises: QueueFull."""
        queue = self._queues.get(id(executable))
        if queue is not None:
            self._check_room(queue, tenant, priority)

    def remove(self, work: Work, now: float) -> None:
        """Let a Work go, if it waits."""
        queue = self._queues.get(id(work.executable))
        if queue is not None and queue.remove(work):
            self.waiting -= 1
            self._update(queue, now)

    def list_works(self, executable: Executable | None = None) -> list[Work]:
        """What waits for an executable, or at all."""
        return [
            work
            for queue in self._queues.values()
            if executable is None or queue.executable is executable
            for work in queue.list_works()
        ]

    def wake(self, now: float) -> None:
        """Look again at those that were paged out."""
        for queue in list(self._parked):
            self._unpark(queue)
            self._update(queue, now)

    def look_at_clock(self, now: float) -> list[Work]:
        """Let start the queues in which somebody has waited long enough. Returns: works whose time is up; they wait no more."""
        expired = []
        while (late := self._deadlines.first()) is not None and late[0][0] <= now:
            self.remove(late[1], now)
            expired.append(late[1])
        while self._ripening and self._ripening[0][0] <= now:
            ripens_s, _, queue = heapq.heappop(self._ripening)
            if ripens_s == queue.ripens_s:  # else it was to be looked at sooner, and has been
                queue.ripens_s = None
            if queue.waiting:
                self._update(queue, now)
        return expired

    def start_next(self, now: float) -> Batch | None:
        """Begin the next execution; None when none may begin now."""
        batch = None
        while batch is None and (model := self.find_next()) is not None:
            batch = self._start(model, now)
        return batch

    def find_next(self, claimed: int = 0) -> ModelShare | None:
        """The model next in line, if a slot may be had. Args: claimed: slots that woken threads are about to take."""
        model = self._shares.first()
        if model is None:
            return None
        running = self._running + claimed
        if running < self.slots:
            return model
        if running >= self.slots + self.express_slots:
            return None
        queue = self._choose_queue(model)
        rows = queue.find_batch_rows(most_rows=self._count_soon_rows(model, queue))
        estimated_s = model.expected_row_s * min(queue.rows, rows)
        return model if self._shares.is_behind(model, estimated_s, self.slots) else None

    def finish(self, batch: Batch, busy_s: float, now: float) -> None:
        """An execution has ended, after so many seconds on the wall."""
        device_s = self._meter.stop(now, batch.load, batch.began_s, batch.reading, busy_s)
        queue, model = batch.queue, batch.model
        self._running -= 1
        queue.running -= 1
        self._shares.settle(model, batch.charge, device_s)
        queue.settle(batch.taken, device_s)
        inferred_rows = sum(work.rows for work in batch.works if work.execution is not None)
        if inferred_rows:  # what could not be decoded says nothing of what a row costs
            model.learn(device_s / inferred_rows)
        self._update(queue, now)

    def is_running(self, executable: Executable) -> bool:
        """Whether an execution of it runs."""
        queue = self._queues.get(id(executable))
        return queue is not None and queue.running > 0

    def list_depths(self) -> list[tuple[Executable, int]]:
        """Every executable that has a queue now, and the requests in it."""
        return [(queue.executable, queue.waiting) for queue in self._queues.values()]

    def snapshot(self) -> Snapshot:
        """What waits and runs now."""
        waiting: dict[str, int] = {}
        running: dict[str, int] = {}
        for queue in self._queues.values():
            name = queue.executable.name
            waiting[name] = waiting.get(name, 0) + queue.waiting
            running[name] = running.get(name, 0) + queue.running
        return Snapshot(waiting=waiting, running=running, express_started=self._express_started)

    def _open_queue(self, executable: Executable) -> ExecutableQueue:
        queue = ExecutableQueue(executable, self._tenant_weights, self._tenant_used_s)
        weight = _check_weight(executable.name, queue.settings.weight)
        model = self._models.get(executable.name)
        if model is None:
            model = self._models[executable.name] = ModelShare(executable.name, weight)
        elif model.weight != weight:
            self._shares.reweigh(model, weight)
        self._queues[id(executable)] = queue
        return queue

    def _check_room(self, queue: ExecutableQueue, tenant: str, priority: int) -> None:
        """Raise QueueFull for one work too many; works that a free slot is about to take do not count."""
        settings = queue.settings
        room = settings.max_waiting + (0 if settings.max_queue_delay_s else max(0, self._count_free(queue)))
        if queue.has_room(room, tenant, priority):
            return
        model = self._models[queue.executable.name]
        speed = self.slots * self._shares.entitle(model)  # device seconds per second
        if not (queue.waiting or queue.running):
            del self._queues[id(queue.executable)]
        raise QueueFull(
            f"the queue of {model.name} is full: {queue.waiting} requests wait, expected at most {settings.max_waiting}; "
            "send the request again in a moment",
            retry_after_s=max(0.01, queue.rows * model.expected_row_s / speed),
        )

    def _count_free(self, queue: ExecutableQueue) -> int:
        """Slots that works of a queue could have now; below 1 where there are none."""
        free, most = self.slots - self._running, queue.settings.most_running
        return min(free, most - queue.running) if most else free

    def _choose_queue(self, model: ModelShare) -> ExecutableQueue:
        """Of several versions of a model the one that was served least."""
        return model.ready[0] if len(model.ready) == 1 else min(model.ready, key=lambda queue: queue.served_s)

    def _start(self, model: ModelShare, now: float) -> Batch | None:
        """Begin an execution; None when there is none after all."""
        queue = self._choose_queue(model)
        if not _is_resident(queue.executable):
            queue.is_parked = True
            self._parked[queue] = None
            self._update(queue, now)
            return None
        before = queue.waiting
        taken = queue.take(model.expected_row_s, max(1, self._count_free(queue)), self._limit_rows(model, queue, now))
        self.waiting -= before - queue.waiting
        if not queue.waiting:
            self._kept_up_s.pop(model, None)
            self._kept_up_s[model] = now
        if not taken:
            self._update(queue, now)
            return None
        works = tuple(one.work for one in taken)
        estimated_s = model.expected_row_s * sum(work.rows for work in works)
        alone = not (self._running or self.waiting) and now - self._crowded_s >= CALM_S
        is_express = self._running >= self.slots
        load = self.slots if alone else min(self.slots, queue.settings.threads)
        batch = Batch(
            works=works,
            alone=alone,
            is_express=is_express,
            queue=queue,
            model=model,
            taken=taken,
            charge=self._shares.start(model, estimated_s),
            began_s=now,
            load=load,
            reading=self._meter.start(now, load),
        )
        model.served_s = queue.served_s
        queue.served_s += estimated_s
        queue.running += 1
        self._running += 1
        self._express_started += is_express
        self._update(queue, now)
        return batch

    def _limit_rows(self, model: ModelShare, queue: ExecutableQueue, now: float) -> int | None:
        """Rows that an execution may gather lest another model waits long for its end; None: any number."""
        kept_up_s = next((at_s for other, at_s in reversed(self._kept_up_s.items()) if other is not model), -inf)
        is_express = self._running >= self.slots
        if not is_express and (model.row_s is None or now - kept_up_s > KEPT_UP_S):
            return None
        return self._count_soon_rows(model, queue)

    def _count_soon_rows(self, model: ModelShare, queue: ExecutableQueue) -> int:
        """Rows that are expected to be done soon enough for whoever waits."""
        return int(LONGEST_BESIDE_S * min(self.slots, queue.settings.threads) / max(model.expected_row_s, 1e-6))

    def _update(self, queue: ExecutableQueue, now: float) -> None:
        """Put a queue where it belongs after whatever happened to it: ready, ripening, or gone."""
        ready = False
        if queue.waiting and not queue.is_parked and queue.may_run_more:
            ready_s = queue.find_ready_s()
            if ready_s > now:
                ready_s = min(ready_s, queue.find_last_start_s(self._models[queue.executable.name].expected_row_s))
            ready = ready_s <= now
            if not ready and (queue.ripens_s is None or ready_s < queue.ripens_s):
                queue.ripens_s = ready_s
                self._ripenings += 1
                heapq.heappush(self._ripening, (ready_s, self._ripenings, queue))
        if ready != queue.is_ready:
            self._set_ready(queue, ready)
        if not queue.waiting and not queue.running:
            self._unpark(queue)
            del self._queues[id(queue.executable)]

    def _set_ready(self, queue: ExecutableQueue, ready: bool) -> None:
        model = self._models[queue.executable.name]
        queue.is_ready = ready
        if ready:
            queue.served_s = max(queue.served_s, model.served_s)
            model.ready.append(queue)
            self._shares.offer(model)
        else:
            model.ready.remove(queue)
            if not model.ready:
                self._shares.withdraw(model)

    def _unpark(self, queue: ExecutableQueue) -> None:
        queue.is_parked = False
        self._parked.pop(queue, None)


def _is_resident(executable: Executable) -> bool:
    """Whether it could run now; one that cannot even say so is let run, and its execution tells the callers what is wrong."""
    try:
        return executable.is_resident
    except Exception:
        logger.exception("defect: %s could not say whether it is resident", executable.name)
        return True


def _check_weight(name: str, weight: float) -> float:
    if not 0 < weight < inf:
        raise InvalidInput(f"expected a weight above 0 for {name!r}, got {weight}")
    return weight
