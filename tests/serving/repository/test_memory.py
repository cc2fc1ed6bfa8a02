"""What opening a model takes."""

import numpy as np
import pytest

from sightline.serving.repository.memory import MemoryMeter, read_anonymous_bytes

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
