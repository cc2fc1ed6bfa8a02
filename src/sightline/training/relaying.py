"""The processes of a training as their launcher sees them: started, listened to, stopped, ended, and what they died of.

Each has a socket of its own, on which a message is a packet, so nothing is ever half read. When one of several fails, the
others cannot go on: they get a moment to say what they know, for the first one seen to end need not be the one to blame.
"""

import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

import msgspec

from sightline.core.errors import Exhausted, SightlineError, make_public
from sightline.core.processes import describe_exit
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.training.worker_messages import LOST_RANK, Job, WorkerMessage

STOPPING = "stopping; the best weights so far are kept"  # the message of a first interrupt
LOG_LINES = 3  # of the worker's last words in the error
MOST_MESSAGE_BYTES = 1 << 20
END_S = 5.0  # that the others have when one has failed
POLL_S = 0.2


class Worker:
    """One process.

    Args:
        process: it.
        channel: gives its messages; it ends when the process does.
        log_path: what it says otherwise.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, log_path: Path) -> None:
        self.process, self.channel, self.log_path = process, channel, log_path
        self.failure: SightlineError | None = None  # as it told it
        self.was_killed = False

    @classmethod
    def start(cls, job: Job, log_path: Path, environment: Mapping[str, str]) -> Self:
        """Start the worker of a job."""
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "sightline.training.worker", "/dev/stdin", str(theirs.fileno())]
        listener = job.meeting.listener if job.meeting else None
        with theirs, TemporaryFile() as job_file, log_path.open("ab") as log:
            job_file.write(msgspec.json.encode(job))
            job_file.seek(0)
            # A session of its own: a terminal's Ctrl-C reaches us only, and we pass it on.
            process = subprocess.Popen(
                command,
                stdin=job_file,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(theirs.fileno(),) if listener is None else (theirs.fileno(), listener),
                start_new_session=True,
            )
        return cls(process, ours, log_path)

    def hear(self) -> WorkerMessage | None:
        """Its next message, waited for; None when there will be none, because it ends."""
        packet = self.channel.recv(MOST_MESSAGE_BYTES)
        if not packet:
            return None
        message = msgspec.json.decode(packet, type=WorkerMessage)
        if message.error is not None:
            self.failure = make_public(message.error_type, message.error)
        return message

    @property
    def has_failed(self) -> bool:
        """Whether it told an error, or ended without having done its work."""
        return self.failure is not None or self.process.poll() not in (None, 0)

    def kill(self) -> None:
        """End it where it still runs."""
        if self.process.poll() is None:
            self.was_killed = True
            self.process.kill()
            self.process.wait()

    def describe_death(self) -> str:
        """One line: how it died and the end of its log."""
        reason = describe_exit(self.process.returncode, "micro_batch, batch_size or cache_bytes")
        lines = [line.strip() for line in self.log_path.read_text(errors="replace").splitlines() if line.strip()]
        tail = " | ".join(lines[-LOG_LINES:]) or "empty"
        return f"died by {reason}; resume it, or see the end of {self.log_path}: {tail}"


def relay(workers: Sequence[Worker], on_progress: OnProgress, stop: Callable[[], bool] | None = None) -> SightlineError | None:
    """Pass events on until all have ended; the first one is told to stop, and the others go with it.

    Args:
        workers: of one training.
        stop: asked a few times a second; what comes while they start is told when they listen.

    Returns: why there is no Model, or None. Raises: KeyboardInterrupt: the second one, or one while they start.
    """
    is_listening = is_stopping = False
    kill_at: float | None = None

    def ask_to_stop() -> None:
        workers[0].process.send_signal(signal.SIGINT)
        on_progress(ProgressEvent(stage="training", message=STOPPING))

    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.channel, selectors.EVENT_READ, worker)
        while selector.get_map() or workers[0].process.poll() is None:
            try:
                is_quiet = stop is None and len(selector.get_map()) == len(workers)
                for key, _ in selector.select(None if is_quiet else POLL_S):
                    message = key.data.hear()
                    if message is None:
                        selector.unregister(key.fileobj)
                        continue
                    is_listening = True
                    if message.event is not None:
                        on_progress(message.event)
                if kill_at is None and any(worker.has_failed for worker in workers):
                    kill_at = time.monotonic() + END_S
                if kill_at is not None and time.monotonic() >= kill_at:
                    for worker in workers:
                        worker.kill()
                if stop is not None and is_listening and not is_stopping and stop():
                    is_stopping = True
                    ask_to_stop()
            except KeyboardInterrupt:
                if is_stopping:
                    raise
                if not is_listening:  # they have done nothing yet that could be kept
                    on_progress(ProgressEvent(stage="training", message="stopping"))
                    raise
                is_stopping = True
                ask_to_stop()
    return _find_failure(workers)


def _find_failure(workers: Sequence[Worker]) -> SightlineError | None:
    """The error that ended a training, of those that could not go on because of it."""
    if workers[0].process.returncode == 0:  # the Model is whole
        return None
    with suppress(subprocess.TimeoutExpired):
        for worker in workers:
            worker.process.wait(END_S)
    told = [worker.failure for worker in workers if worker.failure is not None]
    if told:
        return told[0]
    dead = [worker for worker in workers if worker.has_failed]
    causes = [worker for worker in dead if not worker.was_killed and worker.process.returncode != LOST_RANK]
    blamed = (causes or dead)[0]
    number = workers.index(blamed)
    who = "the training process" if len(workers) == 1 else f"process {number} of the {len(workers)} that train together"
    return Exhausted(f"{who} {blamed.describe_death()}")
