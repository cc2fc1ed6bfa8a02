"""One small Model and its data set for all tests of the compiler; both are only read."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import make_model, make_version

from sightline.data.versions import DatasetVersion


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    return make_version(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, version: DatasetVersion) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "textures", version)


@pytest.fixture(autouse=True)
def quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing is not what these tests are about: take each turn once and briefly."""
    monkeypatch.setattr("sightline.compiler.autotune.ROUNDS", 1)
    monkeypatch.setattr("sightline.compiler.autotune.WARM_UPS", 1)
    monkeypatch.setattr("sightline.compiler.sweep.ROUND_SECONDS", 0.002)
    monkeypatch.setattr("sightline.compiler.sweep.BATCHES", (1, 2))
    monkeypatch.setattr("sightline.compiler.sweep.ROUNDS", 1)
    monkeypatch.setattr("sightline.compiler.probes.REPETITIONS", 1)
    monkeypatch.setattr("sightline.compiler.probes.PROBES", ("conv1x1",))
