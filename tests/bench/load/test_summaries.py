import errno
from typing import Any

import numpy as np
import pytest

from sightline.bench.load.records import QUANTILES, GeneratorResult, LoadPlan, LoadPoint
from sightline.bench.load.summaries import compute_latency, make_timeline, summarise_point

PLAN = LoadPlan(duration_s=2.0)


def make_result(**fields: Any) -> GeneratorResult:
    return GeneratorResult(**({"cpu_s": 0.1, "wall_s": 2.0} | fields))


def summarise(*results: GeneratorResult, **fields: Any) -> LoadPoint:
    settings: dict[str, Any] = {"clients": 2, "rate_per_s": None, "server": None, "other_cores": None, "cores_shared": 2}
    return summarise_point(results, PLAN, **(settings | fields))


def test_an_open_loop_is_named_by_what_was_asked_for_and_says_what_came() -> None:
    point = summarise(
        GeneratorResult(planned_s=[0.1], latency_ms=[1.0], status=[200], wall_s=1.0), clients=None, rate_per_s=80.0
    )
    assert (point.label, point.rate_per_s, point.offered_per_s) == ("80/s", 80.0, pytest.approx(1 / PLAN.duration_s, abs=1e-3))


@pytest.mark.parametrize(
    ("rate_per_s", "label"),
    [(0.5, "0.5/s"), (123.456, "123.5/s"), (12345.6, "12346/s"), (50_000.0, "50000/s"), (2e6, "2000000/s")],
)
def test_rates_are_written_plainly(rate_per_s: float, label: str) -> None:
    assert summarise(make_result(), clients=None, rate_per_s=rate_per_s).label == label


def test_percentiles_by_hand() -> None:
    latency = compute_latency(np.arange(1.0, 1002.0))  # 1..1001: the p-th percentile is 1 + 10 p
    assert latency is not None
    assert (latency.count, latency.mean, latency.maximum) == (1001, 501.0, 1001.0)
    assert (latency.p50, latency.p90, latency.p95, latency.p99, latency.p999) == pytest.approx((501, 901, 951, 991, 1000))


def test_few_answers_have_no_thousandth_and_none_have_nothing() -> None:
    latency = compute_latency(np.arange(999.0))
    assert latency is not None and latency.p999 is None
    assert compute_latency(np.array([])) is None


def test_refused_broken_and_unfinished_are_told_apart() -> None:
    result = make_result(
        planned_s=[0.0, 0.5, 1.0, 1.5, 1.6],
        latency_ms=[10.0, 1.0, 20.0, 5.0, 7.0],
        status=[200, 503, 200, 0, 500],
        unfinished_s=[1.9],
        unfinished_ms=[400.0],
        ended_in_time={200: 2, 503: 1, 0: 1, 500: 1},
    )
    point = summarise(result)
    assert (point.planned, point.refused, point.broken, point.unfinished) == (6, 1, 1, 1)
    assert point.answered_per_s == 1.0  # 2 answers in 2 s
    assert point.statuses == {"200": 2, "500": 1, "503": 1}
    assert point.answered is not None and (point.answered.count, point.answered.maximum) == (2, 20.0)
    assert point.refusal is not None and point.refusal.p50 == 1.0
    assert point.outcome is not None and (point.outcome.count, point.outcome.maximum) == (3, 400.0)
    assert point.quantiles_ms[0] == 10.0 and point.quantiles_ms[-1] == 400.0 and len(point.quantiles_ms) == len(QUANTILES)


def test_several_processes_become_one_point() -> None:
    one = make_result(planned_s=[0.1], latency_ms=[10.0], status=[200], ended_in_time={200: 1}, connections_opened=3)
    other = make_result(planned_s=[0.2], latency_ms=[30.0], status=[200], ended_in_time={200: 1}, cpu_s=0.3)
    point = summarise(one, other)
    assert (point.planned, point.answered_per_s, point.connections_opened) == (2, 1.0, 3)
    assert point.answered is not None and point.answered.mean == 20.0
    assert point.generator.cores == pytest.approx(0.2) and point.generator.us_per_request == pytest.approx(200_000)


