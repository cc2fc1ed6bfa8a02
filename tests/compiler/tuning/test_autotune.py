import threading
from collections import deque
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from toy import SIDE

from sightline.compiler.candidates import Candidate
from sightline.compiler.tuning.autotune import (
    Entrant,
    OpenSessions,
    Setting,
    Turn,
    choose_batches,
    choose_racing,
    choose_settings,
    group_sessions,
    make_batches,
    measure_busy_ms,
    take_turn,
    time_candidates,
    warm_up,
)
from sightline.compiler.tuning.goals import Goal, Timing, rank_timings
from sightline.core.errors import Exhausted
from sightline.runtime.devices import DEVICES


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
    assert choose_settings(1) == [(1, 1, 1)]
    assert choose_settings(2) == [(1, 2, 1), (2, 1, 1)]
    assert choose_settings(8) == [(1, 8, 1), (8, 1, 1), (4, 2, 1)]
    assert choose_settings(8, on_cores=False) == [(1, 8, 1), (2, 4, 1)]  # the cores prepare pictures
    assert choose_settings(1, (8,), on_cores=False) == [(1, 1, 8), (2, 1, 8)]
    assert choose_settings(2, (1, 8)) == [(1, 2, 1), (1, 2, 8), (2, 1, 1), (2, 1, 8)]


def test_settings_worth_trying_keep_to_the_threads_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_THREADS", "3")
    assert choose_settings() == [(1, 3, 1), (3, 1, 1)]


def test_the_fastest_setting_of_each_candidate_is_ranked() -> None:
    timings = [make_timing("a", 100), make_timing("b", 300), make_timing("b", 200), make_timing("a", 150)]
    assert [(timing.candidate, timing.throughput) for timing in rank_timings(timings, Goal("throughput"))] == [
        ("b", 300),
        ("a", 150),
    ]


def test_what_is_equal_within_the_noise_is_decided_by_cpu_time() -> None:
    timings = [make_timing("hungry", 101, cpu_ms=9), make_timing("thrifty", 100, cpu_ms=5), make_timing("slow", 90, cpu_ms=1)]
    assert [timing.candidate for timing in rank_timings(timings, Goal("throughput"))] == ["thrifty", "hungry", "slow"]


def test_noisy_rounds_leave_the_choice_to_cpu_time() -> None:
    timings = [make_timing("hungry", 108, cpu_ms=9, noise=0.25), make_timing("thrifty", 100, cpu_ms=5)]
    assert [timing.candidate for timing in rank_timings(timings, Goal("throughput"))] == ["thrifty", "hungry"]


def test_latency_looks_at_one_stream_only() -> None:
    timings = [
        make_timing("a", 500),
        make_timing("a", 100, streams=1, latency_ms=9),
        make_timing("b", 50, streams=1, latency_ms=8),
    ]
    ranked = rank_timings(timings, Goal("latency"))
    assert [(timing.candidate, timing.latency_ms) for timing in ranked] == [("b", 8), ("a", 9)]


def test_nothing_timed_ranks_nothing() -> None:
    assert rank_timings([], Goal()) == []


def test_every_candidate_is_timed_with_every_setting(model: Path) -> None:
    graph = model / "model.onnx"
    candidates = [Candidate(engine, "fp32", None, graph, graph) for engine in ("openvino", "onnxruntime")]
    samples = [np.zeros((1, 3, SIDE, SIDE), np.float32)] * 2
    turns: list[float] = []
    timings = time_candidates(
        candidates, "images", samples, [Setting(1, 1), Setting(2, 1), Setting(1, 1, 2)], seconds=0.02, on_turn=turns.append
    )
    assert {(timing.candidate, timing.streams, timing.batch) for timing in timings} == {
        (candidate.name, *setting) for candidate in candidates for setting in ((1, 1), (2, 1), (1, 2))
    }
    assert all(timing.throughput > 0 and timing.cpu_ms > 0 for timing in timings)
    assert all((timing.latency_ms is not None) == (timing.streams == timing.batch == 1) for timing in timings)
    assert all(timing.p99_ms is not None and timing.p99_ms > 0 for timing in timings)
    assert turns[-1] == 1


