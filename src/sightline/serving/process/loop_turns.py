"""While requests wait, the event loop waits its turn: when it wakes it does not push a thread that infers off its core.

Linux lets a thread that wakes interrupt one that runs. When requests queue the loop wakes a thousand times a second for a few
bytes, every interruption costs an inference what it had in the caches of its core, and nobody gains: what has come waits
anyway. A thread of the policy SCHED_BATCH interrupts nobody (sched(7)): on an idle core it runs at once, else at the end of the
other's slice, some milliseconds, with more to do by then. Where few wait those milliseconds are what a request takes longer.
"""

import os
import sys
from collections.abc import Callable

# Requests that wait for each slot: when the loop begins to wait its turn, and when it ends (docs/decisions/0013).
MANY_OF_SLOT, FEW_OF_SLOT = 3, 1
MOST_SLOTS = 16  # that count: queues do not grow with the cores


class LoopTurns:
    """The policy of the event loop's thread. Threads that it starts meanwhile inherit it.

    Args:
        count_waiting: requests in all queues now; never waits.
        slots: executions at a time.
    """

    def __init__(self, count_waiting: Callable[[], int], slots: int) -> None:
        self._count_waiting = count_waiting
        counted = min(slots, MOST_SLOTS)
        self._many, self._few = MANY_OF_SLOT * counted, FEW_OF_SLOT * counted
        self._waits = False
        self._may_change = True

    def look(self) -> None:
        """Begin or end to wait for turns, as requests wait or not; on the event loop's thread, when a request has ended.

        Never where a sandbox forbids it, or when the operator chose another policy.
        """
        waiting = self._count_waiting()
        if self._may_change and (waiting <= self._few if self._waits else waiting >= self._many):
            self._may_change = self._change()

    def _change(self) -> bool:
        """Returns: whether that was possible."""
        if sys.platform != "linux":
            return False
        before, after = (os.SCHED_BATCH, os.SCHED_OTHER) if self._waits else (os.SCHED_OTHER, os.SCHED_BATCH)
        try:
            if os.sched_getscheduler(0) != before:
                return False
            os.sched_setscheduler(0, after, os.sched_param(0))
        except OSError:
            return False
        self._waits = not self._waits
        return True
