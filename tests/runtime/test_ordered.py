from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sightline.runtime.ordered import map_in_order


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
