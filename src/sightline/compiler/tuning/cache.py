"""Timings kept from one compilation to the next: the same files in the same engines on such a machine are not timed twice.

Absolute times drift, so a race is kept and found as a whole: timings of different hours are never compared with each other.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sightline.compiler.candidates import Candidate
from sightline.compiler.tuning.autotune import Setting
from sightline.compiler.tuning.goals import Goal, Timing
from sightline.core.folders import compute_file_hash, write_file_atomic
from sightline.core.host import describe_host
from sightline.runtime.backends.table import describe_devices

FORMAT = 4  # raised when timings change their meaning
ENGINE_PACKAGES = ("sightline", "openvino", "onnxruntime", "hls4ml", "torch")  # those for GPUs are our own


class _Race(msgspec.Struct, frozen=True, kw_only=True):
    timings: list[Timing]
    created_at: str


def make_race_key(candidates: Sequence[Candidate], settings: Sequence[Setting], seconds: float, goal: Goal) -> str:
    """Hash of all that a race depends on: networks, engines and their versions, CPU model, flags and cores, settings, goal.

    It is the ONNX files that count: the same one gives OpenVINO files that do the same but differ in the order of their text.
    """
    host = describe_host()
    packages = host["packages"]
    assert isinstance(packages, dict)
    facts = {
        "format": FORMAT,
        "candidates": [[one.name, one.engine, one.precision, compute_file_hash(one.source).sha256] for one in candidates],
        "settings": [list(setting) for setting in settings],
        "seconds": seconds,
        "goal": list(goal),
        "engines": {name: packages.get(name) for name in ENGINE_PACKAGES},
        "cpu": [host["cpu"], host["cpu_flags"], host["cores"]],
        "devices": describe_devices(one.engine for one in candidates),
    }
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def find_race(folder: Path, key: str) -> tuple[list[Timing], str] | None:
    """Timings of a race run before and when, or None; a file that cannot be read counts as none."""
    path = folder / f"{key}.json"
    if not path.is_file():
        return None
    try:
        race = msgspec.json.decode(path.read_bytes(), type=_Race)
    except msgspec.DecodeError:
        return None
    return race.timings, race.created_at


def keep_race(folder: Path, key: str, timings: Sequence[Timing], created_at: str) -> None:
    """Keep a race's timings."""
    content = msgspec.json.encode(_Race(timings=list(timings), created_at=created_at))
    write_file_atomic(folder / f"{key}.json", content)
