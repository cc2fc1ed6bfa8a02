"""Where a training keeps its files until the Model is whole."""

from pathlib import Path

CHECKPOINT_NAME = "checkpoint.safetensors"
CURVE_NAME = "curve.jsonl"
LOG_NAME = "worker.log"
LOCK_NAME = ".lock"
STOPPED_NAME = "stopped"  # there when a Model holds what the checkpoint does: the run was stopped, not broken off


def training_folder(out: Path) -> Path:
    """Folder of checkpoint, curve and log of the training that makes `out`."""
    return out.with_name(out.name + ".training")
