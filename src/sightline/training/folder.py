"""The folder where a training keeps its files until the Model is whole, and its lock: one run at a time."""

from contextlib import AbstractContextManager
from pathlib import Path

from sightline.core.errors import Conflict
from sightline.core.folder_lock import lock_folder

CHECKPOINT_NAME = "checkpoint.safetensors"
CURVE_NAME = "curve.jsonl"
LOG_NAME = "worker.log"
# There when training anew loses nothing: a Model holds what the checkpoint does, or its loss was no number any more.
STOPPED_NAME = "stopped"


def training_folder(out: Path) -> Path:
    """Folder of checkpoint, curve and log of the training that makes `out`. Raises: Conflict for `.` and `/`."""
    if not out.name:
        raise Conflict(f"{out} exists already; choose another name, or remove it")
    return out.with_name(out.name + ".training")


def lock_training(folder: Path) -> AbstractContextManager[None]:
    """Hold a training folder as `lock_folder` does. Raises: Conflict, also while a worker ends whose launcher was killed."""
    return lock_folder(folder, f"another run trains in {folder} now; wait for its end, or choose another name")
