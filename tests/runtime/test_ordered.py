from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sightline.runtime.ordered import map_in_order, run_in_order


def test_results_keep_the_order_of_the_values() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(map_in_order(pool, lambda value: value * value, range(20), 4)) == [value * value for value in range(20)]


def test_nothing_in_nothing_out() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert list(map_in_order(pool, str, [], 2)) == []


def test_an_error_of_the_work_comes_at_its_place() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = map_in_order(pool, lambda value: 6 // value, [1, 2, 0, 3], 3)
        assert [next(results), next(results)] == [6, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 9])
def test_an_error_of_the_values_comes_after_the_results_of_those_before_it(in_flight: int) -> None:
    def give() -> Iterator[int]:
        yield from (1, 2, 3)
        raise KeyError("fourth")

    discarded: list[int] = []
    results = run_in_order(give(), lambda value: value, lambda value: value * 10, discarded.append, in_flight)
    assert [next(results), next(results), next(results)] == [10, 20, 30]
    with pytest.raises(KeyError, match="fourth"):
        next(results)
    assert discarded == []


def test_work_that_cannot_be_started_fails_at_its_place() -> None:
    results = run_in_order([1, 2, 0, 3], lambda value: 6 // value, lambda handle: handle, lambda handle: None, 3)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_values_closes_what_fed_them() -> None:
    closed = []

    def give() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    with ThreadPoolExecutor(2) as pool:
        stream = map_in_order(pool, str, give(), 3)
        assert next(stream) == "0"
        stream.close()
    assert closed == [True]
