"""What "fastest" means to a user: pictures a second, milliseconds for one, CPU time, or the most within a promised latency."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

Objective = Literal["throughput", "latency", "efficiency"]
SAME_SPEED = 0.03  # medians closer than this, or than the noise of the rounds, are equal
MOST_NOISE = 0.1  # however noisy the rounds were, a tenth more speed is not given away for CPU time


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of one candidate with one setting; medians over rounds.

    Attributes:
        candidate: its name.
        streams, threads: inferences in flight, and threads for each.
        batch: pictures in one inference.
        throughput: pictures a second with all streams busy.
        latency_ms: of one picture alone, milliseconds; only with one stream and one picture a batch.
        p99_ms: 99th percentile of the time of an inference with all streams busy and nothing waiting, milliseconds, over all
            rounds.
        p99_count: inferences it was read from.
        cpu_ms: processor time of one picture over all threads, milliseconds.
        throughput_range: slowest and fastest round.
        noise: median deviation of a round from the median of the rounds, as a part of it.
    """

    candidate: str
    streams: int
    threads: int
    batch: int = 1
    throughput: float
    latency_ms: float | None
    p99_ms: float | None = None
    p99_count: int = 0
    cpu_ms: float
    throughput_range: tuple[float, float]
    noise: float


class Goal(NamedTuple):
    """What a compilation is tuned for.

    Attributes:
        objective: "throughput"; "latency" of one picture alone; "efficiency": the least processor time a picture, which is what
            energy follows on a machine whose counters cannot be read.
        slo_ms: the 99th percentile of latency must stay below it; the objective then chooses among what does.
    """

    objective: Objective = "throughput"
    slo_ms: float | None = None

    def score(self, timing: Timing) -> float:
        """Higher is better; what breaks the promise scores below zero, the nearer to it the better."""
        if self.slo_ms is not None and not self.is_kept(timing):
            return -(timing.p99_ms or float("inf"))
        return SCORES[self.objective](timing)

    def is_kept(self, timing: Timing) -> bool:
        """Whether the promised latency is kept."""
        return self.slo_ms is None or (timing.p99_ms is not None and timing.p99_ms <= self.slo_ms)

    def can_judge(self, timing: Timing) -> bool:
        """Latency of one picture is only known with one stream and single pictures."""
        return self.objective != "latency" or timing.latency_ms is not None


def rank_timings(timings: Sequence[Timing], goal: Goal) -> list[Timing]:
    """The best setting of each candidate, best candidate first; equals within the noise are ordered by CPU time."""
    rest = [timing for timing in timings if goal.can_judge(timing)]
    ranked: list[Timing] = []
    while rest:
        best = _pick_best(rest, goal)
        ranked.append(best)
        rest = [timing for timing in rest if timing.candidate != best.candidate]
    return ranked


def _pick_best(timings: Sequence[Timing], goal: Goal) -> Timing:
    top = max(timings, key=goal.score)
    best = goal.score(top)
    if best <= 0:
        return top
    least = best * (1 - min(max(SAME_SPEED, top.noise), MOST_NOISE))
    return min((timing for timing in timings if goal.score(timing) >= least), key=lambda timing: timing.cpu_ms)


SCORES: dict[str, Callable[[Timing], float]] = {
    "throughput": lambda timing: timing.throughput,
    "latency": lambda timing: 1e3 / (timing.latency_ms or float("inf")),
    "efficiency": lambda timing: 1e3 / max(timing.cpu_ms, 1e-9),
}
