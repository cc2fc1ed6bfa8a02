"""What the statistics extension reports: per version of a model, how many requests came and where their time went.

`Statistics` is an Observer of `InferenceService`. Requests are counted in `success` and `fail`; executions, each of one or more
requests, in `execution_count` and by their size in `batch_stats`; the rows of all executions in `inference_count`.

Source: statistics extension of Triton Inference Server.
"""

import time
from collections.abc import Callable

import msgspec

from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import ListServed
from sightline.serving.scheduling.work import Work

NANOSECONDS = 1e9


class Duration(msgspec.Struct):
    """How often, and how many nanoseconds in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count one more, or add to what was counted already."""
        self.count += times
        self.ns += max(0, round(seconds * NANOSECONDS))


class InferenceDurations(msgspec.Struct):
    """Requests and where their time went. There is no response cache: its two counts stay 0."""

    success: Duration = msgspec.field(default_factory=Duration)
    fail: Duration = msgspec.field(default_factory=Duration)
    queue: Duration = msgspec.field(default_factory=Duration)
    compute_input: Duration = msgspec.field(default_factory=Duration)
    compute_infer: Duration = msgspec.field(default_factory=Duration)
    compute_output: Duration = msgspec.field(default_factory=Duration)
    cache_hit: Duration = msgspec.field(default_factory=Duration)
    cache_miss: Duration = msgspec.field(default_factory=Duration)


class BatchDurations(msgspec.Struct):
    """Executions of one size in rows: input and output summed over the requests of each, its inference once."""

    batch_size: int
    compute_input: Duration = msgspec.field(default_factory=Duration)
    compute_infer: Duration = msgspec.field(default_factory=Duration)
    compute_output: Duration = msgspec.field(default_factory=Duration)


class VersionStatistics(msgspec.Struct):
    """One version of a model. `last_inference`: milliseconds since 1970 of the last request; 0 before the first."""

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    inference_stats: InferenceDurations = msgspec.field(default_factory=InferenceDurations)
    batch_stats: list[BatchDurations] = []


class Statistics:
    """Counts finished, refused and cancelled works. Used on the event loop only.

    Args:
        clock: of the works' times. wall_clock_s: seconds since 1970.
        list_served: names and versions that answer; when another one begins, what was counted of those that are gone is
            forgotten. None: nothing is.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_s: Callable[[], float] = time.time,
        list_served: ListServed | None = None,
    ) -> None:
        self._list_served = list_served
        self._clock = clock
        self._wall_clock_s = wall_clock_s
        self._versions: dict[tuple[str, int], VersionStatistics] = {}

    def __call__(self, work: Work, facts: ServedFacts) -> None:
        """Count a work at its end."""
        counted = self._find(facts.name, facts.version)
        counted.last_inference = round(self._wall_clock_s() * 1000)
        if work.execution is not None:
            _count_execution(counted, work, work.execution.rows)
        if work.error is None and not work.is_cancelled and work.finished_s:
            _count_success(counted, work)
        else:
            waited_s = (work.finished_s or self._clock()) - work.enqueued_s if work.enqueued_s else 0.0
            counted.inference_stats.fail.add(waited_s)

    def read(self, name: str, version: int) -> VersionStatistics:
        """A copy of what was counted of one version; zeros before its first request."""
        counted = self._versions.get((name, version)) or VersionStatistics(name, str(version))
        return msgspec.convert(msgspec.to_builtins(counted), VersionStatistics)

    def _find(self, name: str, version: int) -> VersionStatistics:
        """What is counted of a version; where that begins, those that are gone are forgotten."""
        counted = self._versions.get((name, version))
        if counted is None:
            if self._list_served is not None:
                served = self._list_served()
                self._versions = {known: kept for known, kept in self._versions.items() if known in served}
            counted = self._versions[name, version] = VersionStatistics(name, str(version))
        return counted


def _count_success(counted: VersionStatistics, work: Work) -> None:
    durations = counted.inference_stats
    durations.success.add(work.finished_s - work.enqueued_s)
    durations.queue.add(work.started_s - work.enqueued_s)
    durations.compute_input.add(work.input_s)
    durations.compute_infer.add(work.infer_s)
    durations.compute_output.add(work.output_s)


def _count_execution(counted: VersionStatistics, work: Work, rows: int) -> None:
    batch = next((one for one in counted.batch_stats if one.batch_size == rows), None)
    if batch is None:
        batch = BatchDurations(rows)
        counted.batch_stats = sorted([*counted.batch_stats, batch], key=lambda one: one.batch_size)
    if work.leads_execution:
        counted.inference_count += rows
        counted.execution_count += 1
        batch.compute_infer.add(work.infer_s)
    batch.compute_input.add(work.input_s, times=int(work.leads_execution))
    batch.compute_output.add(work.output_s, times=int(work.leads_execution))
