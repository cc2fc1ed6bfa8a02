"""Timing takes each turn once and briefly in tests: the constants that say how long are replaced as their modules are loaded.

`conftest.py` installs it in the process of the tests, and `sitecustomize.py`, over PYTHONPATH, in those that tests start.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

FOLDER = str(Path(__file__).parent)
QUICK: dict[str, dict[str, object]] = {
    "sightline.compiler.compilation": {"TIMING_SECONDS": 0.05},
    "sightline.compiler.report.layers": {"PROFILED_SECONDS": 0.05},
    "sightline.compiler.tuning.autotune": {"ROUNDS": 1, "WARM_UPS": 1},
    "sightline.compiler.tuning.probes": {"PROBES": ("conv1x1",), "REPETITIONS": 1, "REPETITION_SECONDS": 0.01},
    "sightline.compiler.tuning.sweep": {"ROUNDS": 1, "ROUND_SECONDS": 0.002},
}


class QuickLoader(SourceFileLoader):
    """Loads a module as ever, then replaces its constants."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, value in QUICK[module.__name__].items():
            assert hasattr(module, name), f"{module.__name__} has no {name}; name here what says how long it times"
            setattr(module, name, value)


class QuickFinder:
    """Finds the modules that have such constants, and no others."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in QUICK else None
        if spec is not None and spec.origin is not None:
            spec.loader = QuickLoader(name, spec.origin)
        return spec


def install() -> None:
    """Shorten timing from here on, in modules that are not loaded yet."""
    sys.meta_path.insert(0, QuickFinder)  # type: ignore[arg-type] # a class with `find_spec` is a finder, too


def install_in_children() -> None:
    """Shorten timing in processes that are started from here on."""
    os.environ["PYTHONPATH"] = os.pathsep.join([FOLDER, *find_other_paths()])


def make_patient_environment() -> dict[str, str]:
    """The environment of a process that times for as long as one of a user."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(find_other_paths())}


def find_other_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", FOLDER)]
