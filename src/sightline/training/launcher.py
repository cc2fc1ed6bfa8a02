"""Start a training in processes of its own, with the environment PyTorch needs, and relay what they report.

OpenMP reads its settings when it is loaded, so they must be in the environment before a process starts:
`OMP_WAIT_POLICY=PASSIVE` keeps idle threads from spinning (4785 -> 933 ms a step where cores are shared). A worker that dies
takes the others of its training with it, nobody else, and becomes one clear error.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sightline.core.folders import read_manifest
from sightline.core.manifests import DatasetVersionManifest, compute_manifest_id
from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.settings import read_settings
from sightline.core.workspace import StrPath, Workspace
from sightline.training.folder import is_log, lock_training, log_path, training_folder
from sightline.training.recipe import Recipe
from sightline.training.relaying import Worker, relay
from sightline.training.staging import compute_recipe_id, train_in_workspace
from sightline.training.worker_messages import LOOPBACK, Job, Meeting


def launch_training(
    version_folder: StrPath,
    recipe: Recipe,
    out: StrPath | Workspace,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
    threads: int | None = None,
    *,
    name: str | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Train in a worker process, or in as many as the recipe says; see `train_model` for the arguments it shares.

    A KeyboardInterrupt here asks the workers to stop and keep the best weights; a second one kills them. While they are still
    starting there is nothing to keep: they end, and the KeyboardInterrupt goes on to the caller. They also end when this
    process does, however it ends.

    Args:
        version_folder: of the DatasetVersion.
        threads: CPU threads of all processes together; None takes those of the settings.
        stop: asked a few times a second; None: only a KeyboardInterrupt stops it.

    Returns:
        The Model's folder, whole.

    Raises:
        SightlineError: a worker's own error, or Exhausted when one died; Conflict: another run is at it; KeyboardInterrupt:
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
            lambda staged: launch_training(version_folder, recipe, staged, resume, on_progress, threads, stop=stop),
        )
    version_folder, out = Path(version_folder), Path(out)
    job = Job(
        version=str(version_folder.resolve()),
        recipe=recipe,
        out=str(out.resolve()),
        resume=resume,
        name=name,
        launcher=os.getpid(),
    )
    folder = training_folder(out)
    with lock_training(folder):  # that of another run stays as it is; the worker takes the lock for itself
        for old in filter(is_log, list(folder.iterdir())):
            old.unlink()
        for rank in range(recipe.processes):
            log_path(folder, rank).touch()
    with _start_workers(job, folder, threads) as workers:
        failure = relay(workers, on_progress, stop)
    if failure is not None:
        raise failure
    return out


@contextmanager
def _start_workers(job: Job, folder: Path, threads: int | None) -> Iterator[list[Worker]]:
    """One process, or all that share each batch; none of them is left at the end."""
    count = job.recipe.processes
    environment = os.environ | worker_environment(max(1, (threads or read_settings().threads) // count))
    workers: list[Worker] = []
    try:
        if count == 1:
            workers.append(Worker.start(job, log_path(folder), environment))
        else:
            # Process 0 takes it over as it is, so that its port is nobody else's meanwhile.
            with socket.create_server((LOOPBACK, 0)) as listener:
                for rank in range(count):
                    taken = listener.fileno() if rank == 0 else None
                    meeting = Meeting(rank=rank, count=count, port=listener.getsockname()[1], listener=taken)
                    one = msgspec.structs.replace(job, meeting=meeting)
                    workers.append(Worker.start(one, log_path(folder, rank), environment))
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.channel.close()


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
