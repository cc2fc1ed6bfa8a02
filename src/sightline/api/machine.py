"""`/v1/devices` and `/v1/training-options`: what this machine can compute on, and what can be trained on it."""

from typing import Any

import msgspec
import psutil
from fastapi import APIRouter

from sightline.api import job_schemas as schemas
from sightline.api.parts import PartsOf
from sightline.core.errors import SightlineError
from sightline.core.host import read_cpu_facts
from sightline.jobs.training_options import list_training_options
from sightline.runtime.backends.table import load_backend
from sightline.runtime.devices import DEVICES, Device

NO_GPU = {"precisions": [], "missing": "no NVIDIA GPU is here; compile for the cpu, or run this where there is one"}

router = APIRouter(prefix="/v1", tags=["Devices"])


@router.get("/devices", response_model=schemas.Devices)
def list_devices(parts: PartsOf) -> Any:
    """The devices that Artifacts are compiled for, and what is missing for those that cannot be used here."""
    return {
        "devices": [
            describe_device(device, bool(parts.jobs.gpus)) for device in DEVICES.values() if device.name != "reference"
        ],
        "cpu": read_cpu_facts()["model"],
        "cores": len(parts.jobs.cores),
        "gpus": len(parts.jobs.gpus),
        "memory_bytes": psutil.virtual_memory().total,
        "free_bytes": psutil.disk_usage(str(parts.workspace.root)).free,
    }


@router.get("/training-options", response_model=schemas.TrainingOptions)
def read_training_options() -> Any:
    """What the form of a training offers."""
    return msgspec.to_builtins(list_training_options())


def describe_device(device: Device, has_gpu: bool) -> dict[str, Any]:
    """A device with its engines, as far as they are here.

    Args: has_gpu: whether there is one; where there is none, PyTorch is not loaded into this server to say so.
    """
    is_absent = not device.on_cores and not has_gpu
    engines = [NO_GPU | {"name": name} if is_absent else describe_engine(name) for name in device.engines]
    here = [engine for engine in engines if engine["missing"] is None]
    known = {precision for engine in here for precision in engine["precisions"]}
    return {
        "name": device.name,
        "precisions": [precision for precision in device.precisions if precision in known],
        "engines": engines,
        "is_here": bool(here),
        "has_speed": device.has_speed,
    }


def describe_engine(name: str) -> dict[str, Any]:
    """An engine, or what it misses."""
    try:
        return {"name": name, "precisions": list(load_backend(name).precisions), "missing": None}
    except SightlineError as error:
        return {"name": name, "precisions": [], "missing": str(error)}
