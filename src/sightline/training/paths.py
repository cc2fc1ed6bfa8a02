"""Where a training keeps its files until the Model is whole."""

from pathlib import Path

from sightline.core.errors import Conflict

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
