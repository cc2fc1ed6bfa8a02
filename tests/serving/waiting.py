"""Waiting for what another thread or process does soon."""

import time
from collections.abc import Callable

DEADLINE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str = "the deadline passed") -> None:
    """Return when the condition holds. Raises: AssertionError when it does not come to hold in time."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.005)
