"""What the streams of a server do together, for `/metrics`: by model, so that no stream leaves a series of its own behind."""

from collections import Counter
from collections.abc import Iterable

from sightline.serving.http.metrics import Family, Labels, Values
from sightline.serving.streams.stream import Stream


class StreamMetrics:
    """Counts streams from their beginning to their end, whether or not anybody may still read them. All on one event loop."""

    def __init__(self) -> None:
        self._running: list[Stream] = []
        self._ends: Counter[Labels] = Counter()
        self._frames: Counter[Labels] = Counter()  # of streams that are over, as the reconnects
        self._reconnects: Counter[Labels] = Counter()

    def begin(self, stream: Stream) -> None:
        """A stream runs."""
        self._running.append(stream)

    def end(self, stream: Stream) -> None:
        """It is over."""
        self._running.remove(stream)
        self._ends[stream.model, stream.state] += 1
        self._frames += count_frames([stream])
        self._reconnects += count_reconnects([stream])

    def gauges(self) -> dict[str, Family]:
        """As `http.metrics.Metrics` takes them."""
        return {
            "sightline_streams": ("Streams that are not over", ("model", "state"), self._list_states),
            "sightline_stream_lag_seconds": (
                "How far the latest of the model's streams is behind",
                ("model",),
                self._list_lags,
            ),
        }

    def counters(self) -> dict[str, Family]:
        """As `http.metrics.Metrics` takes them."""
        return {
            "sightline_stream_ends": ("Streams that are over", ("model", "state"), lambda: list_values(self._ends)),
            "sightline_stream_frames": ("Wanted frames of streams", ("model", "outcome"), self._list_frames),
            "sightline_stream_reconnects": ("Times that a source was opened again", ("model",), self._list_reconnects),
        }

    def _list_states(self) -> Values:
        return list_values(Counter((stream.model, stream.state) for stream in self._running))

    def _list_lags(self) -> Values:
        lags_s: dict[Labels, float] = {}
        for stream in self._running:
            lags_s[stream.model,] = max(lags_s.get((stream.model,), 0.0), stream.statistics.lag_s)
        return sorted(lags_s.items())

    def _list_frames(self) -> Values:
        return list_values(self._frames + count_frames(self._running))

    def _list_reconnects(self) -> Values:
        return list_values(self._reconnects + count_reconnects(self._running))


def count_frames(streams: Iterable[Stream]) -> Counter[Labels]:
    """Wanted frames, by model and by what became of them."""
    counts: Counter[Labels] = Counter()
    for stream in streams:
        for outcome, count in stream.statistics.count_outcomes().items():
            counts[stream.model, outcome] += count
    return counts


def count_reconnects(streams: Iterable[Stream]) -> Counter[Labels]:
    """How often live sources were opened again, by model."""
    counts: Counter[Labels] = Counter()
    for stream in streams:
        counts[stream.model,] += stream.statistics.reconnects
    return counts


def list_values(counts: Counter[Labels]) -> Values:
    """By labels, in their order."""
    return sorted((labels, float(count)) for labels, count in counts.items())