def test_no_candidate_is_timed_cold(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the compilation of a shape counts as its speed, and in the screening decides."""
    given: list[str] = []

    def take(*_: object) -> Turn:
        given.append("turn")
        return Turn(1.0, 1.0, (1.0,), 1.0)

    monkeypatch.setattr("sightline.compiler.tuning.autotune.warm_up", lambda *_: given.append("warm-up"))
    monkeypatch.setattr("sightline.compiler.tuning.autotune.take_turn", take)
    candidate = Candidate("onnxruntime", "fp32", None, model / "model.onnx", model / "model.onnx")
    time_candidates([candidate], "images", [np.zeros((1, 3, SIDE, SIDE), np.float32)], [Setting(1, 1), Setting(1, 1, 2)], 0.02)
    assert given == ["warm-up", "turn", "warm-up", "turn"]


def test_a_session_is_warmed_up_twice_at_first_and_once_before_each_further_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    class CountedSession:
        inferred = 0

        def infer(self, inputs: object) -> None:
            self.inferred += 1

    monkeypatch.setattr("sightline.compiler.tuning.autotune.WARM_UPS", 2)
    batches = [np.zeros((1, 1), np.float32)]
    for entrant, expected in (
        (Entrant(make_entrant("a", Setting(3, 1), 1).candidate, Setting(3, 1)), 6),
        (make_entrant("a", Setting(3, 1), 1), 3),
    ):
        session = CountedSession()
        warm_up(session, entrant, "images", batches)  # type: ignore[arg-type]
        assert session.inferred == expected


def test_latency_is_asked_for_with_single_pictures_only() -> None:
    for device, batches in (("cpu", (1, 8)), ("cuda", (1, 8, 64))):
        assert choose_batches(Goal("latency"), DEVICES[device]) == (1,)
        assert choose_batches(Goal("throughput"), DEVICES[device]) == batches


def test_efficiency_takes_the_least_cpu_time() -> None:
    timings = [make_timing("fast", 300, cpu_ms=9), make_timing("thrifty", 100, cpu_ms=2)]
    assert rank_timings(timings, Goal("efficiency"))[0].candidate == "thrifty"


def test_a_promised_latency_comes_before_speed() -> None:
    late, kept = (make_timing(name, speed) for name, speed in (("late", 300.0), ("kept", 100.0)))
    timings = [msgspec.structs.replace(late, p99_ms=30.0), msgspec.structs.replace(kept, p99_ms=19.0)]
    assert [timing.candidate for timing in rank_timings(timings, Goal("throughput", 20))] == ["kept", "late"]


def test_when_nothing_keeps_the_promise_the_nearest_is_first() -> None:
    timings = [msgspec.structs.replace(make_timing(name, 100), p99_ms=p99) for name, p99 in (("far", 90.0), ("near", 25.0))]
    ranked = rank_timings(timings, Goal("throughput", 20))
    assert ranked[0].candidate == "near"
    assert not Goal("throughput", 20).is_kept(ranked[0])


def make_entrant(name: str, setting: Setting, throughput: float) -> Entrant:
    candidate = Candidate("onnxruntime", "fp32", name, Path("x.onnx"), Path("x.onnx"))
    return Entrant(candidate, setting, [Turn(throughput, 1.0, (1.0,), None)] * 2)


def test_what_is_far_behind_drops_out_but_the_best_of_each_candidate_stays() -> None:
    fast, faster = make_entrant("a", Setting(1, 2), 90), make_entrant("a", Setting(2, 1), 100)
    slow, slower = make_entrant("b", Setting(1, 2), 50), make_entrant("b", Setting(2, 1), 40)
    assert choose_racing([fast, faster, slow, slower], Goal()) == [fast, faster, slow]


def test_batches_share_a_session() -> None:
    entrants = [make_entrant("a", Setting(streams, 1, batch), 1) for streams in (1, 2) for batch in (1, 8)]
    assert [[entrant.setting for entrant in group] for group in group_sessions(entrants)] == [
        [(1, 1, 1), (1, 1, 8)],
        [(2, 1, 1), (2, 1, 8)],
    ]


def test_batches_are_filled_from_the_samples_in_turn() -> None:
    samples = [np.full((1, 1), value, np.float32) for value in range(5)]
    assert [batch.ravel().tolist() for batch in make_batches(samples, 2)] == [[0, 1], [2, 3]]
    assert [batch.ravel().tolist() for batch in make_batches(samples[:3], 8)] == [[0, 1, 2, 0, 1, 2, 0, 1]]


@pytest.mark.parametrize(("available_bytes", "opened"), [(80, 2), (79, 4)])
def test_sessions_too_large_to_be_open_together_are_opened_for_each_turn(available_bytes: int, opened: int) -> None:
    class CountedSession:
        open_now, opened = 0, 0

        def __init__(self, place: int) -> None:
            CountedSession.open_now += 1
            CountedSession.opened += 1

        def close(self) -> None:
            CountedSession.open_now -= 1

    with OpenSessions([10, 10], CountedSession, available_bytes) as sessions:  # type: ignore[arg-type]  # four times the files
        for place in (0, 1, 0, 1):
            with sessions.use(place):
                assert CountedSession.open_now == 1 or opened == 2
    assert (CountedSession.opened, CountedSession.open_now) == (opened, 0)


class SmallDevice:
    """Holds `SPACE` pictures: of each open session those of its largest inference so far."""

    SPACE = 10
    held: ClassVar["dict[SmallDevice, int]"] = {}

    def __init__(self, *_: object) -> None:
        self.held[self] = 0

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.held[self] = max(self.held[self], len(inputs["images"]))
        if sum(self.held.values()) > self.SPACE:
            raise Exhausted("the GPU's memory is used up")
        return inputs

    def stream(self, inputs: Iterable[dict[str, np.ndarray]]) -> Generator[dict[str, np.ndarray], None, None]:
        return (self.infer(one) for one in inputs)

    def close(self) -> None:
        del self.held[self]


def test_what_lacks_memory_is_tried_alone_and_left_out_if_that_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Candidate, "open", SmallDevice)
    monkeypatch.setattr(Candidate, "size_bytes", 1)
    candidates = [Candidate("torch", precision, None, Path("a"), Path("a")) for precision in ("fp16", "fp32")]  # type: ignore[arg-type]
    settings = [Setting(1, 1), Setting(1, 1, 8), Setting(1, 1, 64)]
    timings = time_candidates(candidates, "images", [np.zeros((1, 1), np.float32)], settings, 0.001)
    assert {(timing.candidate, timing.batch) for timing in timings} == {
        ("torch fp16", 1),
        ("torch fp16", 8),
        ("torch fp32", 1),
        ("torch fp32", 8),
    }
    assert SmallDevice.held == {}


def test_noise_never_gives_away_more_than_a_tenth_of_the_speed() -> None:
    timings = [make_timing("hungry", 120, cpu_ms=9, noise=0.4), make_timing("thrifty", 100, cpu_ms=5)]
    assert rank_timings(timings, Goal("throughput"))[0].candidate == "hungry"


def test_the_percentile_is_read_from_all_rounds_together() -> None:
    entrant = make_entrant("a", Setting(1, 1), 1)
    entrant.turns = [Turn(1.0, 1.0, (1.0,) * 99, None), Turn(1.0, 1.0, (1.0,) * 98 + (9.0,) * 3, None)]
    timing = entrant.sum_up()
    assert (timing.p99_ms, timing.p99_count) == (9.0, 200)


class OneStream:
    """A session of one stream whose inferences take 10 ms of a clock that only they move; its stream takes two at once."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def infer(self, inputs: object) -> dict[str, np.ndarray]:
        self.now_s += 0.01
        return {}

    def stream(self, inputs: Iterable[object]) -> Generator[dict[str, np.ndarray], None, None]:
        waiting: deque[object] = deque()
        for one in inputs:
            waiting.append(one)
            if len(waiting) == 2:
                yield self.infer(waiting.popleft())
        while waiting:
            yield self.infer(waiting.popleft())


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("is_promised", [True, False])
def test_the_time_of_an_inference_is_not_that_of_waiting_behind_another(
    batch: int, is_promised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = OneStream()
    monkeypatch.setattr("sightline.compiler.tuning.autotune.time.perf_counter", lambda: session.now_s)
    turn = take_turn(session, Setting(1, 1, batch), "images", [np.zeros((batch, 1))], 1.0, is_promised)  # type: ignore[arg-type]
    assert turn.busy_ms == pytest.approx([10.0] * len(turn.busy_ms))
    assert turn.throughput == pytest.approx(100 * batch)
    assert turn.latency_ms == (pytest.approx(10.0) if batch == 1 else None)
    assert len(turn.busy_ms) == pytest.approx(50 if is_promised or batch == 1 else 25, abs=2)  # 10 ms each


def test_as_many_inferences_are_timed_at_once_as_there_are_streams() -> None:
    class MeetingSession:
        """The first inferences of three callers wait for each other; a fourth would wait for ever."""

        def __init__(self) -> None:
            self.callers: set[int] = set()
            self.meeting = threading.Barrier(3, timeout=20)

        def infer(self, inputs: object) -> None:
            if threading.get_ident() not in self.callers:
                self.callers.add(threading.get_ident())
                self.meeting.wait()

    session = MeetingSession()
    samples = [np.zeros((1, 1), np.float32)] * 2
    times = measure_busy_ms(session, "images", samples, 3, 0.01)  # type: ignore[arg-type]
    assert len(session.callers) == 3
    assert len(times) >= 3 and min(times) >= 0
