import numpy as np
import pytest

from sightline.bench.load.arrivals import ClosedLoop, OpenLoop


def take(arrivals: OpenLoop, count: int) -> list[float]:
    return [arrivals.take() for _ in range(count)]


def test_poisson_arrivals_have_independent_exponential_gaps() -> None:
    moments = np.array(take(OpenLoop(200.0, 5.0, seed=3), 20_000))
    gaps = np.diff(moments, prepend=5.0)
    assert (gaps > 0).all()
    # Mean and standard deviation of an exponential distribution are both 1 / rate; 5 standard errors of 20,000 samples.
    assert gaps.mean() == pytest.approx(1 / 200, rel=5 / np.sqrt(20_000))
    assert gaps.std() == pytest.approx(1 / 200, rel=0.05)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 5 / np.sqrt(20_000)


def test_a_seed_repeats_its_arrivals_and_another_does_not() -> None:
    assert take(OpenLoop(10.0, 0.0, 1), 50) == take(OpenLoop(10.0, 0.0, 1), 50) != take(OpenLoop(10.0, 0.0, 2), 50)


def test_an_open_loop_does_not_wait_for_answers() -> None:
    arrivals = OpenLoop(10.0, 0.0, 1)
    due = arrivals.next_at
    arrivals.end_one(99.0)
    assert arrivals.next_at == due


def test_a_closed_loop_has_a_request_a_client_until_one_ends() -> None:
    arrivals = ClosedLoop(2, 1.0)
    assert [arrivals.take(), arrivals.take()] == [1.0, 1.0]
    assert arrivals.next_at == float("inf")
    arrivals.end_one(3.0)
    arrivals.end_one(2.0)
    assert [arrivals.take(), arrivals.take(), arrivals.next_at] == [2.0, 3.0, float("inf")]
