import math

import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.metrics.intervals import (
    Interval,
    draw_weights,
    paired_proportion_change,
    proportion_interval,
    summarise_changes,
    widen_empty,
)


def test_the_paired_change_by_hand():
    before = np.array([True] * 90 + [False] * 10)
    after = before.copy()
    after[:6] = False  # 6 lost
    after[98:] = True  # 2 gained
    interval = paired_proportion_change(before, after)
    assert interval.estimate == pytest.approx(-0.04)
    gained, lost = 3 / 102, 7 / 102
    half = 1.959964 * math.sqrt((gained + lost - (gained - lost) ** 2) / 102)
    assert (interval.low, interval.high) == pytest.approx((gained - lost - half, gained - lost + half), abs=1e-6)


def test_no_change_in_few_pictures_proves_little():
    same = np.ones(10, bool)
    interval = paired_proportion_change(same, same)
    assert interval.estimate == 0.0
    assert interval.low < -0.15 and interval.high > 0.15
    assert paired_proportion_change(np.zeros(0, bool), np.zeros(0, bool)) == Interval(0, -1, 1)
    # One lost of one: (0 + 1) and (1 + 1) of 3, so -1/3 ± 1.96 * root((1 - 1/9) / 3) = -1/3 ± 1.0669, cut off at what can be.
    one, none = np.ones(1, bool), np.zeros(1, bool)
    lost, gained = paired_proportion_change(one, none), paired_proportion_change(none, one)
    assert (lost.estimate, lost.low, lost.high) == (-1, -1, pytest.approx(0.7336, abs=1e-4))
    assert (gained.estimate, gained.low, gained.high) == (1, pytest.approx(-0.7336, abs=1e-4), 1)


def test_the_paired_change_covers_the_truth_about_95_times_in_100():
    rng, covered = np.random.default_rng(7), 0
    for _ in range(1000):
        kind = rng.choice(4, size=120, p=[0.80, 0.03, 0.07, 0.10])  # both right, gained, lost, both wrong: truth -0.04
        interval = paired_proportion_change((kind == 0) | (kind == 2), (kind == 0) | (kind == 1))
        covered += interval.low <= -0.04 <= interval.high
    assert 930 <= covered <= 985


@pytest.mark.parametrize(("before", "after"), [(np.zeros(3), np.zeros(4)), (np.zeros((2, 2)), np.zeros((2, 2)))])
def test_pairs_need_one_length(before, after):
    with pytest.raises(InvalidInput, match="one length"):
        paired_proportion_change(before, after)


def test_weights_are_whole_resamples_and_follow_the_seed():
    weights = draw_weights(30, 200, seed=4)
    assert weights.shape == (200, 30)
    assert (weights.sum(axis=1) == 30).all()
    np.testing.assert_array_equal(weights, draw_weights(30, 200, seed=4))
    assert (weights != draw_weights(30, 200, seed=5)).any()
    assert draw_weights(0, 5, 0).shape == (5, 0)


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_interval(rng):
    before, after = rng.random(400), rng.random(400) + 0.1
    differences = after - before
    interval = summarise_changes(differences.mean(), draw_weights(400, 4000, seed=1) @ differences / 400)
    half = 1.959964 * differences.std(ddof=1) / 20  # the root of 400
    expected = (differences.mean() - half, differences.mean() + half)
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.2 * half)


def test_changes_that_are_not_known_are_left_out():
    assert summarise_changes(0.5, np.array([np.nan, 0.5, 0.5])).low == 0.5
    for estimate, changes in ((math.nan, [np.nan]), (math.nan, [0.5]), (0.5, [np.nan])):
        assert summarise_changes(estimate, np.array(changes)) == Interval(0, -1, 1)


def test_a_proportion_is_not_exactly_known_where_all_are_right():
    """The ends solve |p - share| = 1.96 sqrt(p (1 - p) / n): the score test just accepts them."""
    perfect = proportion_interval(np.ones(10, bool))
    assert (perfect.estimate, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    nearly = proportion_interval(np.array([True] * 99 + [False]))
    for end in (nearly.low, nearly.high):
        assert abs(end - 0.99) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 100), abs=1e-6)
    none = proportion_interval(np.zeros(4, bool))
    assert (none.low, none.high) == (0.0, pytest.approx(1.959964**2 / (4 + 1.959964**2), abs=1e-6))
    assert proportion_interval(np.zeros(0, bool)) == Interval(0.0, 0.0, 1.0)


def test_an_interval_of_no_width_is_widened_by_the_rule_of_three():
    assert widen_empty(Interval(1.0, 1.0, 1.0), 12, 0.0) == Interval(1.0, 0.75, 1.0)
    assert widen_empty(Interval(0.0, 0.0, 0.0), 12, -1.0) == Interval(0.0, -0.25, 0.25)
    assert widen_empty(Interval(0.0, 0.0, 0.0), 2, 0.0) == Interval(0.0, 0.0, 1.0)
    for same in (Interval(0.5, 0.4, 0.6), Interval(0.5, 0.5, 0.5)):
        assert widen_empty(same, 0 if same.is_empty else 3, 0.0) == same
