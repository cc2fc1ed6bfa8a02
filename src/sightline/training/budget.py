"""How long to train: minutes, CPU-seconds, epochs or iterations, all read as progress in 0..1.

Schedules take progress, never steps or seconds, so every kind of budget shares one code path and a slow machine still ends its
cosine. Epochs and iterations depend on steps only: a resumed run repeats an uninterrupted one bit by bit. Minutes and
CPU-seconds depend on the clock: a resumed run continues its budget, but takes other steps than an uninterrupted one would have
taken.
"""

import math
import re
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from sightline.core.errors import InvalidInput

PACE_STEPS = 64  # last ones whose mean length is the pace: batches of many processes come in bursts

BudgetKind = Literal["wall", "cpu", "epochs", "iterations"]
# Unit as typed -> kind, and seconds (or steps, epochs) in one of it.
UNITS: dict[str, tuple[BudgetKind, float]] = {
    "s": ("wall", 1.0),
    "min": ("wall", 60.0),
    "h": ("wall", 3600.0),
    "cpu-s": ("cpu", 1.0),
    "cpu-min": ("cpu", 60.0),
    "cpu-h": ("cpu", 3600.0),
    "epoch": ("epochs", 1.0),
    "epochs": ("epochs", 1.0),
    "it": ("iterations", 1.0),
}
PATTERN = re.compile(r"(?P<amount>\d+(\.\d+)?)\s*(?P<unit>[a-z-]+)")


class Budget(msgspec.Struct, frozen=True):
    """An amount of training.

    Attributes:
        kind: what is counted: wall-clock seconds, CPU-seconds of the process, epochs or iterations (optimiser steps).
        amount: how many of them, > 0.
    """

    kind: BudgetKind
    amount: float

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read "10min", "90s", "2h", "360cpu-s", "30epochs" or "4000it". Raises: InvalidInput."""
        match = PATTERN.fullmatch(text.strip().lower())
        if match is None or match["unit"] not in UNITS or not 0 < float(match["amount"]) < math.inf:
            raise InvalidInput(
                f"expected a budget such as 10min, 360cpu-s, 30epochs or 4000it, got {text!r}; name an amount and a unit"
            )
        kind, factor = UNITS[match["unit"]]
        return cls(kind, float(match["amount"]) * factor)

    def total_steps(self, items: int, batch_size: int) -> int | None:
        """Optimiser steps of an epoch or iteration budget, at least 1; None when the clock decides."""
        if self.kind == "iterations":
            return max(1, math.ceil(self.amount))
        if self.kind == "epochs":
            return max(1, math.ceil(self.amount * items / batch_size))
        return None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a training has used so far, over all its resumed parts: a checkpoint keeps it."""

    steps: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


class BudgetMeter:
    """Measures what is spent and turns it into progress.

    Args:
        budget: what may be spent.
        items, batch_size: of the training split, to turn epochs into steps.
        wall_clock, cpu_clock: return seconds; passed in so that tests need not wait.
        spent: of the run that is resumed.
    """

    def __init__(
        self,
        budget: Budget,
        items: int,
        batch_size: int,
        wall_clock: Callable[[], float],
        cpu_clock: Callable[[], float],
        spent: Spent | None = None,
    ) -> None:
        self.budget = budget
        self.total_steps = budget.total_steps(items, batch_size)
        self._wall_clock, self._cpu_clock = wall_clock, cpu_clock
        self._before = spent or Spent()
        self._wall_start, self._cpu_start = wall_clock(), cpu_clock()
        self.steps = self._before.steps
        self._amounts: deque[float] = deque(maxlen=PACE_STEPS)  # spent after each of the last steps

    def count_step(self) -> None:
        """One more optimiser step was taken."""
        self.steps += 1
        self._amounts.append(self._amount())

    def spent(self) -> Spent:
        """All that was used until now."""
        return Spent(
            steps=self.steps,
            wall_s=self._before.wall_s + self._wall_clock() - self._wall_start,
            cpu_s=self._before.cpu_s + self._cpu_clock() - self._cpu_start,
        )

    def progress(self, steps: int | None = None) -> float:
        """Share of the budget that is used, 0..1; or will be after `steps` steps, at the present pace where time decides."""
        if self.total_steps is not None:
            return min(1.0, (self.steps if steps is None else steps) / self.total_steps)
        later = 0.0 if steps is None else (steps - self.steps) * self._pace()
        return min(1.0, (self._amount() + later) / self.budget.amount)

    def _pace(self) -> float:
        """Seconds of a step lately; the run's first, which loads libraries, tells nothing."""
        known = len(self._amounts) - 1
        return (self._amounts[-1] - self._amounts[0]) / known if known > 0 else 0.0

    def _amount(self) -> float:
        """Seconds that are spent of a budget of time."""
        spent = self.spent()
        return spent.wall_s if self.budget.kind == "wall" else spent.cpu_s

    def remaining_s(self) -> float | None:
        """Estimated wall-clock seconds left at the present pace; None before the first step."""
        progress = self.progress()
        return self.spent().wall_s * (1 - progress) / progress if progress > 0 else None
