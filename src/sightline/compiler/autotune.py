"""Which candidate is fastest here, with how many streams and threads: by timing each on real inputs.

A machine is never quiet, so candidates are timed in short turns, round after round, and judged by the median of their rounds:
what disturbs one round disturbs all. Two that differ by less than the noise are told apart by the CPU time they burn.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, Self

import msgspec
import numpy as np

from sightline.compiler.candidates import Candidate
from sightline.runtime.backend import Session, Tensors

Objective = Literal["throughput", "latency"]
ROUNDS = 5
WARM_UPS = 3
SAME_SPEED = 0.03  # medians closer than this, or than the noise of the rounds, are equal
MOST_OPEN_BYTES = 1 << 30  # graph files whose sessions may be open at once; beyond it each is opened again every round


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of one candidate with one setting; medians over rounds.

    Attributes:
        candidate: its name.
        streams, threads: inferences in flight, and threads for each.
        throughput: pictures a second with all streams busy.
        latency_ms: of one picture alone, milliseconds; only with one stream.
        cpu_ms: processor time of one picture over all threads, milliseconds.
        throughput_range: slowest and fastest round.
        noise: median deviation of a round from the median of the rounds, as a part of it.
    """

    candidate: str
    streams: int
    threads: int
    throughput: float
    latency_ms: float | None
    cpu_ms: float
    throughput_range: tuple[float, float]
    noise: float


@dataclass
class _Turns:
    """Measurements of one (candidate, setting) so far."""

    throughputs: list[float]
    latencies_ms: list[float]
    cpu_ms: list[float]


def choose_settings(cores: int | None = None) -> list[tuple[int, int]]:
    """(streams, threads for each) worth trying: all threads on one picture, a picture a core, and in between on many cores."""
    cores = cores or len(os.sched_getaffinity(0))
    settings = [(1, cores), (cores, 1)] + ([(cores // 2, 2)] if cores >= 4 else [])
    return list(dict.fromkeys(settings))


def time_candidates(
    candidates: Sequence[Candidate],
    input_name: str,
    samples: Sequence[np.ndarray],
    settings: Sequence[tuple[int, int]],
    seconds: float,
    on_turn: Callable[[float], None] = lambda progress: None,
) -> list[Timing]:
    """Time every candidate with every setting.

    Args:
        samples: prepared inputs `(1, ...)` of real pictures; used in turn.
        settings: (streams, threads) pairs.
        seconds: in all for one candidate with one setting.
        on_turn: told the progress 0..1 after each turn.
    """
    pairs = [(candidate, streams, threads) for candidate in candidates for streams, threads in settings]
    turns = [_Turns([], [], []) for _ in pairs]
    size_bytes = sum(candidate.size_bytes for candidate, _, _ in pairs)
    with OpenSessions(size_bytes, lambda index: _open_warm(*pairs[index], input_name, samples)) as sessions:
        for step, (_, index) in enumerate(itertools.product(range(ROUNDS), range(len(pairs))), start=1):
            with sessions.use(index) as session:
                _take_turn(session, turns[index], pairs[index][1], input_name, samples, seconds / ROUNDS)
            on_turn(step / (ROUNDS * len(pairs)))
    return [_sum_up(pair, turn) for pair, turn in zip(pairs, turns, strict=True)]


class OpenSessions:
    """Sessions that take turns: kept open while their files are small together, else opened anew for each turn.

    Args:
        size_bytes: of the files of all sessions; an engine needs about as much memory, and more.
        open_session: opens and warms up the session of a place.
    """

    def __init__(self, size_bytes: int, open_session: Callable[[int], Session]) -> None:
        self._keep = size_bytes <= MOST_OPEN_BYTES
        self._open_session = open_session
        self._opened: dict[int, Session] = {}

    @contextmanager
    def use(self, place: int) -> Iterator[Session]:
        """The session of a place, for one turn."""
        if not self._keep:
            with closing(self._open_session(place)) as session:
                yield session
            return
        if place not in self._opened:
            self._opened[place] = self._open_session(place)
        yield self._opened[place]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._opened.values():
            session.close()


def _open_warm(candidate: Candidate, streams: int, threads: int, input_name: str, samples: Sequence[np.ndarray]) -> Session:
    session = candidate.open(streams, threads)
    for sample in itertools.islice(itertools.cycle(samples), WARM_UPS * streams):
        session.infer({input_name: sample})
    return session


def _take_turn(
    session: Session, turns: _Turns, streams: int, input_name: str, samples: Sequence[np.ndarray], seconds: float
) -> None:
    window = seconds if streams > 1 else seconds / 2
    throughput, cpu_ms = measure_stream(session, input_name, samples, window)
    turns.throughputs.append(throughput)
    turns.cpu_ms.append(cpu_ms)
    if streams == 1:
        turns.latencies_ms.append(measure_latency_ms(session, input_name, samples, window))


def measure_stream(session: Session, input_name: str, samples: Sequence[np.ndarray], seconds: float) -> tuple[float, float]:
    """Pictures a second and CPU milliseconds a picture with every stream busy; `samples` may be batches of equal size."""
    started, cpu_started = time.perf_counter(), time.process_time()

    def give_inputs() -> Iterator[Tensors]:
        for batch in itertools.cycle(samples):
            yield {input_name: batch}
            if time.perf_counter() - started > seconds:
                return

    count = len(samples[0]) * sum(1 for _ in session.stream(give_inputs()))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return count / elapsed, 1e3 * cpu / count


def measure_latency_ms(session: Session, input_name: str, samples: Sequence[np.ndarray], seconds: float) -> float:
    """Median time of one inference at a time, milliseconds."""
    times, end = [], time.perf_counter() + seconds
    for sample in itertools.cycle(samples):
        started = time.perf_counter()
        session.infer({input_name: sample})
        times.append(time.perf_counter() - started)
        if time.perf_counter() > end:
            break
    return 1e3 * statistics.median(times)


def _sum_up(pair: tuple[Candidate, int, int], turns: _Turns) -> Timing:
    candidate, streams, threads = pair
    throughput = statistics.median(turns.throughputs)
    return Timing(
        candidate=candidate.name,
        streams=streams,
        threads=threads,
        throughput=throughput,
        latency_ms=statistics.median(turns.latencies_ms) if turns.latencies_ms else None,
        cpu_ms=statistics.median(turns.cpu_ms),
        throughput_range=(min(turns.throughputs), max(turns.throughputs)),
        noise=statistics.median(abs(one - throughput) for one in turns.throughputs) / throughput,
    )


def rank_timings(timings: Sequence[Timing], objective: Objective) -> list[Timing]:
    """The best setting of each candidate, best candidate first; equals within the noise are ordered by CPU time."""
    rest = [timing for timing in timings if objective == "throughput" or timing.latency_ms is not None]
    ranked: list[Timing] = []
    while rest:
        best = _pick_best(rest, objective)
        ranked.append(best)
        rest = [timing for timing in rest if timing.candidate != best.candidate]
    return ranked


def _pick_best(timings: Sequence[Timing], objective: Objective) -> Timing:
    top = max(timings, key=lambda timing: score_speed(timing, objective))
    least = score_speed(top, objective) * (1 - max(SAME_SPEED, top.noise))
    equals = [timing for timing in timings if score_speed(timing, objective) >= least]
    return min(equals, key=lambda timing: timing.cpu_ms)


def score_speed(timing: Timing, objective: Objective) -> float:
    """Pictures a second, in flight or one at a time; higher is better."""
    return timing.throughput if objective == "throughput" else 1e3 / (timing.latency_ms or float("inf"))
