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


@pytest.fixture(autouse=True, scope="session")
def few_batches() -> Iterator[None]:
    """Timing is not what these tests are about: two batch sizes are swept."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cpu", "cuda"):
            patch.setitem(DEVICES, name, msgspec.structs.replace(DEVICES[name], swept_batches=(1, 2)))
        yield
