"""Checkpoints: weights, moving average, best weights, optimiser state and a JSON record in one safetensors file.

The file is written under another name, fsynced and renamed. A checksum of all tensors and of the record stands beside them, so
that a damaged file is refused rather than continued from.
"""

import os
import re
import zlib
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from sightline.core.errors import CorruptFile, NotFound
from sightline.core.folders import sync_path
from sightline.training.budget import Spent

FORMAT_VERSION = 2
RECORD_KEY, CHECKSUM_KEY = "sightline", "checksum"  # of the file's metadata
HEADER_START = 8  # safetensors: a number of as many bytes says how long the JSON header is that follows
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # how safetensors tells what the system said


class TrainingState(msgspec.Struct, kw_only=True):
    """What a training knows besides tensors. Random numbers need no place: they derive from (seed, step).

    Attributes:
        spent: steps, wall-clock and CPU seconds.
        recipe_id: hash of recipe and dataset version: another one cannot be resumed.
        best_metric: of the best validation so far, 0..1, None before the first.
        best_step: where it was.
        validated_step: the last one that was validated after, 0 before the first.
        stale_validations: how many in a row brought nothing better.
        validations: how many there were.
        metrics: values of the best validation.
    """

    spent: Spent = Spent()
    recipe_id: str = ""
    best_metric: float | None = None
    best_step: int = 0
    validated_step: int = 0
    stale_validations: int = 0
    validations: int = 0
    metrics: dict[str, Any] = {}


class CheckpointRecord(msgspec.Struct, kw_only=True):
    """The JSON in the file's header.

    Attributes: checksum: of format version 1 only, over the tensors alone; such checkpoints can still be resumed.
    """

    format_version: int = FORMAT_VERSION
    state: TrainingState
    optimiser_scalars: dict[str, float] = {}
    checksum: int | None = None


def write_checkpoint(
    path: Path,
    state: TrainingState,
    network: nn.Module,
    *,
    average: nn.Module,
    optimiser: Optimizer,
    best: dict[str, Tensor] | None,
) -> None:
    """Write all that is needed to continue bit by bit."""
    _save_atomic(path, *_collect(state, network, average, optimiser, best))


def pack_checkpoint(
    state: TrainingState, network: nn.Module, *, average: nn.Module, optimiser: Optimizer, best: dict[str, Tensor] | None
) -> bytes:
    """The same as bytes, for another process of this training."""
    return save(*_collect(state, network, average, optimiser, best))


def unpack_checkpoint(content: bytes) -> tuple[CheckpointRecord, dict[str, Tensor]]:
    """What `pack_checkpoint` packed."""
    header_end = HEADER_START + int.from_bytes(content[:HEADER_START], "little")
    metadata = msgspec.json.decode(content[HEADER_START:header_end])["__metadata__"]
    return msgspec.json.decode(metadata[RECORD_KEY], type=CheckpointRecord), load(content)


def _collect(
    state: TrainingState, network: nn.Module, average: nn.Module, optimiser: Optimizer, best: dict[str, Tensor] | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a checkpoint."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    scalars: dict[str, float] = {}
    for index, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{name}"] = value
            elif value is not None:
                scalars[f"optimiser.{index}.{name}"] = value
    packed = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    record = msgspec.json.encode(CheckpointRecord(state=state, optimiser_scalars=scalars)).decode()
    return packed, {RECORD_KEY: record, CHECKSUM_KEY: str(_checksum(packed, record))}


def write_weights(path: Path, network: nn.Module) -> None:
    """Write a network's state as `weights.safetensors`."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    _save_atomic(path, tensors, {})


def read_checkpoint(path: Path) -> tuple[CheckpointRecord, dict[str, Tensor]]:
    """Read and verify. Raises: NotFound; CorruptFile when it is damaged or of another version."""
    if not path.is_file():
        raise NotFound(f"no checkpoint {path} to resume from; start without resume")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            record = msgspec.json.decode(metadata.get(RECORD_KEY, ""), type=CheckpointRecord)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open has no iterator
    except (SafetensorError, msgspec.DecodeError, OSError) as error:
        raise CorruptFile(f"{path} is no checkpoint that can be read ({error}); remove it and train from the start") from error
    if record.format_version == 1 and CHECKSUM_KEY not in metadata:
        is_whole = record.checksum == _checksum(tensors)
    else:
        is_whole = record.format_version == FORMAT_VERSION and metadata.get(CHECKSUM_KEY) == str(
            _checksum(tensors, metadata[RECORD_KEY])
        )
    if not is_whole:
        raise CorruptFile(f"{path} is damaged: its content does not match its checksum; remove it and train from the start")
    return record, tensors


def restore_checkpoint(
    record: CheckpointRecord, tensors: dict[str, Tensor], network: nn.Module, average: nn.Module, optimiser: Optimizer
) -> dict[str, Tensor] | None:
    """Put a checkpoint's tensors in place.

    Returns: the best weights, or None when there was no validation yet. Raises: CorruptFile when they do not fit the network.
    """
    try:
        network.load_state_dict(_select(tensors, "network."))
        average.load_state_dict(_select(tensors, "average."))
    except RuntimeError as error:
        raise CorruptFile("the checkpoint is of another version of this network; remove it and train from the start") from error
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**_select(tensors, "optimiser."), **_select(record.optimiser_scalars, "optimiser.")}.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, values in optimiser.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:  # the parameter's memory order, as before the stop
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return _select(tensors, "best.") or None


def _select(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _checksum(tensors: dict[str, Tensor], record: str = "") -> int:
    """CRC-32 over the record, then over names and bytes in the order of the names."""
    checksum = zlib.crc32(record.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum


def _save_atomic(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """safetensors writes to a name, not to a file object: write beside `path`, fsync, rename, fsync the folder.

    Its files are for their owner alone: the new one gets the rights that the process's umask leaves, as every other file has.

    Raises: OSError, also for what the system tells safetensors; then `path` is what it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        temporary.touch()
        rights = temporary.stat().st_mode & 0o777
        save_file(tensors, str(temporary), metadata=metadata)
        temporary.chmod(rights)
        sync_path(temporary)
        temporary.replace(path)
    except SafetensorError as error:
        number = SYSTEM_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(path.parent)
