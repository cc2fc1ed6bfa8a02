"""Fair timing: warm up first, take the points in turn, and say how the samples scatter.

A machine drifts (heat, neighbours), so points that are to be compared are not measured one after the other but in many short
rounds of all of them; each round has its own seeded order, and the median over rounds stands for the point.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from sightline.bench.records import Spread
from sightline.core.errors import InvalidInput

Key = TypeVar("Key")
MAX_SAMPLES_KEPT = 2000


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """One measured stretch of work: `units` done in `wall_s` seconds, `cpu_s` CPU seconds of all threads of this process."""

    units: int
    wall_s: float
    cpu_s: float


class Stopwatch:
    """Wall and CPU seconds since its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def wall_s(self) -> float:
        """Wall seconds so far."""
        return time.perf_counter() - self._wall

    def read(self, units: int) -> Stretch:
        """The stretch so far, with `units` done."""
        return Stretch(units=units, wall_s=self.wall_s, cpu_s=time.process_time() - self._cpu)


def measure_in_turn(
    points: Sequence[Key], measure: Callable[[Key], Stretch], rounds: int, rng: np.random.Generator
) -> dict[Key, list[Stretch]]:
    """Measure every point once per round, each round in an order of its own.

    Args:
        points: hashable names of the points.
        measure: one short measurement of one point, already warm.
        rounds: at least 1.
        rng: draws the orders.

    Returns: `rounds` stretches for each point, in the order they were taken.

    Raises: InvalidInput for less than one round.
    """
    if rounds < 1:
        raise InvalidInput(f"expected at least 1 round, got {rounds}; ask for 3 or more to see the spread")
    stretches: dict[Key, list[Stretch]] = {point: [] for point in points}
    for _ in range(rounds):
        for index in rng.permutation(len(points)):
            stretches[points[index]].append(measure(points[index]))
    return stretches


def compute_spread(samples: Sequence[float]) -> Spread:
    """Mean, standard deviation (n - 1) and percentiles, linearly interpolated. Raises: InvalidInput without samples."""
    if not len(samples):
        raise InvalidInput("expected at least one sample to summarise, got none; measure longer")
    values = np.asarray(samples, np.float64)
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return Spread(
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        minimum=float(values.min()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        maximum=float(values.max()),
    )


def thin_samples(samples: Sequence[float], limit: int = MAX_SAMPLES_KEPT) -> tuple[float, ...]:
    """At most `limit` of the samples, evenly spaced in time, rounded to 4 digits after the point."""
    keep = range(len(samples)) if len(samples) <= limit else np.linspace(0, len(samples) - 1, limit).astype(int)
    return tuple(round(float(samples[index]), 4) for index in keep)
