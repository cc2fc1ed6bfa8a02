"""The runner: takes jobs from the queue, starts a process for each that fits, follows them, and writes down how they end.

One thread does all of that. It sleeps until something is asked, a process ends (the kernel says so) or, while jobs run, it is
time to look at what they told. Rows of the database change here and nowhere else, but for the two things that must happen at
once: a job is put into the queue, and a job that waits there is cancelled.
"""

import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import Conflict, SightlineError
from sightline.core.host import list_cores, now_utc
from sightline.core.processes import describe_exit
from sightline.core.workspace import Workspace
from sightline.jobs.events import JobEvent
from sightline.jobs.folder import JobFolder, Order
from sightline.jobs.kinds.kind import Kind
from sightline.jobs.kinds.table import load_kind, read_arguments
from sightline.jobs.leases import Lease, Leases
from sightline.jobs.process import LOST_LOCK, SIGNALS
from sightline.jobs.running import RunningJob, find_process, start_process
from sightline.jobs.server_lock import ServerLock
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import OPEN, WAITING, Job, JobState, JobStore
from sightline.store.settling import freeze_rest

MAX_RESTARTS = 3
KEPT_JOBS = 500  # that have ended
LOOK_S = 1.0  # between looks at what running jobs told
PAUSE_S = 5.0  # after a defect, or while the database cannot be written
OnChange = Callable[[], object]


