"""What a server is made of is left out of collections; what requests leave is not."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from sightline.serving.process.garbage import YOUNG_OBJECTS, spare_lasting_objects


class Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.unfreeze()  # what conftest.py froze
    yield
    gc.set_threshold(*thresholds)
    gc.freeze()


def test_lasting_objects_are_not_looked_at_any_more() -> None:
    lasting = Knot()
    spare_lasting_objects()
    assert gc.get_freeze_count() > 1000
    assert not any(one is lasting for one in gc.get_objects())
    assert gc.get_threshold()[0] == YOUNG_OBJECTS


def test_garbage_that_was_there_is_not_spared() -> None:
    knot = weakref.ref(Knot())
    spare_lasting_objects()
    assert knot() is None


def test_garbage_that_comes_later_is_collected_without_being_asked_for() -> None:
    spare_lasting_objects()
    knot = weakref.ref(Knot())
    kept = [[] for _ in range(2 * YOUNG_OBJECTS)]
    assert knot() is None
    assert len(kept) == 2 * YOUNG_OBJECTS
