import math

import pytest

from sightline.training.schedules import (
    augmentation_factor,
    cosine_factor,
    learning_rate_factor,
    poly_factor,
    warm_up_factor,
)


def test_the_cosine_runs_from_one_to_its_end() -> None:
    assert cosine_factor(0, 0.1) == 1
    assert cosine_factor(0.5, 0.1) == pytest.approx(0.55)  # halfway between 1 and 0.1
    assert cosine_factor(1, 0.1) == pytest.approx(0.1)


def test_poly_with_power_one_is_a_line() -> None:
    assert poly_factor(0.25, 0.0, power=1.0) == pytest.approx(0.75)
    assert poly_factor(1, 0.2) == pytest.approx(0.2)
    assert poly_factor(0.75, 0.2) == pytest.approx(0.2 + 0.8 * 0.25**0.9)


def test_a_budget_that_ran_over_stays_at_the_end() -> None:
    assert cosine_factor(1.2, 0.1) == poly_factor(1.2, 0.1) == pytest.approx(0.1)
    assert cosine_factor(-0.2, 0.1) == poly_factor(-0.2, 0.1) == 1


def test_the_warm_up_rises_in_a_line_and_then_stays() -> None:
    assert warm_up_factor(0, 0.1, start=0.2) == pytest.approx(0.2)
    assert warm_up_factor(0.05, 0.1, start=0.2) == pytest.approx(0.6)
    assert warm_up_factor(0.1, 0.1) == warm_up_factor(0.7, 0.1) == warm_up_factor(0, 0) == 1
    assert warm_up_factor(0, 0.1) == 0.05


def test_a_constant_rate_only_warms_up() -> None:
    assert learning_rate_factor("constant", 0.9, 0.1, 0.01) == 1
    assert learning_rate_factor("cosine", 1.0, 0.1, 0.01) == pytest.approx(0.01)
    assert learning_rate_factor("poly", 1.0, 0.1, 0.01) == pytest.approx(0.01)
    # Half way through the warm-up: 0.05 + 0.95 / 2; the cosine has begun.
    assert learning_rate_factor("cosine", 0.05, 0.1, 0.0) == pytest.approx(0.525 * (1 + math.cos(0.05 * math.pi)) / 2)
    assert learning_rate_factor("constant", 0.05, 0.1, 0.0) == pytest.approx(0.525)


def test_strong_augmentation_fades_out_before_the_end() -> None:
    assert augmentation_factor(0.0, 0.25) == 1
    assert augmentation_factor(0.725, 0.25, ramp=0.05) == pytest.approx(0.5)
    assert augmentation_factor(0.74, 0.25) == pytest.approx(0.2)
    assert augmentation_factor(0.75, 0.25) == augmentation_factor(1, 0.25) == 0
    assert augmentation_factor(1, 0) == 1
