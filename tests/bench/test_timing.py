import statistics

import numpy as np
import pytest

from sightline.bench.timing import Stopwatch, Stretch, compute_spread, measure_in_turn, thin_samples
from sightline.core.errors import InvalidInput


def test_spread_agrees_with_the_statistics_module(rng: np.random.Generator) -> None:
    samples = rng.gamma(2.0, 3.0, 101).tolist()
    spread = compute_spread(samples)
    assert spread.mean == pytest.approx(statistics.fmean(samples))
    assert spread.std == pytest.approx(statistics.stdev(samples))
    assert spread.p50 == pytest.approx(statistics.median(samples))
    ordered = sorted(samples)
    assert (spread.p90, spread.p99) == pytest.approx((ordered[90], ordered[99]))  # 101 samples: percent and rank agree
    assert (spread.minimum, spread.maximum, spread.count) == (ordered[0], ordered[100], 101)


def test_one_sample_does_not_scatter() -> None:
    spread = compute_spread([3.0])
    assert (spread.mean, spread.std, spread.p99) == (3.0, 0.0, 3.0)


def test_no_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one sample"):
        compute_spread([])


def test_every_point_is_measured_once_per_round(rng: np.random.Generator) -> None:
    order: list[str] = []

    def measure(point: str) -> Stretch:
        order.append(point)
        return Stretch(units=len(order), wall_s=1.0, cpu_s=1.0)

    stretches = measure_in_turn(["a", "b", "c"], measure, 5, rng)
    rounds = [order[start : start + 3] for start in range(0, 15, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1, "each round has its own order"
    assert [stretch.units for stretch in stretches["a"]] == [index + 1 for index, point in enumerate(order) if point == "a"]


def test_less_than_one_round_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InvalidInput, match="at least 1 round"):
        measure_in_turn(["a"], lambda point: Stretch(units=1, wall_s=1, cpu_s=1), 0, rng)


def test_thinning_keeps_both_ends_and_never_exceeds_the_limit() -> None:
    kept = thin_samples(list(range(10_001)), limit=11)
    assert kept == tuple(range(0, 10_001, 1000))
    assert thin_samples([1.0, 2.0], limit=11) == (1.0, 2.0)


def test_a_stopwatch_counts_the_cpu_seconds_of_work() -> None:
    watch = Stopwatch()
    while watch.read(1).cpu_s < 0.01:
        sum(range(1000))
    stretch = watch.read(7)
    assert stretch.units == 7
    assert stretch.cpu_s >= 0.01
