"""Prometheus metrics: Triton's names, so that its dashboards work, and histograms in seconds of our own.

Works and requests are counted in plain numbers on the event loop, a few additions each. When somebody asks, the loop copies
the numbers, and a thread makes the text of them, which takes long where there are many models. Durations under Triton's names
are sums in microseconds over successful requests, as Triton has them.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import psutil
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from sightline.core.errors import Exhausted, InvalidInput, NotFound, Unsupported
from sightline.serving.http.request_record import RequestRecord
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.inference.service import ListServed
from sightline.serving.scheduling.work import Work

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MODEL_LABELS = ("model", "version")
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")  # Triton's words

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float]]
Family = tuple[str, Labels, Callable[[], Values]]  # help, names of the labels, and a value for each combination of them

TRITON_COUNTERS = {
    "nv_inference_request_success": "Successful inference requests",
    "nv_inference_count": "Rows inferred (a batch of n counts n)",
    "nv_inference_exec_count": "Executions of the model (a batch counts 1)",
    "nv_inference_request_duration_us": "Sum of request durations, microseconds",
    "nv_inference_queue_duration_us": "Sum of times in the queue, microseconds",
    "nv_inference_compute_input_duration_us": "Sum of times of preparing inputs, microseconds",
    "nv_inference_compute_infer_duration_us": "Sum of inference times, microseconds",
    "nv_inference_compute_output_duration_us": "Sum of times of writing answers, microseconds",
}
FAILURE_COUNTER = "nv_inference_request_failure"


class Histogram:
    """Counts of durations in the buckets of BUCKETS_S, seconds."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def copy(self) -> "Histogram":
        """An independent copy."""
        twin = Histogram()
        twin.counts, twin.sum_s = self.counts.copy(), self.sum_s
        return twin

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1  # a bucket holds what is at most its bound
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Bound and how many were at most that long, as Prometheus has it."""
        bounds = [*(repr(bound) for bound in BUCKETS_S), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self.counts), strict=True)]


class ModelCounts:
    """What was counted of one version of a model; seconds are sums over successful requests."""

    __slots__ = ("executions", "failures", "histograms", "output_s", "rows", "successes")

    def __init__(self) -> None:
        self.successes = self.executions = self.rows = 0
        self.failures: Counter[str] = Counter()
        self.output_s = 0.0
        self.histograms = {name: Histogram() for name in ("request", "queue", "decode", "infer")}

    def copy(self) -> "ModelCounts":
        """An independent copy."""
        twin = ModelCounts()
        twin.successes, twin.executions, twin.rows = self.successes, self.executions, self.rows
        twin.failures, twin.output_s = self.failures.copy(), self.output_s
        twin.histograms = {name: histogram.copy() for name, histogram in self.histograms.items()}
        return twin

    def add(self, work: Work) -> None:
        """Count a Work that has ended."""
        if work.leads_execution and work.execution is not None:
            self.executions += 1
            self.rows += work.execution.rows
        reason = find_failure(work)
        if reason is not None:
            self.failures[reason] += 1
            return
        self.successes += 1
        self.output_s += work.output_s
        histograms = self.histograms
        histograms["request"].add(work.finished_s - work.enqueued_s)
        histograms["queue"].add(work.started_s - work.enqueued_s)
        histograms["decode"].add(work.input_s)
        histograms["infer"].add(work.infer_s)

    def triton_values(self) -> Iterator[float]:
        """Values of TRITON_COUNTERS, in its order."""
        yield from (self.successes, self.rows, self.executions)
        yield from (round(self.histograms[name].sum_s * 1e6) for name in ("request", "queue", "decode", "infer"))
        yield round(self.output_s * 1e6)


class Metrics:
    """All metrics of one server. Counts on the event loop; read there, too.

    Args:
        gauges: further values by name, read when they are asked for. `nv_inference_pending_request_count` and page-ins come in
            this way.
        counters: further values that only grow; their names get the ending `_total`.
        list_served: names and versions that answer; what was counted of others is forgotten. None: nothing is.
    """

    def __init__(
        self,
        gauges: Mapping[str, Family] | None = None,
        counters: Mapping[str, Family] | None = None,
        list_served: ListServed | None = None,
    ) -> None:
        self._list_served = list_served
        self._gauges, self._counters = dict(gauges or {}), dict(counters or {})
        self._models: dict[Labels, ModelCounts] = {}
        self._answers: Counter[Labels] = Counter()  # method, status
        self._http = Histogram()
        psutil.cpu_percent()  # it measures from one call to the next

    def observe(self, work: Work, facts: ServedFacts) -> None:
        """Count a Work; an Observer of `InferenceService`."""
        key = (facts.name, str(facts.version))
        counts = self._models.get(key)
        if counts is None:
            self._forget_gone()
            counts = self._models[key] = ModelCounts()
        counts.add(work)

    def count_request(self, record: RequestRecord) -> None:
        """Count an answer over HTTP, whatever its path; a `RequestObserver` of the guard."""
        self._answers[record.method if record.method in METHODS else "OTHER", str(record.status)] += 1
        self._http.add(record.duration_s)

    def take_numbers(self) -> "Numbers":
        """Everything as it is now."""
        self._forget_gone()
        return Numbers(
            models=[(labels, counts.copy()) for labels, counts in sorted(self._models.items())],
            answers=sorted(self._answers.items()),
            http=self._http.copy(),
            counters=[(name, text, labels, list(read())) for name, (text, labels, read) in self._counters.items()],
            gauges=[(name, text, labels, list(read())) for name, (text, labels, read) in self._gauges.items()],
            cpu_percent=psutil.cpu_percent(),
            memory=psutil.virtual_memory(),
        )

    def _forget_gone(self) -> None:
        if self._list_served is not None:
            served = {(name, str(version)) for name, version in self._list_served()}
            self._models = {key: counts for key, counts in self._models.items() if key in served}

    async def read_metrics(self, request: Request) -> Response:
        """GET /metrics."""
        text = await asyncio.to_thread(self.take_numbers().write_text)
        return Response(text, headers={"Content-Type": MEDIA_TYPE})


@dataclass(frozen=True, kw_only=True)
class Numbers(Collector):
    """What a server had counted at one moment: nothing of it changes any more, so that any thread may write it down.

    Attributes:
        answers: over HTTP, by method and status.
        counters, gauges: name, help, names of the labels, and the values by labels.
        memory: of the machine, as psutil has it.
    """

    models: Sequence[tuple[Labels, ModelCounts]]
    answers: Sequence[tuple[Labels, int]]
    http: Histogram
    counters: Sequence[tuple[str, str, Labels, Values]]
    gauges: Sequence[tuple[str, str, Labels, Values]]
    cpu_percent: float
    memory: Any

    def write_text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        text = generate_latest(self)
        # The library ends the names of counters in _total, and so heads these families by names that their samples lack.
        for name in (*TRITON_COUNTERS, FAILURE_COUNTER):
            text = text.replace(f" {name}_total ".encode(), f" {name} ".encode())
        return text

    def collect(self) -> Iterator[Metric]:
        """The families, for the library."""
        yield from self._collect_triton()
        for name, text in (
            ("request", "From the queue's door to the answer"),
            ("queue", "In the queue"),
            ("decode", "Preparing pictures or tensors"),
            ("infer", "Inference, shared by a batch"),
        ):
            family = HistogramMetricFamily(f"sightline_{name}_seconds", text, labels=MODEL_LABELS)
            for labels, counts in self.models:
                histogram = counts.histograms[name]
                family.add_metric(labels, histogram.buckets(), histogram.sum_s)
            yield family
        answers = CounterMetricFamily("sightline_http_requests", "Answers over HTTP", labels=("method", "status"))
        for labels, count in self.answers:
            answers.add_metric(labels, count)
        yield answers
        http = HistogramMetricFamily("sightline_http_request_seconds", "From a request's headers to the end of its answer")
        http.add_metric((), self.http.buckets(), self.http.sum_s)
        yield http
        for name, text, label_names, values in self.counters:
            counter = CounterMetricFamily(name, text, labels=label_names)
            for labels, value in values:
                counter.add_metric(labels, value)
            yield counter
        for name, text, label_names, values in self.gauges:
            gauge = GaugeMetricFamily(name, text, labels=label_names)
            for labels, value in values:
                gauge.add_metric(labels, value)
            yield gauge
        yield from self._collect_machine()

    def _collect_triton(self) -> Iterator[Metric]:
        families = [Metric(name, text, "counter") for name, text in TRITON_COUNTERS.items()]
        failures = Metric(FAILURE_COUNTER, "Failed inference requests, by reason", "counter")
        for labels, counts in self.models:
            named = dict(zip(MODEL_LABELS, labels, strict=True))
            for family, value in zip(families, counts.triton_values(), strict=True):
                family.add_sample(family.name, named, value)
            for reason in REASONS:
                failures.add_sample(failures.name, {**named, "reason": reason}, counts.failures[reason])
        yield from (*families, failures)

    def _collect_machine(self) -> Iterator[Metric]:
        text = "CPU use of the machine since it was asked last, 0..1"
        yield GaugeMetricFamily("nv_cpu_utilization", text, self.cpu_percent / 100)
        yield GaugeMetricFamily("nv_cpu_memory_total_bytes", "Memory of the machine, bytes", self.memory.total)
        yield GaugeMetricFamily("nv_cpu_memory_used_bytes", "Memory of the machine in use, bytes", self.memory.used)


METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "WEBSOCKET"))


def find_failure(work: Work) -> str | None:
    """Why a Work failed, in Triton's words; None for one that was answered."""
    if work.is_cancelled:
        return "CANCELED"
    if work.error is None:
        return None
    if isinstance(work.error, Exhausted):
        return "REJECTED"
    return "OTHER" if isinstance(work.error, InvalidInput | NotFound | Unsupported) else "BACKEND"
