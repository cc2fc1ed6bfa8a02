"""When requests are due: in a closed loop when the last answer came, in an open loop by the clock.

That one difference decides whether a stalled server is seen. A closed loop waits with it and sends less ("coordinated
omission"; Schroeder, Wierman, Harchol-Balter: Open Versus Closed, NSDI 2006); an open loop's requests keep coming due, and
each one's latency counts from the moment it was due.
"""

import heapq
import math
import random
from typing import Protocol


class Arrivals(Protocol):
    """Planned moments, in order, in seconds of the engine's clock."""

    next_at: float

    def take(self) -> float:
        """The next planned moment; what follows it becomes `next_at`."""

    def end_one(self, at: float) -> None:
        """A request has ended, and who sent it is free again at this moment."""


class ClosedLoop:
    """So many clients, each with one request at a time."""

    def __init__(self, clients: int, start: float) -> None:
        self._due = [start] * clients
        self.next_at = start

    def take(self) -> float:
        """See `Arrivals`."""
        taken = heapq.heappop(self._due)
        self.next_at = self._due[0] if self._due else math.inf
        return taken

    def end_one(self, at: float) -> None:
        """See `Arrivals`."""
        heapq.heappush(self._due, at)
        self.next_at = self._due[0]


class OpenLoop:
    """A Poisson process: independent gaps, exponentially distributed, of mean `1 / rate_per_s`, from a seed."""

    def __init__(self, rate_per_s: float, start: float, seed: int) -> None:
        self._rate = rate_per_s
        self._random = random.Random(seed)
        self.next_at = start + self._random.expovariate(rate_per_s)

    def take(self) -> float:
        """See `Arrivals`."""
        taken = self.next_at
        self.next_at = taken + self._random.expovariate(self._rate)
        return taken

    def end_one(self, at: float) -> None:
        """The clock decides alone."""
