import asyncio
import re
import threading
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sightline.core.errors import InvalidInput, QueueFull, QueueTimeout, SightlineError
from sightline.serving.http.metrics import BUCKETS_S, Histogram, Metrics
from sightline.serving.http.request_record import RequestRecord
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.scheduling.work import Execution, Work
from sightline.serving.v2.statistics import Statistics


def make_facts(name: str = "parts", version: int = 2) -> ServedFacts:
    known: dict[str, Any] = {
        "task": "raw", "categories": (), "input": None, "decode": None, "inputs": (), "outputs": (), "max_batch": 8,
        "device": "cpu", "engine": "none", "precision": "fp32", "streams": 1, "threads": 1,
    }  # fmt: skip
    return ServedFacts(name=name, version=version, **known)


def make_work(rows: int = 1, inferred: int = 1, error: SightlineError | None = None, is_cancelled: bool = False) -> Work:
    """Waited 1 s, prepared in 2 ms, inferred in 20 ms, wrote in 1 ms. `inferred`: rows of its execution if it leads it."""
    work = Work(None, None, lambda _: None, rows=rows)  # type: ignore[arg-type]
    work.enqueued_s, work.started_s, work.finished_s = 10.0, 11.0, 11.023
    work.input_s, work.infer_s, work.output_s = 0.002, 0.02, 0.001
    work.execution, work.leads_execution = Execution(inferred), inferred > 0
    work.error, work.is_cancelled = error, is_cancelled
    return work


def read_samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels -> value, of every line of text; the library's parser must accept it, too, though it renames counters."""
    text = metrics.take_numbers().write_text().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == sum(len(family.samples) for family in text_string_to_metric_families(text))
    samples = {}
    for line in lines:
        name, labels, value = SAMPLE.fullmatch(line).groups()  # type: ignore[union-attr]
        samples[name, tuple(sorted(LABEL.findall(labels or "")))] = float(value)
    return samples


SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
MODEL = (("model", "parts"), ("version", "2"))


def test_successes_are_counted_under_tritons_names() -> None:
    metrics = Metrics()
    metrics.observe(make_work(rows=3, inferred=5), make_facts())
    metrics.observe(make_work(rows=2, inferred=0), make_facts())  # shared the execution of the first
    samples = read_samples(metrics)
    expected = {
        "nv_inference_request_success": 2,
        "nv_inference_count": 5,
        "nv_inference_exec_count": 1,
        "nv_inference_request_duration_us": 2 * 1_023_000,
        "nv_inference_queue_duration_us": 2 * 1_000_000,
        "nv_inference_compute_input_duration_us": 2 * 2_000,
        "nv_inference_compute_infer_duration_us": 2 * 20_000,
        "nv_inference_compute_output_duration_us": 2 * 1_000,
    }
    assert {name: samples[name, MODEL] for name in expected} == expected


def test_what_was_counted_of_versions_that_are_gone_is_forgotten() -> None:
    served = {("parts", 2), ("parts", 3)}
    metrics, statistics = Metrics(list_served=lambda: served), Statistics(list_served=lambda: served)
    for version in (2, 3):
        for count in (metrics.observe, statistics):
            count(make_work(), make_facts(version=version))
    served.remove(("parts", 2))
    samples = read_samples(metrics)
    assert ("nv_inference_request_success", MODEL) not in samples
    assert samples["nv_inference_request_success", (("model", "parts"), ("version", "3"))] == 1
    served.add(("other", 1))
    statistics(make_work(), make_facts("other", 1))
    assert [statistics.read("parts", version).inference_stats.success.count for version in (2, 3)] == [0, 1]


def test_tritons_counters_are_headed_by_their_own_names() -> None:
    metrics = Metrics()
    metrics.observe(make_work(), make_facts())
    text = metrics.take_numbers().write_text().decode()
    assert "# TYPE nv_inference_request_success counter\n" in text
    assert "# TYPE nv_inference_request_failure counter\n" in text
    assert "nv_inference_request_success_total" not in text
    assert "# TYPE sightline_http_requests_total counter\n" in text


def test_failures_are_told_apart_and_add_no_durations() -> None:
    metrics = Metrics()
    for work in (
        make_work(error=QueueFull("full")),
        make_work(error=QueueTimeout("late")),
        make_work(error=InvalidInput("no picture")),
        make_work(error=SightlineError("defect")),
        make_work(is_cancelled=True),
    ):
        metrics.observe(work, make_facts())
    samples = read_samples(metrics)
    failures = {
        reason: samples["nv_inference_request_failure", tuple(sorted((*MODEL, ("reason", reason))))]
        for reason in ("REJECTED", "CANCELED", "OTHER", "BACKEND")
    }
    assert failures == {"REJECTED": 2, "CANCELED": 1, "OTHER": 1, "BACKEND": 1}
    assert samples["nv_inference_request_success", MODEL] == 0
    assert samples["sightline_request_seconds_count", MODEL] == 0


