from pathlib import Path

import numpy as np
import pytest
from toy import SIDE

from sightline.compiler.autotune import OpenSessions, Timing, choose_settings, rank_timings, time_candidates
from sightline.compiler.candidates import Candidate


def make_timing(
    candidate: str,
    throughput: float,
    cpu_ms: float = 1.0,
    streams: int = 2,
    latency_ms: float | None = None,
    noise: float = 0.0,
) -> Timing:
    return Timing(
        candidate=candidate,
        streams=streams,
        threads=1,
        throughput=throughput,
        latency_ms=latency_ms,
        cpu_ms=cpu_ms,
        throughput_range=(throughput, throughput),
        noise=noise,
    )


def test_settings_use_all_cores_in_every_way() -> None:
    assert choose_settings(1) == [(1, 1)]
    assert choose_settings(2) == [(1, 2), (2, 1)]
    assert choose_settings(8) == [(1, 8), (8, 1), (4, 2)]


def test_the_fastest_setting_of_each_candidate_is_ranked() -> None:
    timings = [make_timing("a", 100), make_timing("b", 300), make_timing("b", 200), make_timing("a", 150)]
    assert [(timing.candidate, timing.throughput) for timing in rank_timings(timings, "throughput")] == [("b", 300), ("a", 150)]


def test_what_is_equal_within_the_noise_is_decided_by_cpu_time() -> None:
    timings = [make_timing("hungry", 101, cpu_ms=9), make_timing("thrifty", 100, cpu_ms=5), make_timing("slow", 90, cpu_ms=1)]
    assert [timing.candidate for timing in rank_timings(timings, "throughput")] == ["thrifty", "hungry", "slow"]


def test_noisy_rounds_leave_the_choice_to_cpu_time() -> None:
    timings = [make_timing("hungry", 120, cpu_ms=9, noise=0.25), make_timing("thrifty", 100, cpu_ms=5)]
    assert [timing.candidate for timing in rank_timings(timings, "throughput")] == ["thrifty", "hungry"]


def test_latency_looks_at_one_stream_only() -> None:
    timings = [
        make_timing("a", 500),
        make_timing("a", 100, streams=1, latency_ms=9),
        make_timing("b", 50, streams=1, latency_ms=8),
    ]
    ranked = rank_timings(timings, "latency")
    assert [(timing.candidate, timing.latency_ms) for timing in ranked] == [("b", 8), ("a", 9)]


def test_nothing_timed_ranks_nothing() -> None:
    assert rank_timings([], "throughput") == []


def test_every_candidate_is_timed_with_every_setting(model: Path) -> None:
    graph = model / "model.onnx"
    candidates = [Candidate(engine, "fp32", None, graph, graph) for engine in ("openvino", "onnxruntime")]
    samples = [np.zeros((1, 3, SIDE, SIDE), np.float32)] * 2
    turns: list[float] = []
    timings = time_candidates(candidates, "images", samples, [(1, 1), (2, 1)], seconds=0.02, on_turn=turns.append)
    assert {(timing.candidate, timing.streams) for timing in timings} == {
        (candidate.name, streams) for candidate in candidates for streams in (1, 2)
    }
    assert all(timing.throughput > 0 and timing.cpu_ms > 0 for timing in timings)
    assert all((timing.latency_ms is not None) == (timing.streams == 1) for timing in timings)
    assert turns[-1] == 1


@pytest.mark.parametrize(("limit_bytes", "opened"), [(10, 2), (9, 4)])
def test_sessions_too_large_to_be_open_together_are_opened_for_each_turn(
    limit_bytes: int, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CountedSession:
        open_now, opened = 0, 0

        def __init__(self, place: int) -> None:
            CountedSession.open_now += 1
            CountedSession.opened += 1

        def close(self) -> None:
            CountedSession.open_now -= 1

    monkeypatch.setattr("sightline.compiler.autotune.MOST_OPEN_BYTES", limit_bytes)
    with OpenSessions(10, CountedSession) as sessions:  # type: ignore[arg-type]
        for place in (0, 1, 0, 1):
            with sessions.use(place):
                assert CountedSession.open_now == 1 or opened == 2
    assert (CountedSession.opened, CountedSession.open_now) == (opened, 0)
