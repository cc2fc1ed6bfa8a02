"""Counts and times against works whose times are set by hand."""

from v2_fakes import COLOURS, SUM

from sightline.core.errors import InvalidInput, QueueFull
from sightline.serving.scheduling.work import Execution, Work
from sightline.serving.v2.statistics import Statistics


def make_work(rows=1, execution_rows=1, leads=True, error=None):
    work = Work(None, None, lambda _: None, rows=rows)
    work.enqueued_s, work.started_s, work.finished_s = 10.0, 10.5, 12.0
    work.input_s, work.infer_s, work.output_s = 0.25, 1.0, 0.125
    work.execution, work.leads_execution, work.error = Execution(execution_rows), leads, error
    return work


def count(*works):
    statistics = Statistics(clock=lambda: 15.0, wall_clock_s=lambda: 1_800_000_000.25)
    for work in works:
        statistics(work, SUM)
    return statistics.read("sum", 1)


def test_times_of_a_request_are_split_up():
    counted = count(make_work())
    ns = {name: (getattr(counted.inference_stats, name).count, getattr(counted.inference_stats, name).ns) for name in (
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"
    )}  # fmt: skip
    assert ns == {
        "success": (1, 2_000_000_000),
        "fail": (0, 0),
        "queue": (1, 500_000_000),
        "compute_input": (1, 250_000_000),
        "compute_infer": (1, 1_000_000_000),
        "compute_output": (1, 125_000_000),
        "cache_hit": (0, 0),
        "cache_miss": (0, 0),
    }
    assert counted.last_inference == 1_800_000_000_250


def test_requests_that_shared_an_execution_are_one_execution():
    counted = count(make_work(2, 3), make_work(1, 3, leads=False), make_work(1, 1))
    assert (counted.inference_count, counted.execution_count, counted.inference_stats.success.count) == (4, 2, 3)
    assert [(batch.batch_size, batch.compute_infer.count) for batch in counted.batch_stats] == [(1, 1), (3, 1)]
    together = counted.batch_stats[1]
    assert (together.compute_infer.count, together.compute_infer.ns) == (1, 1_000_000_000)  # once, for they shared it
    assert (together.compute_input.count, together.compute_input.ns) == (1, 500_000_000)
    assert (together.compute_output.count, together.compute_output.ns) == (1, 250_000_000)


def test_refused_failed_and_cancelled_requests_fail():
    refused = Work(None, None, lambda _: None)
    refused.error = QueueFull("full")
    cancelled = Work(None, None, lambda _: None)
    cancelled.enqueued_s, cancelled.is_cancelled = 14.0, True
    counted = count(refused, cancelled, make_work(error=InvalidInput("no picture")))
    assert (counted.inference_stats.fail.count, counted.inference_stats.fail.ns) == (3, 3_000_000_000)
    assert (counted.inference_count, counted.inference_stats.success.count, counted.execution_count) == (1, 0, 1)


def test_versions_are_counted_apart_and_readers_get_copies():
    statistics = Statistics()
    statistics(make_work(), SUM)
    before = statistics.read("sum", 1)
    statistics(make_work(), SUM)
    assert before.inference_count == 1
    assert statistics.read("sum", 1).inference_count == 2
    assert statistics.read(COLOURS.name, COLOURS.version).inference_count == 0