def test_histograms_are_in_seconds_and_cumulative() -> None:
    metrics = Metrics()
    metrics.observe(make_work(), make_facts())
    samples = read_samples(metrics)
    assert samples["sightline_infer_seconds_sum", MODEL] == pytest.approx(0.020)
    at_most = {bound: samples["sightline_infer_seconds_bucket", (("le", bound), *MODEL)] for bound in ("0.01", "0.025", "+Inf")}
    assert at_most == {"0.01": 0, "0.025": 1, "+Inf": 1}
    assert samples["sightline_queue_seconds_bucket", (("le", "1.0"), *MODEL)] == 1  # a bound belongs to its bucket


def test_a_histogram_holds_every_duration_once() -> None:
    histogram = Histogram()
    for seconds in (0.0, *BUCKETS_S, 1000.0):
        histogram.add(seconds)
    assert histogram.counts == [2, *([1] * len(BUCKETS_S))]
    assert histogram.buckets()[-1] == ("+Inf", len(BUCKETS_S) + 2)


def test_versions_and_models_are_told_apart() -> None:
    metrics = Metrics()
    metrics.observe(make_work(), make_facts("a", 1))
    metrics.observe(make_work(), make_facts("a", 2))
    metrics.observe(make_work(), make_facts("b", 1))
    samples = read_samples(metrics)
    counted = [labels for (name, labels), value in samples.items() if name == "nv_inference_count" and value == 1]
    assert counted == [
        (("model", "a"), ("version", "1")),
        (("model", "a"), ("version", "2")),
        (("model", "b"), ("version", "1")),
    ]


def test_answers_are_counted_by_method_and_status() -> None:
    metrics = Metrics()
    for method, status in (("POST", 200), ("POST", 200), ("GET", 404), ("BREW", 405)):
        record = RequestRecord({"method": method, "path": "/x", "client": None})
        record.status, record.duration_s = status, 0.003
        metrics.count_request(record)
    samples = read_samples(metrics)
    assert samples["sightline_http_requests_total", (("method", "POST"), ("status", "200"))] == 2
    assert samples["sightline_http_requests_total", (("method", "OTHER"), ("status", "405"))] == 1
    assert samples["sightline_http_request_seconds_count", ()] == 4


def test_gauges_are_read_when_they_are_asked_for() -> None:
    waiting = {("parts", "2"): 4.0}
    gauges = {"nv_inference_pending_request_count": ("Waiting", ("model", "version"), waiting.items)}
    metrics = Metrics(gauges)
    assert read_samples(metrics)["nv_inference_pending_request_count", MODEL] == 4
    waiting["parts", "2"] = 7.0
    assert read_samples(metrics)["nv_inference_pending_request_count", MODEL] == 7


def test_the_machine_is_described() -> None:
    samples = read_samples(Metrics())
    assert 0 <= samples["nv_cpu_utilization", ()] <= 1
    assert 0 < samples["nv_cpu_memory_used_bytes", ()] < samples["nv_cpu_memory_total_bytes", ()]


def test_two_servers_of_a_process_share_no_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.observe(make_work(), make_facts())
    assert ("nv_inference_count", MODEL) not in read_samples(second)


def test_the_endpoint_answers_in_prometheus_text() -> None:
    answer = asyncio.run(Metrics().read_metrics(None))  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert bytes(answer.body).endswith(b"\n")


def test_the_loop_copies_the_numbers_and_a_thread_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics(gauges={"waiting": ("Waiting", (), lambda: [((), readers.append(threading.current_thread()) or 0.0)])})
    readers: list[threading.Thread] = []
    writers: list[threading.Thread] = []

    def write(numbers: Any) -> bytes:
        writers.append(threading.current_thread())
        return generate_latest(numbers)

    monkeypatch.setattr("sightline.serving.http.metrics.generate_latest", write)
    asyncio.run(metrics.read_metrics(None))  # type: ignore[arg-type]
    assert readers == [threading.current_thread()]
    assert writers and threading.current_thread() not in writers


def test_what_is_counted_while_the_text_is_made_is_not_in_it() -> None:
    metrics = Metrics()
    metrics.observe(make_work(), make_facts())
    metrics.observe(make_work(error=QueueFull("full")), make_facts())
    numbers = metrics.take_numbers()
    text = numbers.write_text()
    metrics.observe(make_work(), make_facts())
    metrics.observe(make_work(error=QueueFull("full")), make_facts())
    metrics.count_request(RequestRecord({"method": "GET", "path": "/x", "client": None}))
    assert numbers.write_text() == text


def test_further_counters_are_read_when_they_are_asked_for() -> None:
    counts = {"413": 2.0}
    metrics = Metrics(
        counters={"refused": ("Refused", ("status",), lambda: [((name,), count) for name, count in counts.items()])}
    )
    assert read_samples(metrics)["refused_total", (("status", "413"),)] == 2
    counts["413"] = 3.0
    assert read_samples(metrics)["refused_total", (("status", "413"),)] == 3
