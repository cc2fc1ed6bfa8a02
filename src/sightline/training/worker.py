"""A training process: `python -m sightline.training.worker JOB.json PIPE`, started by `sightline.training.launcher`.

Where several share each batch, each meets the others before it trains. Reports progress and errors as JSON lines on the pipe or
socket whose descriptor it is given; SIGINT asks it to stop and keep the best weights.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import torch

from sightline.core.errors import SightlineError, find_public_type
from sightline.core.processes import end_with_parent
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.core.settings import read_settings
from sightline.data.versions import open_version
from sightline.training.rank_group import LostRank, join_ranks
from sightline.training.train import follow_training, lead_training, train_model
from sightline.training.worker_messages import LOST_RANK, Job, WorkerMessage


def main(job_path: Path, pipe: int) -> int:
    """Run a job. Returns: the exit code: 0, or 1 after an error that was reported."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    settle_threads()
    with os.fdopen(pipe, "wb", buffering=0) as messages:

        def send(message: WorkerMessage) -> None:
            messages.write(msgspec.json.encode(message) + b"\n")  # a launcher that is gone ends us: BrokenPipeError

        def report(event: ProgressEvent) -> None:
            send(WorkerMessage(event=event))

        try:
            job = msgspec.json.decode(job_path.read_bytes(), type=Job)
            if job.launcher is not None:
                end_with_parent()
                if os.getppid() != job.launcher:  # it died before that
                    return 1
            _train(job, report, stop.is_set)
        except LostRank:  # that one's error is told
            traceback.print_exc()
            return LOST_RANK
        except SightlineError as error:
            traceback.print_exc()
            send(WorkerMessage(error=str(error), error_type=find_public_type(error)))
            return 1
    return 0


def _train(job: Job, on_progress: OnProgress, stop: Callable[[], bool]) -> None:
    version, out = open_version(job.version), Path(job.out)
    if job.meeting is None:
        train_model(version, job.recipe, out, job.resume, on_progress, stop, name=job.name)
        return
    ranks = join_ranks(job.meeting)
    if ranks.rank == 0:
        lead_training(version, job.recipe, out, job.resume, on_progress, stop, name=job.name, ranks=ranks)
    else:
        follow_training(version, job.recipe, out, ranks)


def settle_threads() -> None:
    """Have PyTorch compute with the threads of the environment, and OpenCV with one: samples are made in threads of our own."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", read_settings().threads)))
    cv2.setNumThreads(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