def test_the_timeline_has_each_request_where_it_was_planned() -> None:
    timeline = make_timeline(np.array([0.0, 0.01, 1.99]), np.array([1.0, 3.0, 9.0]), 2.0)
    assert (timeline[0].planned, timeline[0].p50_ms, timeline[0].max_ms) == (2, 2.0, 3.0)
    assert (timeline[-1].planned, timeline[-1].max_ms) == (1, 9.0)
    assert sum(moment.planned for moment in timeline) == 3
    assert timeline[5].p50_ms is None


@pytest.mark.parametrize(
    ("fields", "shared", "word"),
    [
        ({"cpu_s": 1.5}, None, "one core"),  # 0.75 cores of one
        ({"cpu_s": 0.7}, 2, "server needs too"),  # 0.35 of 2 cores is more than 15 %
        ({"late_ms": [5.0] * 10}, None, "late"),
        ({"shortages": {errno.EMFILE: 1019}}, None, "no more than 1019 connections: Too many open files; raise ulimit -Hn"),
        ({"shortages": {errno.ENFILE: 8}}, None, "no more than 8 connections"),
        ({"shortages": {errno.EADDRNOTAVAIL: 28000}}, None, "no more than 28000 connections"),
    ],
)
def test_a_generator_that_was_the_limit_spoils_the_point(fields: dict[str, Any], shared: int | None, word: str) -> None:
    answers: dict[str, Any] = {"planned_s": [0.1], "latency_ms": [10.0], "status": [200], "ended_in_time": {200: 1}}
    point = summarise(make_result(**answers, **fields), cores_shared=shared)
    assert point.generator_limited and word in point.generator.limited_by[0]
    assert not summarise(make_result(**answers), cores_shared=shared).generator_limited


def test_lateness_that_is_small_beside_the_latency_is_no_limit() -> None:
    answers: dict[str, Any] = {"planned_s": [0.1], "latency_ms": [100.0], "status": [200], "late_ms": [5.0]}
    assert not summarise(make_result(**answers, served_ms=[95.0])).generator_limited


def test_lateness_is_held_against_the_time_since_sending_not_against_what_it_made_itself() -> None:
    late: dict[str, Any] = {"late_ms": [500.0] * 10, "waited_ms": [500.0] * 10, "served_ms": [20.0] * 10}
    point = summarise(make_result(planned_s=[0.1] * 10, latency_ms=[4000.0] * 10, status=[200] * 10, **late))
    (reason,) = point.generator.limited_by
    assert "500.0 ms late" in reason


@pytest.mark.parametrize(
    ("fields", "is_limited"),
    [
        ({"waited_ms": [600.0]}, True),  # more than a quarter of the two seconds
        ({"waited_ms": [400.0]}, False),
        ({"waited_ms": [600.0], "late_ms": [200.0]}, False),  # the wait from when it was noticed
        ({"waited_ms": [600.0], "max_backlog": 0}, False),
    ],
)
def test_waiting_for_others_in_flight_spoils_a_point_where_it_is_much_of_the_latency(
    fields: dict[str, Any], is_limited: bool
) -> None:
    answers: dict[str, Any] = {"planned_s": [0.1], "latency_ms": [2600.0], "status": [200], "served_ms": [2000.0]}
    point = summarise(make_result(**({"max_backlog": 3} | answers | fields)), clients=None, rate_per_s=300.0)
    assert [reason for reason in point.generator.limited_by if "256 were in flight; allow more" in reason] == (
        list(point.generator.limited_by) if is_limited else []
    )
    assert point.generator_limited == is_limited


def test_waiting_for_connections_this_machine_has_not_is_told_once() -> None:
    result = make_result(waited_ms=[600.0], served_ms=[20.0], max_backlog=3, shortages={errno.EMFILE: 8})
    (reason,) = summarise(result, clients=None, rate_per_s=300.0).generator.limited_by
    assert "8 connections" in reason


def test_a_point_without_any_answer_is_a_point() -> None:
    point = summarise(make_result(planned_s=[0.1], latency_ms=[1.0], status=[0], ended_in_time={0: 1}))
    assert (point.answered, point.outcome, point.quantiles_ms, point.broken) == (None, None, (), 1)
