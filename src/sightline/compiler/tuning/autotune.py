"""Which candidate is fastest here, with how many streams, threads and pictures a batch: by timing each on real inputs.

A machine is never quiet, so candidates are timed in short turns, round after round, and judged by the median of their rounds:
what disturbs one round disturbs all. After the first rounds only what may still win goes on, so that many engines, files and
settings cost little more than a few.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import psutil

from sightline.compiler.candidates import Candidate
from sightline.compiler.tuning.goals import Goal, Timing
from sightline.core.errors import Exhausted
from sightline.core.settings import read_settings
from sightline.runtime.backend import Session, Tensors
from sightline.runtime.devices import Device

ROUNDS = 5
SCREENING_ROUNDS = 2  # in which every entrant takes part
STILL_OPEN = 0.6  # of the best score: after the screening only what reaches it goes on, and the best setting of each candidate
WARM_UPS = 2
MEMORY_FACTOR = 4  # an open session needs about so many times the bytes of its files
PERCENTILE = 99


class Setting(NamedTuple):
    """Inferences in flight, threads for each, pictures in each."""

    streams: int
    threads: int
    batch: int = 1


class Turn(NamedTuple):
    """What one turn measured: `busy_ms` of each inference, all streams busy; `latency_ms` only of one stream and picture."""

    throughput: float
    cpu_ms: float
    busy_ms: tuple[float, ...]
    latency_ms: float | None


@dataclass(eq=False)
class Entrant:
    """One candidate with one setting, and its turns so far."""

    candidate: Candidate
    setting: Setting
    turns: list[Turn] = field(default_factory=list)

    def sum_up(self) -> Timing:
        """Medians over the turns."""
        throughputs = [turn.throughput for turn in self.turns]
        busy_ms = [one for turn in self.turns for one in turn.busy_ms]
        throughput = statistics.median(throughputs)
        latencies = [turn.latency_ms for turn in self.turns if turn.latency_ms is not None]
        return Timing(
            candidate=self.candidate.name,
            streams=self.setting.streams,
            threads=self.setting.threads,
            batch=self.setting.batch,
            throughput=throughput,
            latency_ms=statistics.median(latencies) if latencies else None,
            p99_ms=float(np.percentile(busy_ms, PERCENTILE)),
            p99_count=len(busy_ms),
            cpu_ms=statistics.median(turn.cpu_ms for turn in self.turns),
            throughput_range=(min(throughputs), max(throughputs)),
            noise=statistics.median(abs(one - throughput) for one in throughputs) / throughput,
        )


def choose_settings(cores: int | None = None, batches: Sequence[int] = (1,), on_cores: bool = True) -> list[Setting]:
    """Settings worth trying: all threads on one inference, an inference a core, and in between on many cores.

    Args: on_cores: False for a device that is not the CPU: two inferences in flight hide the way to it and back.
    """
    cores = cores or read_settings().threads
    if not on_cores:
        return [Setting(*pair, batch) for pair in ((1, cores), (2, max(1, cores // 2))) for batch in batches]
    pairs = [(1, cores), (cores, 1)] + ([(cores // 2, 2)] if cores >= 4 else [])
    return [Setting(*pair, batch) for pair in dict.fromkeys(pairs) for batch in batches]


def choose_batches(goal: Goal, device: Device) -> tuple[int, ...]:
    """Batches worth trying on a device: one picture when it is latency that counts."""
    return (1,) if goal.objective == "latency" else device.batches


def time_candidates(
    candidates: Sequence[Candidate],
    input_name: str,
    samples: Sequence[np.ndarray],
    settings: Sequence[Setting],
    seconds: float,
    goal: Goal = Goal(),  # noqa: B008 - a tuple
    on_turn: Callable[[float], None] = lambda progress: None,
) -> list[Timing]:
    """Time every candidate with every setting.

    Args:
        samples: prepared inputs `(1, ...)` of real pictures; used in turn.
        settings: streams, threads and batch sizes.
        seconds: in all for one candidate with one setting, when it goes through all rounds.
        goal: tells after the screening which may still win.
        on_turn: told the progress 0..1 after each turn.

    Returns: a timing of each, but those that lack memory, even with no other session open.
    """
    entrants = [Entrant(candidate, setting) for candidate in candidates for setting in settings]
    groups = group_sessions(entrants)
    batches = {setting.batch: make_batches(samples, setting.batch) for setting in settings}

    def open_group(place: int) -> Session:
        first = groups[place][0]
        return first.candidate.open(first.setting.streams, first.setting.threads)

    with OpenSessions([group[0].candidate.size_bytes for group in groups], open_group) as sessions:

        def take_turns(place: int, going: Sequence[Entrant]) -> list[Entrant]:
            try:
                with sessions.use(place) as session:
                    return _take_turns(session, going, input_name, batches, seconds / ROUNDS, goal)
            except Exhausted:  # already on opening
                return list(going)

        for round_index in range(ROUNDS):
            racing = set(entrants if round_index < SCREENING_ROUNDS else choose_racing(entrants, goal))
            for place, group in enumerate(groups):
                going = [entrant for entrant in group if entrant in racing]
                if going and (lacking := take_turns(place, going)):
                    sessions.close()
                    alone = [entrant for entrant in lacking if not take_turns(place, [entrant])]
                    entrants = [entrant for entrant in entrants if entrant not in lacking or entrant in alone]
                on_turn((round_index + (place + 1) / len(groups)) / ROUNDS)
    return [entrant.sum_up() for entrant in entrants]


def group_sessions(entrants: Sequence[Entrant]) -> list[list[Entrant]]:
    """Entrants that can share an open session: they differ in the batch only."""
    groups: dict[tuple[str, int, int], list[Entrant]] = {}
    for entrant in entrants:
        key = (entrant.candidate.name, entrant.setting.streams, entrant.setting.threads)
        groups.setdefault(key, []).append(entrant)
    return list(groups.values())


def choose_racing(entrants: Sequence[Entrant], goal: Goal) -> list[Entrant]:
    """Those that may still win, and the best setting of every candidate: when one fails its gate the next must be known."""
    scored = [(entrant, goal.score(timing)) for entrant in entrants if goal.can_judge(timing := entrant.sum_up())]
    if not scored:
        return list(entrants)
    top = max(score for _, score in scored)
    best: dict[str, float] = {}
    for entrant, score in scored:
        best[entrant.candidate.name] = max(score, best.get(entrant.candidate.name, score))
    least = STILL_OPEN * top if top > 0 else top
    return [entrant for entrant, score in scored if score >= least or score == best[entrant.candidate.name]]


def make_batches(samples: Sequence[np.ndarray], batch: int) -> list[np.ndarray]:
    """Batches of so many samples, in turn; at least one."""
    if batch == 1:
        return list(samples)
    count = max(1, len(samples) // batch)
    return [
        np.concatenate([samples[(first * batch + place) % len(samples)] for place in range(batch)]) for first in range(count)
    ]


class OpenSessions:
    """Sessions that take turns: kept open while the memory suffices for all, else opened anew for each turn, so after `close`.

    Args:
        sizes_bytes: of the files of each session.
        open_session: opens the session of a place.
        available_bytes: memory that may be used; by default half of what is free now.
    """

    def __init__(
        self, sizes_bytes: Sequence[int], open_session: Callable[[int], Session], available_bytes: int | None = None
    ) -> None:
        available = psutil.virtual_memory().available // 2 if available_bytes is None else available_bytes
        self._keep = MEMORY_FACTOR * sum(sizes_bytes) <= available
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

    def close(self) -> None:
        """Close them all; whoever comes next has the memory for itself."""
        self._keep = False
        while self._opened:
            self._opened.popitem()[1].close()

    def __exit__(self, *_: object) -> None:
        self.close()


def warm_up(session: Session, entrant: Entrant, input_name: str, inputs: Sequence[np.ndarray]) -> None:
    """Inferences that do not count: the first ones compile the shape, later ones refill the caches that others have used."""
    count = (1 if entrant.turns else WARM_UPS) * entrant.setting.streams
    for batch in itertools.islice(itertools.cycle(inputs), count):
        session.infer({input_name: batch})


def take_turn(
    session: Session,
    setting: Setting,
    input_name: str,
    batches: Sequence[np.ndarray],
    seconds: float,
    is_promised: bool = False,
) -> Turn:
    """One turn: how many pictures pass, then how long each inference takes.

    Args: is_promised: a latency was promised, so half of the time goes to it, as with one stream and picture; else a quarter.
    """
    is_alone = setting.streams == 1 and setting.batch == 1
    window = seconds * (0.5 if is_alone or is_promised else 0.75)
    throughput, cpu_ms = measure_stream(session, input_name, batches, window)
    busy_ms = measure_busy_ms(session, input_name, batches, setting.streams, seconds - window)
    return Turn(throughput, cpu_ms, busy_ms, statistics.median(busy_ms) if is_alone else None)


def measure_stream(session: Session, input_name: str, samples: Sequence[np.ndarray], seconds: float) -> tuple[float, float]:
    """Pictures a second and CPU milliseconds a picture, with every stream busy and one batch more waiting.

    Args: samples: inputs of equal batch size, used in turn.
    """
    started, cpu_started = time.perf_counter(), time.process_time()

    def give_inputs() -> Iterator[Tensors]:
        for batch in itertools.cycle(samples):
            yield {input_name: batch}
            if time.perf_counter() - started > seconds:
                return

    count = len(samples[0]) * sum(1 for _ in session.stream(give_inputs()))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return count / elapsed, 1e3 * cpu / count


def measure_busy_ms(
    session: Session, input_name: str, samples: Sequence[np.ndarray], streams: int, seconds: float
) -> tuple[float, ...]:
    """Milliseconds of each inference with every stream busy and none queued behind them, which would wait as long again.

    Args: streams: so many callers, each of whom gives the next batch when it has its answer.
    """
    end = time.perf_counter() + seconds

    def call(first: int) -> list[float]:
        times = []
        for sample in itertools.cycle([*samples[first:], *samples[:first]]):
            started = time.perf_counter()
            session.infer({input_name: sample})
            times.append(1e3 * (time.perf_counter() - started))
            if time.perf_counter() > end:
                return times
        return times

    if streams == 1:
        return tuple(call(0))
    with ThreadPoolExecutor(streams, thread_name_prefix="busy") as pool:
        return tuple(itertools.chain(*pool.map(call, range(streams))))


def _take_turns(
    session: Session,
    entrants: Sequence[Entrant],
    input_name: str,
    batches: Mapping[int, Sequence[np.ndarray]],
    seconds: float,
    goal: Goal,
) -> list[Entrant]:
    """A turn of each, in the session that they share; gives those that lack memory for it."""
    lacking = []
    for entrant in entrants:
        inputs = batches[entrant.setting.batch]
        try:
            warm_up(session, entrant, input_name, inputs)
            entrant.turns.append(take_turn(session, entrant.setting, input_name, inputs, seconds, goal.slo_ms is not None))
        except Exhausted:
            lacking.append(entrant)
    return lacking