class JobRunner:
    """Runs the jobs of a workspace, from `start` to `close`.

    Args:
        workspace: where jobs work.
        store: the queue.
        datasets: whose unfrozen edits a job that names no version has frozen first.
        cores, gpus: numbers of those that jobs may have.
    """

    def __init__(
        self,
        workspace: Workspace,
        store: JobStore,
        datasets: DatasetStore,
        cores: list[int] | None = None,
        gpus: list[int] | None = None,
    ) -> None:
        self.workspace, self.store, self.datasets = workspace, store, datasets
        self._root = workspace.root.resolve()
        self.cores = list_cores() if cores is None else cores
        self.gpus = find_gpus() if gpus is None else gpus
        self._leases = Leases(self.cores, self.gpus)
        self._running: dict[str, RunningJob] = {}
        self._listeners: dict[str, list[OnChange]] = {}
        self._guard = threading.Lock()  # of the listeners, and of the pipe's end
        self._freezing = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._is_closing = self._is_closed = False
        self._queue_changed = True  # so it is looked at what fits
        self._lock: ServerLock | None = None
        self._thread = threading.Thread(target=self._run, name="jobs")

    def start(self) -> None:
        """Find the jobs again that an earlier server left, and go on. Raises: Conflict while another server runs them."""
        self._lock = ServerLock(self._root)
        for job in self.store.list_open():
            if job.state == "running":
                self._find_again(job)
        self._thread.start()

    def begin_to_close(self) -> None:
        """Have the running jobs ended, and whoever listens told; waits for nothing."""
        if not self._is_closing:
            self._is_closing = True
            self._wake()
            self._notify_all()

    def close(self) -> list[Job]:
        """End the running jobs. Returns: those that go on, or begin again, when the workspace is served the next time."""
        self.begin_to_close()
        if self._thread.ident is not None:
            self._thread.join()
        with self._guard:
            if not self._is_closed:
                self._is_closed = True
                if self._lock is not None:
                    self._lock.release()
                os.close(self._wake_read)
                os.close(self._wake_write)
        return list(self.store.list_open())

    @property
    def is_closing(self) -> bool:
        """Whether the jobs are being ended."""
        return self._is_closing

    def submit(self, kind: str, arguments: dict[str, Any], author: str, key: str | None = None) -> Job:
        """Put a job into the queue, its arguments checked and its names pinned to what they stand for now.

        Args: key: of the client; the same one again gives the job that it made.

        Raises: InvalidInput, NotFound, MissingPackage: as the verb would; Conflict for a key that made another job.
        """
        verb = load_kind(kind)
        if key is not None and (made := self.store.find_key(key, kind, arguments)) is not None:
            return made
        prepared = msgspec.to_builtins(self._prepare(verb, read_arguments(verb, arguments), author))
        job = self.store.add(kind, prepared, author, key, arguments)
        for job_id in self.store.remove_ended(KEPT_JOBS):
            self.folder(job_id).remove()
        self._queue_changed = True
        self._wake()
        return job

    def _prepare(self, kind: Kind, arguments: Any, author: str) -> Any:
        """Check first, then freeze, so that a job that is refused freezes nothing; and check what it is then."""
        prepared = kind.prepare(arguments, self.workspace)
        name = getattr(arguments, "dataset", None)
        if not kind.uses_version or name is None or "@" in name:
            return prepared
        dataset = self.datasets.open(name)
        with self._freezing:  # two jobs that are asked for at once freeze it once
            freeze_rest(dataset, author)
        return kind.prepare(arguments, self.workspace)

    def cancel(self, job_id: str) -> Job:
        """End a job; one that waits is gone from the queue at once. Raises: NotFound; Conflict for one that has ended."""
        waited = self.store.change(job_id, WAITING, state="cancelled", ended_at=now_utc())
        job = waited or self.store.change(job_id, ("running",), asked="cancel")
        if job is None:
            raise Conflict(f"expected a job that waits or runs, got {job_id}, whose state is {self.store.read(job_id).state}")
        if waited is not None:
            self.folder(job_id).clear()
            self._notify(job_id)
        self._queue_changed = True
        self._wake()
        return job

    def stop(self, job_id: str) -> Job:
        """Have a training end early and keep its best weights. Raises: NotFound; Conflict where there is nothing to keep."""
        job = self.store.read(job_id)
        if not load_kind(job.kind).can_stop:
            raise Conflict(f"expected a training, got a job that does {job.kind}, which has nothing to keep; cancel it")
        if job.state == "running" and not job.progress:
            raise Conflict(f"expected a training that has learned something, got {job_id}, which only begins; cancel it")
        if job.asked == "cancel" or (stopped := self.store.change(job_id, ("running",), asked="stop")) is None:
            raise Conflict(f"expected a training that runs, got {job_id}, whose state is {job.state}; cancel it if it waits")
        self._wake()
        return stopped

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, with its files. Raises: NotFound; Conflict for one that waits or runs."""
        self.store.remove(job_id)
        self.folder(job_id).remove()

    def folder(self, job_id: str) -> JobFolder:
        """The files of a job."""
        return JobFolder(self._root, job_id)

    @property
    def listener_count(self) -> int:
        """How many listen now."""
        with self._guard:
            return sum(len(listeners) for listeners in self._listeners.values())

    @contextmanager
    def listen(self, job_id: str, on_change: OnChange) -> Iterator[None]:
        """Have `on_change` called, in the runner's thread, when there is news of a job: it must not wait."""
        with self._guard:
            self._listeners.setdefault(job_id, []).append(on_change)
        try:
            yield
        finally:
            with self._guard:
                self._listeners[job_id].remove(on_change)
                if not self._listeners[job_id]:
                    del self._listeners[job_id]

    # What follows runs in the runner's thread, or in `start` before there is one.

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # jobs inherit that: see `start_process`
        while not self._is_closing:
            try:
                self._follow()
                if self._queue_changed:
                    self._queue_changed = False  # first: what comes meanwhile changes it again
                    self._start_what_fits()
                self._sleep(LOOK_S if self._running or self._queue_changed else None)
            except Exception:  # noqa: BLE001 - the border of a thread that must not end: a full disk, a locked database
                traceback.print_exc()
                self._queue_changed = True
                select.select([self._wake_read], [], [], PAUSE_S)
        self._end_all()

    def _sleep(self, timeout_s: float | None) -> None:
        """Until something was asked, a process ended, or the time is up."""
        ends = [running.descriptor for running in self._running.values()]
        ready, _, _ = select.select([self._wake_read, *ends], [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 1 << 16)

    def _wake(self) -> None:
        with self._guard, suppress(BlockingIOError):  # full: it will wake anyway
            if not self._is_closed:
                os.write(self._wake_write, b"x")

    def _start_what_fits(self) -> None:
        """Start jobs in the order they came; behind one that must wait for cores only those start that need none."""
        is_blocked = False
        for job in self.store.list_open():
            if job.state == "running":
                continue
            try:
                kind = load_kind(job.kind)
                needs = kind.find_needs(read_arguments(kind, job.arguments), self.workspace)
            except SightlineError as error:  # what it was to work on is no longer there
                self._settle(job, "failed", WAITING, error=str(error))
                continue
            except Exception as error:  # noqa: BLE001 - one job must not hold up all others
                traceback.print_exc()
                self._settle(job, "failed", WAITING, error=f"a defect of Sightline: {type(error).__name__}: {error}")
                continue
            lease = None if is_blocked and needs.cores != "none" else self._leases.take(job.id, needs)
            if lease is not None:
                self._start(job, lease)
            else:
                is_blocked = True
                if job.state == "queued" and self.store.change(job.id, ("queued",), state="waiting_for_device"):
                    self._notify(job.id)

    def _start(self, job: Job, lease: Lease) -> None:
        folder = self.folder(job.id)
        order = Order(
            id=job.id,
            kind=job.kind,
            arguments=job.arguments,
            author=job.author,
            lease=lease,
            is_restart=job.started_at is not None,
            is_stopped=job.asked == "stop",
        )
        try:
            with folder.locked() as is_free:
                begun = self._note_start(job, folder, order) if is_free else None
            if begun is not None:
                environment = load_kind(job.kind).make_environment(max(1, len(lease.cores)))
                self._running[job.id] = start_process(self._root, folder, order, environment)
                self._notify(job.id)
                return
        except OSError as error:  # no room on the disk for its files, or for one more process
            self._leases.give_back(job.id)
            self._settle(job, "failed", OPEN, error=f"its process could not be started: {error}; ask for it again")
            return
        self._leases.give_back(job.id)  # cancelled meanwhile; or a process that was thought dead does it
        if is_free:
            return
        if (found := find_process(folder)) is None:
            self._queue_changed = True  # what is left of the one before is about to end
        elif self.store.change(job.id, WAITING, state="running") is not None:
            self._adopt(job.id, found)

    def _note_start(self, job: Job, folder: JobFolder, order: Order) -> Job | None:
        """Say what is to be done, and that it is being done. Returns: None for a job that was cancelled meanwhile."""
        folder.write_order(order)
        return self.store.change(job.id, WAITING, state="running", started_at=job.started_at or now_utc())

    def _find_again(self, job: Job) -> None:
        """Adopt the process of a job that runs, as the database says; where there is none, write down how it ended."""
        if (found := find_process(self.folder(job.id))) is not None:
            self._adopt(job.id, found)
        else:
            self._conclude(job, None, was_ended=False)

    def _adopt(self, job_id: str, found: RunningJob) -> None:
        self._leases.restore(job_id, found.order.lease)
        self._running[job_id] = found

    def _follow(self) -> None:
        """Take what running jobs told, pass on what is asked of them, and bury those that ended."""
        for job_id, running in list(self._running.items()):
            is_gone = running.is_gone()
            self._take_events(job_id, running.read_events())
            if not is_gone:
                self._pass_on(self.store.read(job_id), running)
                continue
            code = running.bury()
            job = self.store.read(job_id)
            if code != LOST_LOCK:
                self._conclude(job, code, running.is_ending)
            # Only now: what fails above, since the database cannot be written, is done again.
            running.close()
            del self._running[job_id]
            self._leases.give_back(job_id)
            self._queue_changed = True
            if code == LOST_LOCK:
                self._find_again(job)

    def _pass_on(self, job: Job, running: RunningJob) -> None:
        if job.asked == "cancel":
            running.end()
        elif job.asked == "stop" and not running.order.is_stopped:
            running.ask_to_stop()
            running.order = msgspec.structs.replace(running.order, is_stopped=True)

    def _take_events(self, job_id: str, events: list[JobEvent]) -> None:
        if not events:
            return
        last = events[-1]
        metrics = next((event.metrics for event in reversed(events) if event.metrics), None)
        message = next((event.message for event in reversed(events) if event.message), None)
        self.store.change(
            job_id,
            ("running",),
            progress=last.progress,
            stage=last.stage,
            remaining_s=last.remaining_s,
            **({} if metrics is None else {"metrics": metrics}),
            **({} if message is None else {"message": message}),
        )
        self._notify(job_id)

    def _conclude(self, job: Job, code: int | None, was_ended: bool) -> None:
        """Write down how a job ended whose process is gone: what it said, else what was asked, else begin again."""
        end = self.folder(job.id).read_end()
        if end is not None and end.made is not None:
            self._settle(job, "succeeded", ("running",), made=msgspec.to_builtins(end.made), progress=1.0)
        elif end is not None:
            self._settle(job, "failed", ("running",), error=end.error)
        elif job.asked == "cancel":
            self._settle(job, "cancelled", ("running",))
        elif was_ended:  # with the server
            self.store.change(job.id, ("running",), state="queued", remaining_s=None)
        elif job.restarts < MAX_RESTARTS:
            self.store.change(job.id, ("running",), state="queued", restarts=job.restarts + 1, remaining_s=None)
            self._notify(job.id)
        else:
            lower = "what it must hold: micro_batch, batch_size or cache_bytes"
            how = "" if code is None else f" by {describe_exit(code, lower)}"
            error = f"its process died{how}, {MAX_RESTARTS + 1} times; the end of the job's log may tell why"
            self._settle(job, "failed", ("running",), error=error)

    def _settle(self, job: Job, state: JobState, expected: tuple[JobState, ...], **changes: Any) -> None:
        """A job has ended."""
        if self.store.change(job.id, expected, state=state, ended_at=now_utc(), remaining_s=None, **changes) is not None:
            self.folder(job.id).clear()
            self._notify(job.id)

    def _notify(self, job_id: str) -> None:
        with self._guard:
            listeners = list(self._listeners.get(job_id, ()))
        for on_change in listeners:
            on_change()

    def _notify_all(self) -> None:
        with self._guard:
            listened_to = list(self._listeners)
        for job_id in listened_to:
            self._notify(job_id)

    def _end_all(self) -> None:
        """End what runs; the rows say that it shall go on."""
        for running in self._running.values():
            running.end()
        while self._running:
            try:
                self._follow()
            except Exception:  # noqa: BLE001 - the next server finds out how they ended
                traceback.print_exc()
                return
            if self._running:
                ends = [running.descriptor for running in self._running.values()]
                select.select(ends, [], [], LOOK_S)


def find_gpus() -> list[int]:
    """Numbers of the NVIDIA GPUs whose device files are here."""
    return sorted(
        int(name) for path in Path("/dev").glob("nvidia[0-9]*") if (name := path.name.removeprefix("nvidia")).isdecimal()
    )
