import asyncio
import threading

import pytest

from sightline.core.errors import Exhausted
from sightline.serving.workers import Workers


def test_places_are_limited_and_given_back_also_after_an_error() -> None:
    workers = Workers(threads=1, max_waiting=1)
    with workers.admit(), workers.admit():
        with pytest.raises(Exhausted, match="full"), workers.admit():
            pass
        assert workers.admitted == 2
    with pytest.raises(ZeroDivisionError), workers.admit():
        raise ZeroDivisionError
    assert workers.admitted == 0
    workers.close()


def test_work_runs_off_the_event_loop_and_its_error_comes_back() -> None:
    workers = Workers(threads=1, max_waiting=0)

    def fail() -> None:
        raise KeyError("x")

    async def ask() -> int:
        with pytest.raises(KeyError):
            await workers.run(fail)
        return await workers.run(threading.get_ident)

    assert asyncio.run(ask()) != threading.get_ident()
    workers.close()
