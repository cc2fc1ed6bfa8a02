"""The queue of one executable: its works by tenant, priority and deadline, and when and how they gather to an execution.

Nothing is searched: removed works leave dead entries in the heaps, which drop out when they reach the top or outnumber the
living. A dead entry holds no Work, so nobody's pictures stay in memory for it.
"""

import heapq
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from math import inf

import msgspec

from sightline.serving.scheduling.fair_share import FairShares, Share
from sightline.serving.scheduling.work import Executable, Work

# A request is due so long after it came, or sooner if it says so: who is due sooner goes before it, but not for ever.
PATIENCE_S = 10.0
# Nobody is let wait for company up to the last moment: the thread that looks at the clock may wake so much later.
WAKING_S = 0.005
# What a tenant used in other queues makes a work here at most this much dearer: it keeps a tenth of its weight at least.
MOST_FOREIGN = 9.0


class Place:
    """A Work's place in its queue; `work` is None once it has left."""

    __slots__ = ("tenant", "work")

    def __init__(self, work: Work, tenant: "Tenant") -> None:
        self.work: Work | None = work
        self.tenant = tenant


class PlaceHeap:
    """Places ordered by a key and, when equal, by arrival; places that were left do not count."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[float, ...], int, Place]] = []

    def push(self, key: tuple[float, ...], number: int, place: Place, living: int) -> None:
        """Add a place. Args: number: of its arrival; living: places in here that were not left, or more."""
        if len(self._entries) > 2 * living + 32:
            self._entries = [entry for entry in self._entries if entry[2].work is not None]
            heapq.heapify(self._entries)
        heapq.heappush(self._entries, (key, number, place))

    def pop(self) -> None:
        """Throw away the first entry; after `first`, that of the place it returned."""
        heapq.heappop(self._entries)

    def first(self) -> tuple[tuple[float, ...], Work] | None:
        """Key and Work of the first place."""
        entries = self._entries
        while entries:
            key, _, place = entries[0]
            if place.work is not None:
                return key, place.work
            heapq.heappop(entries)
        return None


class Tenant(Share):
    """One tenant's works in a queue.

    Attributes:
        waiting: places in `places` that were not left. waiting_at: as many, by priority.
        seen_s: how much of the tenant's use of the whole Device is in its clock here, device seconds.
    """

    __slots__ = ("places", "seen_s", "waiting", "waiting_at")

    def __init__(self, name: str, weight: float, levels: int) -> None:
        super().__init__(name, weight)
        self.places = PlaceHeap()
        self.waiting = 0
        self.waiting_at = [0] * (levels + 1)
        self.seen_s = 0.0


class Taken(msgspec.Struct, frozen=True):
    """A Work that left the queue to be executed, and what its tenant was charged."""

    work: Work
    tenant: Tenant
    charge: float


class ExecutableQueue:
    """Works that wait for one executable. Not thread-safe.

    Args:
        executable: whose they are.
        tenant_weights: by name of the tenant; others have 1.
        used_s: device seconds by name of the tenant over all queues, shared with the other queues.

    Attributes:
        rows: of all that waits. running: executions in flight.
        served_s: estimated device seconds begun, for turns between versions of the same model.
        is_ready: it stands among those that may start. is_parked: found paged out, until the next wake.
        ripens_s: when the scheduler will look whether what waits has waited long enough; None: it need not.
    """

    def __init__(self, executable: Executable, tenant_weights: Mapping[str, float], used_s: MutableMapping[str, float]) -> None:
        self.executable = executable
        self.settings = executable.queue
        self.rows = 0
        self.running = 0
        self.served_s = 0.0
        self.is_ready = False
        self.is_parked = False
        self.ripens_s: float | None = None
        self._delay_s = self.settings.max_queue_delay_s if self.settings.max_batch > 1 else 0.0
        preferred = {rows for rows in self.settings.preferred_batches if 0 < rows <= self.settings.max_batch}
        self._preferred = sorted(preferred, reverse=True)
        self._gathering = sorted(rows for rows in self.settings.planned_batches if 1 < rows <= self.settings.max_batch)
        self._enough_rows = self._preferred[-1] if preferred else self.settings.max_batch
        self._tenant_weights = tenant_weights
        self._used_s = used_s
        self._waiting_at = [0] * (self.settings.priority_levels + 1)
        self._tenants: dict[str, Tenant] = {}
        self._shares: FairShares[Tenant] = FairShares()
        self._places: OrderedDict[Work, Place] = OrderedDict()  # in the order of arrival
        self._deadlines = PlaceHeap()  # only where works wait for company

    @property
    def waiting(self) -> int:
        """Works that wait."""
        return len(self._places)

    @property
    def may_run_more(self) -> bool:
        """Whether another execution would find what it runs on."""
        return not self.settings.most_running or self.running < self.settings.most_running

    def list_works(self) -> list[Work]:
        """What waits, in the order of arrival."""
        return list(self._places)

    def push(self, work: Work, now: float, number: int) -> Place:
        """Let a Work wait: its priority, deadline and time of arrival are set."""
        work.priority = self._choose_priority(work.priority)
        timeout_s = self._choose_timeout(work.timeout_s or None)
        work.deadline_s = None if timeout_s is None else now + timeout_s
        work.enqueued_s = now
        tenant = self._find_tenant(work.tenant)
        if not (tenant.waiting or tenant.running):
            tenant.seen_s = self._used_s.get(tenant.name, 0.0)
        place = self._places[work] = Place(work, tenant)
        self._count(work, tenant, 1)
        tenant.places.push((work.priority, now + self._choose_turn(work)), number, place, tenant.waiting)
        self._shares.offer(tenant)
        if self._delay_s and work.deadline_s is not None:
            self._deadlines.push((work.deadline_s,), number, place, len(self._places))
        return place

    def reweigh(self) -> None:
        """The weights of tenants have changed."""
        for tenant in self._tenants.values():
            self._shares.reweigh(tenant, self._tenant_weights.get(tenant.name, 1.0))

    def remove(self, work: Work) -> bool:
        """Let a Work leave; False when it does not wait here."""
        place = self._places.pop(work, None)
        if place is None:
            return False
        place.work = None
        tenant = place.tenant
        self._count(work, tenant, -1)
        if not tenant.waiting:
            self._shares.withdraw(tenant)
        return True

    def has_room(self, most: int, tenant_name: str, priority: int) -> bool:
        """Whether one more Work may wait.

        What goes behind it, being of a lower priority, takes no room from it. Nor may others take what is its tenant's part of
        the room by weight, one place at least: who has waiting less than that is let in although they have filled it.

        Args:
            most: works that may wait. priority: as the Work names it; 0: the default.
        """
        levels = slice(self._choose_priority(priority) + 1)
        if sum(self._waiting_at[levels]) < most:
            return True
        tenant = self._find_tenant(tenant_name)
        return sum(tenant.waiting_at[levels]) < max(min(most, 1), most * self._shares.entitle(tenant))

    def find_ready_s(self) -> float:
        """When the works that wait may start: -inf now, or once the oldest has waited long enough. There must be one."""
        if not self._delay_s or self.rows >= self._enough_rows:
            return -inf
        return next(iter(self._places)).enqueued_s + self._delay_s

    def find_last_start_s(self, row_s: float) -> float:
        """When the next deadline of those that wait for company lets none of them wait any longer; inf where none has one.

        Args:
            row_s: as in `take`.
        """
        urgent = self._deadlines.first()
        return inf if urgent is None else urgent[0][0] - row_s - WAKING_S

    def find_batch_rows(self, free_slots: int = 1, most_rows: int | None = None) -> int:
        """Rows that the next execution gathers, at most: the largest preferred batch that is there, or else all up to the most.

        Of an engine with planned batches it is the largest of those in what is left when every slot that is free, or runs works
        of this queue, has its part. The smallest above one is taken sooner, as long as each busy slot still finds one work when
        it ends: by then more will have come. Where works wait for company nothing is left for others: the company would have
        to come anew.

        Args:
            free_slots: that could execute, the one that asks among them.
            most_rows: to gather beyond one work, where neither preferred batches nor a delay were asked for; None: any number.
        """
        preferred = next((rows for rows in self._preferred if rows <= self.rows), None)
        if preferred is not None:
            return preferred
        if not self.settings.planned_batches:
            return self.settings.max_batch
        if not self._gathering:
            return 1
        most = self.rows if self._delay_s else self._count_part(free_slots)
        if most_rows is not None and not self._delay_s:
            most = min(most, most_rows)
        return max((rows for rows in self._gathering if rows <= most), default=1)

    def take(self, row_s: float, free_slots: int = 1, most_rows: int | None = None) -> list[Taken]:
        """The works of the next execution, in the order of shares, priorities and deadlines.

        The first is taken however large it is; then as many as fit, none is passed over. Empty when all were cancelled.

        Args:
            row_s: estimated device seconds of a row.
            free_slots, most_rows: as in `find_batch_rows`.
        """
        most = self.find_batch_rows(free_slots, most_rows)
        taken: list[Taken] = []
        rows = 0
        while rows < most and (tenant := self._shares.first()) is not None:
            first = tenant.places.first()
            assert first is not None
            work = first[1]
            if taken and rows + work.rows > most and not work.is_cancelled:
                break
            tenant.places.pop()
            if work.is_cancelled:
                self.remove(work)
                continue
            estimated_s = row_s * work.rows
            taken.append(Taken(work, tenant, self._shares.start(tenant, estimated_s)))
            self._charge_foreign(tenant, estimated_s)
            self.remove(work)
            rows += work.rows
        return taken

    def settle(self, taken: list[Taken], device_s: float) -> None:
        """Share out the device seconds of an execution that has ended among its tenants, by what each work took of it.

        A large picture takes longer to decode than a small one: nobody pays for the pictures of those it gathered with.
        """
        costs_s = [one.work.cost_s() for one in taken]
        if not any(costs_s):  # nothing was measured, or all were cancelled
            costs_s = [float(one.work.rows) for one in taken]
        of_all = device_s / sum(costs_s)
        for one, cost_s in zip(taken, costs_s, strict=True):
            tenant, used_s = one.tenant, of_all * cost_s
            self._shares.settle(tenant, one.charge, used_s)
            self._used_s[tenant.name] = self._used_s.get(tenant.name, 0.0) + used_s
            tenant.seen_s += used_s

    def _count_part(self, free_slots: int) -> int:
        """Rows of what waits that a slot may have when others want theirs."""
        of_free, of_all = -(-self.rows // free_slots), -(-self.rows // (free_slots + self.running))  # rounded up
        smallest = self._gathering[0]
        has_enough = self.rows >= smallest * free_slots + self.running
        return min(of_free, max(of_all, smallest)) if has_enough else of_all

    def _choose_timeout(self, wanted_s: float | None) -> float | None:
        default_s = self.settings.default_timeout_s
        if wanted_s is None or not self.settings.allow_timeout_override:
            return default_s
        return wanted_s if default_s is None else min(wanted_s, default_s)

    def _choose_priority(self, wanted: int) -> int:
        return wanted if 0 < wanted <= self.settings.priority_levels else self.settings.default_priority

    def _choose_turn(self, work: Work) -> float:
        """Seconds from its arrival at which a Work is due: by its own timeout, or else by the one that all here have."""
        timeout_s = self._choose_timeout((work.hastens and work.timeout_s) or None)
        return PATIENCE_S if timeout_s is None else min(timeout_s, PATIENCE_S)

    def _count(self, work: Work, tenant: Tenant, change: int) -> None:
        """One Work more, or with -1 one less, waits."""
        self.rows += change * work.rows
        self._waiting_at[work.priority] += change
        tenant.waiting += change
        tenant.waiting_at[work.priority] += change

    def _find_tenant(self, name: str) -> Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            weight = self._tenant_weights.get(name, 1.0)
            tenant = self._tenants[name] = Tenant(name, weight, self.settings.priority_levels)
        return tenant

    def _charge_foreign(self, tenant: Tenant, estimated_s: float) -> None:
        """Add to a tenant's clock what it used in other queues since that was last done here."""
        used_s = self._used_s.get(tenant.name, 0.0)
        foreign_s = used_s - tenant.seen_s
        if foreign_s > 1e-9:  # not a mere rounding error
            tenant.seen_s = used_s
            self._shares.charge(tenant, min(foreign_s, MOST_FOREIGN * estimated_s))
