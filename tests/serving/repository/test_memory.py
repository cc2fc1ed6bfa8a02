"""What opening a model takes, and what requests leave behind."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from sightline.serving.repository.memory import MemoryMeter, keep_giving_back, read_anonymous_bytes

MIB = 1 << 20


def test_what_is_kept_is_counted_and_what_is_freed_is_not() -> None:
    if not read_anonymous_bytes():
        pytest.skip("this system does not tell")
    with MemoryMeter().measure() as measured:
        kept = np.ones(32 * MIB, np.uint8)
        passing = np.ones(64 * MIB, np.uint8)
        del passing
    assert 31 * MIB <= measured.grown_bytes <= 48 * MIB
    assert kept.all()


def test_what_shrinks_took_nothing() -> None:
    readings = [9, 4]
    with MemoryMeter(lambda: readings.pop(0)).measure() as measured:
        pass
    assert measured.grown_bytes == 0


def test_memory_is_given_back_while_requests_come_and_once_after_the_last() -> None:
    counts, given = [0, 5, 9, 9, 9, 12, 12], []
    with pytest.raises(StopAsyncIteration):
        asyncio.run(give_back_for(counts, lambda: given.append(len(counts))))
    assert given == [5, 4, 1]  # at 5, at 9 and at 12: counts that were left


async def give_back_for(counts: list[int], give_back: Callable[[], None]) -> None:
    """Runs until the counts are used up."""

    def count() -> int:
        if not counts:
            raise StopAsyncIteration
        return counts.pop(0)

    await keep_giving_back(count, every_s=0.0, give_back=give_back)
