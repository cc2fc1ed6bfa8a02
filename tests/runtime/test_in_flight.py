from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from sightline.core.errors import InvalidInput
from sightline.runtime.in_flight import InFlight


def test_closing_waits_for_all_that_are_inside_and_lets_nobody_in() -> None:
    in_flight = InFlight()
    with ThreadPoolExecutor(1) as pool:
        with in_flight:
            with in_flight:
                closing = pool.submit(in_flight.close)
                assert not wait([closing], timeout=0.1).done
            assert not wait([closing], timeout=0.1).done
            with pytest.raises(InvalidInput, match="closed"):
                in_flight.__enter__()
        closing.result()
    in_flight.close()


def test_an_error_inside_is_raised_and_counted_out() -> None:
    in_flight = InFlight()
    with pytest.raises(KeyError), in_flight:
        raise KeyError
    in_flight.close()
