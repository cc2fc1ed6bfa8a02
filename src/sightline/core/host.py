"""Facts of the machine and the packages, for every Model, Artifact and Report: a number without its host means nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

# CPU flags that decide which kernels an engine picks.
RELEVANT_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16")
PACKAGES = (
    "sightline",
    "numpy",
    "opencv-python-headless",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "torch",
    "torchvision",
    "timm",
)


def count_cores() -> int:
    """The cores that this process may use. How many threads compute is a setting: `read_settings().threads`."""
    return len(list_cores())


def list_cores() -> list[int]:
    """Numbers of the cores that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def describe_host() -> dict[str, object]:
    """CPU, cores, memory, system and package versions of this machine."""
    cpu = read_cpu_facts()
    return {
        "cpu": cpu["model"],
        "cpu_flags": cpu["flags"],
        "cores": count_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": read_package_versions(),
    }


def read_cpu_facts(path: Path = Path("/proc/cpuinfo")) -> dict[str, object]:
    """Name of the CPU model and those of its flags that matter to kernels; from the platform module where /proc is absent."""
    facts: dict[str, object] = {"model": platform.processor() or platform.machine(), "flags": []}
    if not path.is_file():
        return facts
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            facts["model"] = value.strip()
        elif key.strip() == "flags":
            present = set(value.split())
            facts["flags"] = [flag for flag in RELEVANT_FLAGS if flag in present]
            break
    return facts


def read_instruction_sets(path: Path = Path("/proc/cpuinfo")) -> str:
    """The first core's model and instruction sets in one line: they differ between machines that run different instructions."""
    if not path.is_file():
        return f"{platform.machine()} {platform.processor()}"
    core = path.read_text().partition("\n\n")[0]
    lines = (line.partition(":") for line in core.splitlines())
    return " ".join(value.strip() for key, _, value in lines if key.strip() in ("model name", "flags", "Features", "CPU part"))


def read_package_versions() -> dict[str, str]:
    """Versions of the installed packages that shape results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def now_utc() -> str:
    """The present moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()
