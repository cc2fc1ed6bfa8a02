"""Slots are made when they are needed, no more than there are streams, and a failure loses none."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from sightline.runtime.backends.cuda.slots import Slots

INPUTS = {"x": np.zeros(1, np.float32)}


class FakeSlot:
    def __init__(self, body: Any) -> None:
        self.body, self.in_use = body, threading.Lock()


def test_no_more_slots_than_streams_are_made_and_all_of_one_body() -> None:
    made: list[FakeSlot] = []
    bodies: list[object] = []

    def write(inputs: Any) -> Any:
        bodies.append(object())
        return bodies[-1]

    def capture(body: Any, inputs: Any) -> Any:
        made.append(FakeSlot(body))
        return made[-1]

    slots = Slots(write, capture, 2)
    start = threading.Barrier(6)

    def work(_: int) -> None:
        start.wait()
        for _ in range(50):
            with slots.use(INPUTS) as slot:
                assert slot.in_use.acquire(blocking=False)  # type: ignore[attr-defined]
                slot.in_use.release()  # type: ignore[attr-defined]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert 1 <= len(made) <= 2
    assert [slot.body for slot in made] == bodies * len(made)


def test_a_capture_that_fails_is_tried_again_and_no_caller_waits_for_ever() -> None:
    failures = iter([RuntimeError("no memory"), RuntimeError("no memory")])

    def capture(body: Any, inputs: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return FakeSlot(body)

    slots = Slots(lambda inputs: lambda values: values, capture, 1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no memory"), slots.use(INPUTS):
            pass
        assert slots.has_failed
    with slots.use(INPUTS) as slot:
        pass
    with pytest.raises(KeyError), slots.use(INPUTS):
        raise KeyError
    with slots.use(INPUTS) as again:
        assert again is slot
    assert not slots.has_failed
