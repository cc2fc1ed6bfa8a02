"""Counts and times of one stream: what its page in `GET /v2/streams/{id}` shows."""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from sightline.serving.streams.messages import Counts

WINDOW_S = 10.0
KEPT_LATENCIES = 1024


class StatisticsView(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics at one moment.

    Attributes:
        frames_read: from the source, decoded or not. frames_damaged: of them unreadable. frames_analysed: results.
        frames_dropped: by reason: "waiting" gave way to the policy while it waited; "late" was not decoded because decoding was
            behind; "timeout" waited too long for the Device; "queue_full" and "unavailable": the model took none; "limit": the
            key's rate or number of requests at once was reached.
        frames_waiting: decoded, not yet asked for.
        lag_s: how far decoding is behind the video's time.
        analysed_per_s: over the last 10 s.
        latency_ms_p50, latency_ms_p99: from the moment a frame was due to its result, latest 1024; None before the first.
        decoder_cpu_s: processor time of the decoder since the start; decoder_cpu: cores it used on average.
        reconnects: how often a live source was opened again.
    """

    frames_read: int
    frames_damaged: int
    frames_analysed: int
    frames_dropped: dict[str, int]
    frames_waiting: int
    lag_s: float
    analysed_per_s: float
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    decoder_cpu_s: float
    decoder_cpu: float
    reconnects: int
    running_s: float


class StreamStatistics:
    """Gathers them. Args: clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reconnects = 0
        self._clock = clock
        self._started_s = clock()
        self._ended_s: float | None = None
        self._analysed = 0
        self._dropped: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._moments_s: deque[float] = deque()
        self._now = Counts()
        self._before = Counts()  # of decoders that ended

    def add_result(self, due_s: float) -> float:
        """A frame was analysed that was due at this moment. Returns: its latency, seconds."""
        now_s = self._clock()
        self._analysed += 1
        latency_s = max(0.0, now_s - due_s)
        self._latencies_s.append(latency_s)
        self._moments_s.append(now_s)
        self._forget(now_s)
        return latency_s

    def add_drop(self, reason: str) -> None:
        """A frame was dropped on this side."""
        self._dropped[reason] += 1

    def set_counts(self, counts: Counts) -> None:
        """What the running decoder says of itself."""
        self._now = counts

    def end_decoder(self) -> None:
        """The decoder ended; another one counts from 0."""
        self._before = self._total()
        self._now = Counts()

    def end(self) -> None:
        """The stream ended: its time stands still."""
        self._ended_s = self._clock()

    @property
    def lag_s(self) -> float:
        """How far decoding is behind the video's time now."""
        return self._now.lag_s

    def count_outcomes(self) -> dict[str, int]:
        """How many wanted frames were "analysed", or dropped for a reason; without those of which there are none."""
        total = self._total()
        outcomes = {"analysed": self._analysed, "waiting": total.dropped, "late": total.late, **self._dropped}
        return {outcome: count for outcome, count in sorted(outcomes.items()) if count}

    def read(self) -> StatisticsView:
        """All of it now."""
        now_s = self._clock() if self._ended_s is None else self._ended_s
        self._forget(now_s)
        running_s = max(0.0, now_s - self._started_s)
        total = self._total()
        dropped = self.count_outcomes()
        dropped.pop("analysed", None)
        return StatisticsView(
            frames_read=total.read,
            frames_damaged=total.errors,
            frames_analysed=self._analysed,
            frames_dropped=dropped,
            frames_waiting=self._now.waiting,
            lag_s=round(self.lag_s, 3),
            analysed_per_s=round(len(self._moments_s) / min(WINDOW_S, running_s), 3) if running_s else 0.0,
            latency_ms_p50=find_percentile_ms(self._latencies_s, 0.5),
            latency_ms_p99=find_percentile_ms(self._latencies_s, 0.99),
            decoder_cpu_s=round(total.cpu_s, 3),
            decoder_cpu=round(total.cpu_s / running_s, 4) if running_s else 0.0,
            reconnects=self.reconnects,
            running_s=round(running_s, 3),
        )

    def _total(self) -> Counts:
        now, before = self._now, self._before
        return Counts(
            read=now.read + before.read,
            errors=now.errors + before.errors,
            late=now.late + before.late,
            dropped=now.dropped + before.dropped,
            cpu_s=now.cpu_s + before.cpu_s,
        )

    def _forget(self, now_s: float) -> None:
        while self._moments_s and self._moments_s[0] < now_s - WINDOW_S:
            self._moments_s.popleft()


def find_percentile_ms(values_s: Sequence[float] | deque[float], share: float) -> float | None:
    """The smallest value that at least this share of all does not exceed (nearest rank), milliseconds; None of nothing."""
    if not values_s:
        return None
    return round(sorted(values_s)[math.ceil(share * len(values_s)) - 1] * 1000, 3)
