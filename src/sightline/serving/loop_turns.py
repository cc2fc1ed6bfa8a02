"""The event loop waits its turn: when it wakes it does not push a thread that infers off its core.

Linux lets a thread that wakes interrupt one that runs. Under load the loop wakes a thousand times a second for a few bytes, and
every interruption costs an inference what it had in the caches of its core. A thread of the policy SCHED_BATCH interrupts
nobody (sched(7)): on an idle core it runs at once, else at the end of the other's slice, some milliseconds, with more to do by
then.
"""

import os
import sys


def wait_for_turns() -> bool:
    """From now on the calling thread, and threads that it will start, interrupt no other one.

    Returns: whether that is so; not outside Linux, where a sandbox forbids it, or when the operator chose another policy.
    """
    if sys.platform != "linux":
        return False
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return os.sched_getscheduler(0) == os.SCHED_BATCH
    except OSError:
        return False
