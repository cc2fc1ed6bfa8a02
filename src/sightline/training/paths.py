"""Where a training keeps its files until the Model is whole."""

from pathlib import Path

CHECKPOINT_NAME = "checkpoint.safetensors"
CURVE_NAME = "curve.jsonl"
LOG_NAME = "worker.log"
# There when training anew loses nothing: a Model holds what the checkpoint does, or its loss was no number any more.
STOPPED_NAME = "stopped"


def training_folder(out: Path) -> Path:
    """Folder of checkpoint, curve and log of the training that makes `out`."""
    return out.with_name(out.name + ".training")
