"""Weighted fair shares of the Device's time: each share has a clock that runs slower the heavier it is; the earliest goes next.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996, §2) on several slots, in three rules:
- The start tag of a share is what it has used (device seconds / weight) plus what its running executions are estimated to use;
  at their end the measured time replaces the estimate. The waiting share with the smallest tag starts next.
- Virtual time is the usage of the share that started last. A share that begins to wait is put there if its tag is earlier:
  having been idle earns no credit.
- When nothing waits or runs, virtual time is the greatest usage of all: nobody begins the next busy period with a debt.
One class serves both levels, models on the Device and tenants in a model.
"""

import heapq
from itertools import count
from typing import Generic, TypeVar


class Share:
    """One claim on the Device's time.

    Attributes:
        name: of the model or tenant.
        weight: of its part of the time against the others that are active; above 0.
        used: what it has used, device seconds / weight, moved up to virtual time when it begins to wait.
        pending: estimate of its running executions, device seconds / weight.
        running: executions (of a tenant: works) in flight.
        stamp: number of its entry in the heap of waiting shares; 0 when nothing of it could start.
    """

    __slots__ = ("name", "pending", "running", "stamp", "used", "weight")

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.used = 0.0
        self.pending = 0.0
        self.running = 0
        self.stamp = 0

    @property
    def tag(self) -> float:
        """Start tag of its next execution."""
        return self.used + self.pending


S = TypeVar("S", bound=Share)


class FairShares(Generic[S]):
    """The shares of one device or one model. Not thread-safe; every method is O(log n) or better."""

    def __init__(self) -> None:
        self.now = 0.0  # virtual time
        self._most_used = 0.0
        self._heap: list[tuple[float, int, S]] = []  # tag, stamp, share; an entry with an old stamp is dead
        self._waiting = 0
        self._running: set[S] = set()
        self._active_weight = 0.0
        self._stamps = count(1)

    def offer(self, share: S) -> None:
        """Something of the share could start now; does nothing when that is known."""
        if share.stamp:
            return
        share.used = max(share.used, self.now - share.pending)
        self._waiting += 1
        if not share.running:
            self._active_weight += share.weight
        self._push(share)

    def withdraw(self, share: S) -> None:
        """Nothing of the share could start any more."""
        if share.stamp:
            share.stamp = 0
            self._waiting -= 1
            self._rest(share)

    def first(self) -> S | None:
        """The waiting share that starts next."""
        heap = self._heap
        while heap:
            _, stamp, share = heap[0]
            if share.stamp == stamp:
                return share
            heapq.heappop(heap)
        return None

    def start(self, share: S, estimated_s: float) -> float:
        """An execution of a waiting share begins. Returns: what was charged for it, for `settle`."""
        charge = estimated_s / share.weight
        self.now = max(self.now, share.used)
        share.pending += charge
        share.running += 1
        self._running.add(share)
        self._push(share)
        return charge

    def settle(self, share: S, charge: float, actual_s: float) -> None:
        """An execution has ended: the measured device seconds take the place of the charge."""
        share.running -= 1
        share.pending = share.pending - charge if share.running else 0.0  # no rounding errors pile up
        share.used += actual_s / share.weight
        self._most_used = max(self._most_used, share.used)
        if share.stamp:
            self._push(share)
        if not share.running:
            self._running.discard(share)
            self._rest(share)

    def charge(self, share: S, used_s: float) -> None:
        """Count device seconds that were used elsewhere."""
        share.used += used_s / share.weight
        if share.stamp:
            self._push(share)

    def reweigh(self, share: S, weight: float) -> None:
        """Change a weight from now on; what was used keeps its old price."""
        if share.stamp or share.running:
            self._active_weight += weight - share.weight
        share.weight = weight

    def entitle(self, share: S) -> float:
        """Part of the device time that an active share is due while the active ones stay the same, 0..1."""
        idle = not (share.stamp or share.running)
        return share.weight / (self._active_weight + (share.weight if idle else 0.0))

    def is_behind(self, share: S, estimated_s: float, slots: int) -> bool:
        """Whether a waiting share may begin an execution although `slots` of them are running.

        It may when it then holds no more than the slots it is due, or one, and when it will have used less after this
        execution than every other running share has by then.
        """
        if share.running + 1 > max(1.0, slots * self.entitle(share)):
            return False
        end = share.tag + estimated_s / share.weight
        return all(end < other.tag for other in self._running if other is not share)

    def _push(self, share: S) -> None:
        share.stamp = next(self._stamps)
        if len(self._heap) > 4 * self._waiting + 32:
            self._heap = [entry for entry in self._heap if entry[2].stamp == entry[1]]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (share.used + share.pending, share.stamp, share))

    def _rest(self, share: S) -> None:
        """Take an idle share out of the active ones."""
        if share.stamp or share.running:
            return
        self._active_weight -= share.weight
        if not (self._waiting or self._running):
            self._active_weight = 0.0
            self.now = max(self.now, self._most_used)


class DeviceMeter:
    """Core seconds of executions that share the cores, by their time on the wall.

    A slot is one core's worth. When more is loaded than there are slots, everything runs slower by that factor, and a second
    on the wall is less than a second of the Device; a lone execution with all threads uses every core.

    Args:
        slots: executions that the cores carry at full speed.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._load = 0
        self._progress_s = 0.0  # seconds that a slot at full speed would have needed
        self._read_s = 0.0

    def start(self, now: float, load: int) -> float:
        """Begin an execution of so many cores' worth. Returns: the reading for `stop`."""
        self._advance(now)
        self._load += load
        return self._progress_s

    def stop(self, now: float, load: int, began_s: float, reading: float, busy_s: float) -> float:
        """End an execution. Returns: core seconds of the `busy_s` that it took on the wall."""
        self._advance(now)
        self._load -= load
        elapsed_s = now - began_s
        speed = (self._progress_s - reading) / elapsed_s if elapsed_s > 0 else 1.0
        return busy_s * speed * load

    def _advance(self, now: float) -> None:
        if self._load:
            self._progress_s += (now - self._read_s) * min(1.0, self._slots / self._load)
        self._read_s = now
