"""One job's process as the runner sees it: started or found again, asked to stop, ended by force, and what it told.

The runner need not be its parent: a server that was killed leaves jobs behind, and the next one finds them by their marks. So
nothing here waits for a child; the kernel says through a descriptor of the process (pidfd_open(2)) when it is gone, and signals
go through that descriptor, so that they can reach no other process that has its number by then.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sightline.jobs.events import JobEvent, ProgressTail
from sightline.jobs.folder import JobFolder, Order
from sightline.jobs.marks import ProcessMark, is_alive, mark_process, read_boot

END_S = 5.0  # from the request to end to the end by force
STARTING_S, POLL_S = 2.0, 0.05  # how long a process may take from its lock to its mark, and how often that is looked at
MODULE = "sightline.jobs.process"


class RunningJob:
    """The process of a job.

    Args:
        folder: of the job.
        order: what it was started with.
        mark: which process it is.
        process: the same as a child; None for one that an earlier server started.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        folder: JobFolder,
        order: Order,
        mark: ProcessMark,
        process: subprocess.Popen[bytes] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.order, self.mark = folder, order, mark
        self.descriptor = os.pidfd_open(mark.pid)
        self.is_ending = False
        self._process, self._clock = process, clock
        self._tail = ProgressTail(folder.progress)
        self._kill_at: float | None = None

    def read_events(self) -> list[JobEvent]:
        """What it told since the last call."""
        return self._tail.read()

    def ask_to_stop(self) -> None:
        """Have a training end early and keep its best."""
        self._send(signal.SIGINT)

    def end(self) -> None:
        """Have it end now; `END_S` later by force."""
        if not self.is_ending:
            self.is_ending, self._kill_at = True, self._clock() + END_S
            self._send(signal.SIGTERM)

    def is_gone(self) -> bool:
        """Whether it has ended; kills it when its time to end is up."""
        if select.select([self.descriptor], [], [], 0)[0]:
            return True
        if self._kill_at is not None and self._clock() >= self._kill_at:
            end_group(self.mark)
        return False

    def bury(self) -> int | None:
        """After its end: kill what is left of its group. Returns: the exit code; None for one that is not our child."""
        end_group(self.mark)
        return self._process.wait() if self._process is not None else None

    def close(self) -> None:
        """It is of no interest any more."""
        os.close(self.descriptor)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)


def start_process(root: Path, folder: JobFolder, order: Order, environment: dict[str, str]) -> RunningJob:
    """Start a job. Call with SIGINT and SIGTERM blocked: the process unblocks them when it is ready for them.

    Args: root: of the workspace, absolute.
    """
    command = [sys.executable, "-P", "-m", MODULE, str(root), order.id]
    threads = {"SIGHTLINE_THREADS": str(max(1, len(order.lease.cores)))}
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, order.lease.gpus))}
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | threads | gpus | environment,
            start_new_session=True,  # so that its group can be ended as a whole, and a terminal's Ctrl-C does not reach it
        )
    gone = ProcessMark(pid=process.pid, start_ticks=0, boot=read_boot())  # already, but not buried: the number is still its own
    mark = mark_process(process.pid) or gone
    return RunningJob(folder, order, mark, process)


def find_process(folder: JobFolder) -> RunningJob | None:
    """The process that an earlier server started for a job; None where there is none any more."""
    deadline = time.monotonic() + STARTING_S
    while True:
        order, mark = folder.read_order(), folder.read_mark()
        if order is not None and mark is not None:
            with suppress(ProcessLookupError):
                found = RunningJob(folder, order, mark, None)
                if is_alive(mark):  # and no other had its number when the descriptor was opened
                    return found
                os.close(found.descriptor)
            end_group(mark)
            return None
        with folder.locked() as is_free:
            if is_free or time.monotonic() > deadline:
                return None
        time.sleep(POLL_S)


def end_group(mark: ProcessMark) -> None:
    """Kill a process and its group, or what a dead one left of it."""
    if mark.boot == read_boot() and mark_process(mark.pid) in (None, mark):  # else the number is another's, its group no more
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(mark.pid, signal.SIGKILL)
