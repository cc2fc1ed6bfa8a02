"""The processes that share each batch of a training, as its loop sees them; they are numbered, and 0 decides.

Each process computes the gradient of its part of every batch, and all step by the mean. After each step all that a checkpoint
holds is the same in all of them: weights and averages, because the gradients and the statistics of norms were; times, the wish
to stop and metrics, because everybody takes those of process 0. So all take the same way through the loop, process 0 alone
validates and writes, and its checkpoint is that of all.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from torch import Tensor, nn

Found = TypeVar("Found", bound=msgspec.Struct)
Clock = Callable[[], float]


class Ranks(Protocol):
    """One process among those that share each batch.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
    """

    rank: int
    count: int

    def average(self, network: nn.Module, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make gradients and statistics of norms the means of all processes. Returns: those of the loss's parts."""

    def watch(self, wall_clock: Clock, cpu_clock: Clock) -> tuple[Clock, Clock]:
        """Clocks that show the same in all processes: the wall clock of process 0, and the CPU time of all together."""

    def look(self, stop: bool = False) -> bool:
        """Let those clocks go on to now. Returns: whether process 0 called this with `stop`."""

    def hear(self, find: Callable[[], Found], kind: type[Found]) -> Found:
        """What `find` gives in process 0, which alone calls it."""

    def share(self, content: bytes) -> bytes:
        """The content of process 0."""


class Alone:
    """The one process of a training that no other shares."""

    rank, count = 0, 1

    def average(self, network: nn.Module, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Ranks`."""
        return parts

    def watch(self, wall_clock: Clock, cpu_clock: Clock) -> tuple[Clock, Clock]:
        """See `Ranks`: its own clocks, which need no one to let them go on."""
        return wall_clock, cpu_clock

    def look(self, stop: bool = False) -> bool:
        """See `Ranks`."""
        return stop

    def hear(self, find: Callable[[], Found], kind: type[Found]) -> Found:
        """See `Ranks`."""
        return find()

    def share(self, content: bytes) -> bytes:
        """See `Ranks`."""
        return content


def find_part(ranks: Ranks, batch_size: int) -> range:
    """Positions in a batch that a process makes; the recipe sees to it that all have as many."""
    size = batch_size // ranks.count
    return range(ranks.rank * size, (ranks.rank + 1) * size)
