"""Until when a phase of a connection may last, by a clock of the test's own."""

from math import inf

from sightline.serving.http.connections.phase_clock import PhaseClock
from sightline.serving.http.connections.rules import ConnectionLimits

LIMITS = ConnectionLimits(body_grace_s=10.0, min_body_bytes_per_s=1000, write_timeout_s=30.0)


class Time:
    """Seconds that only pass when told."""

    now_s = 100.0

    def read(self) -> float:
        return self.now_s


def make_clock() -> tuple[PhaseClock, Time]:
    time = Time()
    return PhaseClock(LIMITS, time.read), time


def test_a_phase_without_a_limit_lasts_for_ever() -> None:
    clock, _ = make_clock()
    assert (clock.phase, clock.deadline_s) == ("idle", inf)
    clock.enter("head", 5.0)
    assert (clock.phase, clock.deadline_s) == ("head", 105.0)
    clock.enter("busy")
    assert (clock.phase, clock.deadline_s) == ("busy", inf)


def test_a_body_has_its_grace_and_what_comes_buys_time_at_the_least_rate() -> None:
    clock, time = make_clock()
    clock.enter_body()
    assert clock.deadline_s == 110.0
    time.now_s = 105.0
    clock.count_body(2000)
    assert clock.deadline_s == 112.0
    clock.count_body(50_000)  # much: but nothing may come for no longer than the grace
    assert clock.deadline_s == 115.0
    for second in range(106, 135):  # a byte a second: the credit of three graces is used up
        time.now_s = float(second)
        clock.count_body(1)
    assert 135.0 < clock.deadline_s < 135.1


def test_a_reader_buys_time_with_what_it_reads_but_no_more_than_the_timeout() -> None:
    clock, time = make_clock()
    clock.await_reader("busy")
    assert clock.deadline_s == 130.0
    time.now_s = 130.5
    assert clock.credit_reader(1000)
    assert clock.deadline_s == 131.0
    time.now_s = 131.5
    assert not clock.credit_reader(499)
    assert clock.credit_reader(1_000_000)
    assert clock.deadline_s == 161.5


def test_hurry_only_shortens() -> None:
    clock, _ = make_clock()
    clock.enter("lingering", 2.0)
    clock.hurry(5.0)
    assert clock.deadline_s == 102.0
    clock.hurry(0.5)
    assert clock.deadline_s == 100.5
