"""The folder where a training keeps its files until the Model is whole, and its lock: one run at a time."""

from contextlib import AbstractContextManager
from pathlib import Path

from sightline.core.errors import Conflict
from sightline.core.folder_lock import lock_folder

CHECKPOINT_NAME = "checkpoint.safetensors"
CURVE_NAME = "curve.jsonl"
# There when training anew loses nothing: a Model holds what the checkpoint does, or its loss was no number any more.
STOPPED_NAME = "stopped"


def training_folder(out: Path) -> Path:
    """Folder of checkpoint, curve and log of the training that makes `out`. Raises: Conflict for `.` and `/`."""
    if not out.name:
        raise Conflict(f"{out} exists already; choose another name, or remove it")
    return out.with_name(out.name + ".training")


def log_path(folder: Path, rank: int = 0) -> Path:
    """Where what a training process says is kept, by its number among those that share each batch."""
    return folder / (f"worker-{rank}.log" if rank else "worker.log")


def is_log(path: Path) -> bool:
    """Whether a file of a training folder is such a log."""
    return path.match("worker*.log")


def lock_training(folder: Path) -> AbstractContextManager[None]:
    """Hold a training folder as `lock_folder` does. Raises: Conflict, also while a worker ends whose launcher was killed."""
    return lock_folder(folder, f"another run trains in {folder} now; wait for its end, or choose another name")
