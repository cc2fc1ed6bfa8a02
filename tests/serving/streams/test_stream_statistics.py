import pytest

from sightline.serving.streams.messages import Counts
from sightline.serving.streams.stream_statistics import StreamStatistics, find_percentile_ms


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_percentiles_are_by_nearest_rank() -> None:
    values_s = [number / 1000 for number in range(1, 101)]
    assert find_percentile_ms(values_s, 0.5) == 50.0
    assert find_percentile_ms(values_s, 0.99) == 99.0
    assert find_percentile_ms([0.007], 0.99) == 7.0
    assert find_percentile_ms([], 0.5) is None


def test_latency_runs_from_due_to_result_and_the_rate_is_of_the_last_ten_seconds() -> None:
    clock = Clock()
    statistics = StreamStatistics(clock)
    for number in range(100):  # five a second for 20 s
        clock.now_s = number * 0.2 + 0.2
        statistics.add_result(clock.now_s - 0.03)
    view = statistics.read()
    assert view.frames_analysed == 100
    assert view.analysed_per_s == pytest.approx(5, abs=0.1)
    assert view.latency_ms_p50 == pytest.approx(30)
    clock.now_s += 60
    assert statistics.read().analysed_per_s == 0


def test_drops_stand_by_reason_and_decoders_add_up() -> None:
    clock = Clock()
    statistics = StreamStatistics(clock)
    statistics.add_drop("timeout")
    statistics.set_counts(Counts(read=10, dropped=2, late=1, cpu_s=0.5))
    statistics.end_decoder()
    statistics.set_counts(Counts(read=5, dropped=1, errors=1, cpu_s=0.25, waiting=3))
    clock.now_s = 3.0
    view = statistics.read()
    assert view.frames_dropped == {"late": 1, "timeout": 1, "waiting": 3}
    assert (view.frames_read, view.frames_damaged, view.frames_waiting) == (15, 1, 3)
    assert (view.decoder_cpu_s, view.decoder_cpu) == (0.75, 0.25)


def test_a_stream_that_ended_stands_still() -> None:
    clock = Clock()
    statistics = StreamStatistics(clock)
    clock.now_s = 2.0
    statistics.add_result(1.9)
    statistics.end()
    before = statistics.read()
    clock.now_s = 500.0
    assert statistics.read() == before
