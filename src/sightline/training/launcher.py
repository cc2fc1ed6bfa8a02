"""Start a training in a process of its own, with the environment PyTorch needs, and relay what it reports.

OpenMP reads its settings when it is loaded, so they must be in the environment before the process starts:
`OMP_WAIT_POLICY=PASSIVE` keeps idle threads from spinning (4785 -> 933 ms a step where cores are shared). A worker that dies
takes nobody with it and becomes one clear error.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec

from sightline.core.errors import Exhausted, SightlineError, make_public
from sightline.core.folders import read_manifest
from sightline.core.manifests import DatasetVersionManifest, compute_manifest_id
from sightline.core.processes import describe_exit
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress
from sightline.core.settings import read_settings
from sightline.core.workspace import StrPath, Workspace
from sightline.training.folder import LOG_NAME, lock_training, training_folder
from sightline.training.recipe import Recipe
from sightline.training.staging import compute_recipe_id, train_in_workspace
from sightline.training.worker_messages import Job, WorkerMessage

STOPPING = "stopping; the best weights so far are kept"  # the message of a first interrupt
LOG_LINES = 3  # of the worker's last words in the error


def launch_training(
    version_folder: StrPath,
    recipe: Recipe,
    out: StrPath | Workspace,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
    threads: int | None = None,
    *,
    name: str | None = None,
) -> Path:
    """Train in a worker process; see `train_model` for the arguments it shares.

    A KeyboardInterrupt here asks the worker to stop and keep its best weights; a second one kills it. While the worker is still
    starting there is nothing to keep: it ends, and the KeyboardInterrupt goes on to the caller.

    Args:
        version_folder: of the DatasetVersion.
        threads: CPU threads; None takes those of the settings.

    Returns:
        The Model's folder, whole.

    Raises:
        SightlineError: the worker's own error, or Exhausted when it died; Conflict: another run is at it; KeyboardInterrupt:
            stopped before it began.
    """
    if isinstance(out, Workspace):
        version_id = compute_manifest_id(read_manifest(Path(version_folder), DatasetVersionManifest))
        return train_in_workspace(
            out,
            name,
            compute_recipe_id(version_id, recipe),
            resume,
            on_progress,
            lambda staged: launch_training(version_folder, recipe, staged, resume, on_progress, threads),
        )
    version_folder, out = Path(version_folder), Path(out)
    job = Job(version=str(version_folder.resolve()), recipe=recipe, out=str(out.resolve()), resume=resume, name=name)
    log_path = training_folder(out) / LOG_NAME
    with lock_training(log_path.parent):  # that of another run stays as it is; the worker takes the lock for itself
        log_path.write_bytes(b"")
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "sightline.training.worker", "/dev/stdin", str(write_end)]
    with TemporaryFile() as job_file, log_path.open("ab") as log, os.fdopen(read_end, "rb") as messages:
        job_file.write(msgspec.json.encode(job))
        job_file.seek(0)
        # A session of its own: a terminal's Ctrl-C reaches us only, and we pass it on.
        worker = subprocess.Popen(
            command,
            stdin=job_file,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | worker_environment(threads),
            pass_fds=(write_end,),
            start_new_session=True,
        )
        os.close(write_end)
        try:
            failure = _relay(worker, messages, on_progress)
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
    if failure is not None:
        raise failure
    if worker.returncode != 0:
        raise Exhausted(_describe_death(worker.returncode, log_path))
    return out


def worker_environment(threads: int | None = None) -> dict[str, str]:
    """What a training process needs in its environment before PyTorch is loaded."""
    count = str(threads or read_settings().threads)
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        # glibc keeps freed tensors instead of returning their pages: 13,700 page faults a step become 40.
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    }


def _relay(worker: subprocess.Popen[bytes], messages: IO[bytes], on_progress: OnProgress) -> SightlineError | None:
    """Pass events on until the worker ends; the first interrupt is forwarded, the second ends the worker at once."""
    failure: SightlineError | None = None
    stopping = listening = False
    lines = _read_lines(messages)
    while True:
        try:
            line = next(lines, None)
            if line is None:
                worker.wait()
                return failure
            message = msgspec.json.decode(line, type=WorkerMessage)
            listening = True
            if message.event is not None:
                on_progress(message.event)
            if message.error is not None:
                failure = make_public(message.error_type, message.error)
        except KeyboardInterrupt:
            if stopping:
                raise
            if not listening:  # it has done nothing yet that could be kept
                on_progress(ProgressEvent(stage="training", message="stopping"))
                raise
            stopping = True
            worker.send_signal(signal.SIGINT)
            lines = _read_lines(messages)  # the interrupt ended the generator
            on_progress(ProgressEvent(stage="training", message=STOPPING))


def _read_lines(messages: IO[bytes]) -> Iterator[bytes]:
    while line := messages.readline():
        if line.endswith(b"\n"):
            yield line


def _describe_death(code: int, log_path: Path) -> str:
    """One line: how the worker died and the end of its log."""
    reason = describe_exit(code, "micro_batch, batch_size or cache_bytes")
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    tail = " | ".join(lines[-LOG_LINES:]) or "empty"
    return f"the training process died by {reason}; resume it, or see the end of {log_path}: {tail}"
