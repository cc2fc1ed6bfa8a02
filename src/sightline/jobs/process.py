"""The process of one job: `python -m sightline.jobs.process WORKSPACE ID`, started by the runner.

It knows no database and needs no server: what to do stands in the job's folder, and there it writes how it goes on and how it
ended. SIGINT has a training stop and keep its best; SIGTERM ends any job in order. The signals are blocked when it is started
and let through when it is ready for them, so that none comes too early.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType

from sightline.core.errors import SightlineError
from sightline.core.host import now_utc
from sightline.core.progress import ProgressEvent
from sightline.core.workspace import Workspace
from sightline.jobs.events import ProgressWriter
from sightline.jobs.folder import End, JobFolder, Order
from sightline.jobs.kinds.kind import Call, Kind
from sightline.jobs.kinds.table import load_kind, read_arguments
from sightline.jobs.marks import ProcessMark, is_alive, mark_own_process
from sightline.jobs.server_lock import read_server_mark

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NICENESS = 10  # the web server and whoever labels come first: at this value the kernel gives them nine tenths of a shared core
LOST_LOCK, ENDED_EARLY = 75, 76  # exit codes: another process does this job; it was ended in order and has no end of its own
ORPHAN_S = 600.0  # a job outlives its server by so much; then it ends, to be restarted by the next one
LOOK_S, SERVER_LOOK_S = 1.0, 15.0
END_S = 10.0  # from an orphan's SIGTERM to its end by force
MAX_LOG_BYTES = 4 << 20
LOG_IS_FULL = b"\nthe log is full (4 MiB); what came after this line is left out\n"
CLOCK = "%H:%M:%S"


class Ended(BaseException):
    """SIGTERM came: the verb's clean-up runs while this passes through it."""


def main(root: Path, job_id: str) -> int:
    """Do a job. Returns: the exit code; 0 also for a failure that was written down."""
    folder = JobFolder(root, job_id)
    with folder.locked() as is_ours:
        if not is_ours:
            return LOST_LOCK
        folder.write_mark(mark_own_process())
        order = folder.read_order()
        assert order is not None
        stopping = threading.Event()
        if order.is_stopped:
            stopping.set()
        kind = load_kind(order.kind)
        take_place(order)
        listen(stopping if kind.can_stop else None)
        watch(root, folder)
        try:
            end = run(kind, order, Workspace(root, takes_paths=False), folder, stopping.is_set)
        except Ended:
            say("ended before it was done")
            return ENDED_EARLY
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # too late: it has ended
        folder.write_end(end)
        return 0


def take_place(order: Order) -> None:
    """Keep to the leased cores, behind all that people wait for; threads follow from the cores (`Settings.threads`)."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if order.lease.cores:
        os.sched_setaffinity(0, order.lease.cores)


def listen(stopping: threading.Event | None) -> None:
    """Take signals from now on. Args: stopping: set by SIGINT; None where SIGINT ends the job as SIGTERM does."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # once is enough; the clean-up is not interrupted
        raise Ended

    def stop(number: int, frame: FrameType | None) -> None:
        assert stopping is not None
        stopping.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end if stopping is None else stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def run(kind: Kind, order: Order, workspace: Workspace, folder: JobFolder, stop: Callable[[], bool]) -> End:
    """Call the verb, and say how that ended."""
    folder.making.mkdir(parents=True, exist_ok=True)
    with closing(ProgressWriter(folder.progress, kind.shares, order.is_restart and not kind.is_resumable)) as writer:
        report = Reporting(writer)
        say(f"{now_utc()} {order.kind} {order.id}{', again' if order.is_restart else ''}")
        if order.is_restart:
            report(ProgressEvent(stage="starting", message="goes on" if kind.is_resumable else "begins again"))
        try:
            arguments = read_arguments(kind, order.arguments)
            return End(made=kind.run(Call(workspace, order.id, folder, arguments, order.is_restart, report, stop)))
        except SightlineError as error:
            traceback.print_exc()
            return End(error=str(error))
        except MemoryError:
            traceback.print_exc()
            return End(error="the machine's memory does not suffice; close other programs, or ask for smaller batches")
        except Exception as error:  # noqa: BLE001 - the border of the process: one line for people, the rest for the log
            traceback.print_exc()
            return End(error=f"a defect of Sightline: {type(error).__name__}: {error}; the job's log tells more")


class Reporting:
    """Takes a verb's events: writes them down, and messages and new stages into the log too."""

    def __init__(self, writer: ProgressWriter) -> None:
        self._writer, self._stage = writer, ""

    def __call__(self, event: ProgressEvent) -> None:
        """Take the next event."""
        self._writer(event)
        if event.message or event.stage != self._stage:
            say(f"{time.strftime(CLOCK)} {event.stage}{f': {event.message}' if event.message else ''}")
        self._stage = event.stage


def say(line: str) -> None:
    """A line for the log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def watch(root: Path, folder: JobFolder) -> None:
    """In a thread: bound the log, and end this process when its server is gone for long."""
    threading.Thread(target=_watch, args=(root, folder), name="watch", daemon=True).start()


def _watch(root: Path, folder: JobFolder) -> None:
    is_log_open, alone = True, Loneliness(time.monotonic())
    while True:
        time.sleep(LOOK_S)
        if is_log_open and folder.log.is_file() and folder.log.stat().st_size > MAX_LOG_BYTES:
            close_log()
            is_log_open = False
        if alone.is_over(time.monotonic(), lambda: read_server_mark(root)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(END_S)
            os.killpg(0, signal.SIGKILL)


class Loneliness:
    """Tells when a job has been without a server for too long; it looks rarely. Times are seconds, monotonic."""

    def __init__(self, now: float) -> None:
        self._looked_at, self._seen_at = now, now

    def is_over(self, now: float, find_server: Callable[[], ProcessMark | None]) -> bool:
        """Whether the job shall end. Args: find_server: gives the mark of the last one."""
        if now - self._looked_at < SERVER_LOOK_S:
            return False
        self._looked_at, server = now, find_server()
        if server is not None and is_alive(server):
            self._seen_at = now
        return now - self._seen_at > ORPHAN_S


def close_log() -> None:
    """Say that the log is full, and let go of what comes now, from native code too."""
    os.write(sys.stdout.fileno(), LOG_IS_FULL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
