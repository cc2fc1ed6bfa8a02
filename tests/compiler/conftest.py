"""One small Model and its dataset for all tests of the compiler; both are only read."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from toy import make_model, make_version

from sightline.data.versions import DatasetVersion
from sightline.runtime.devices import DEVICES


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    return make_version(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, version: DatasetVersion) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "textures", version)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph can be written: there is no room left."""

    def save(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("onnx.save", save)


QUICK = {
    "tuning.autotune.ROUNDS": 1,
    "tuning.autotune.WARM_UPS": 1,
    "compilation.TIMING_SECONDS": 0.05,
    "report.layers.PROFILED_SECONDS": 0.05,
    "tuning.probes.PROBES": ("conv1x1",),
    "tuning.probes.REPETITIONS": 1,
    "tuning.probes.REPETITION_SECONDS": 0.01,
    "tuning.sweep.ROUNDS": 1,
    "tuning.sweep.ROUND_SECONDS": 0.002,
}


@pytest.fixture(autouse=True, scope="session")
def quick_timing() -> Iterator[None]:
    """Timing is not what these tests are about: take each turn once and briefly."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setattr(f"sightline.compiler.{name}", value)
        for name in ("cpu", "cuda"):
            patch.setitem(DEVICES, name, msgspec.structs.replace(DEVICES[name], swept_batches=(1, 2)))
        yield
