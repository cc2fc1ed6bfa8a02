"""An empty repository, and what makes fake models of it."""

from pathlib import Path

import pytest
from repository_fakes import Clock, FakeQueues, Maker


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def queues() -> FakeQueues:
    return FakeQueues()


@pytest.fixture
def clock() -> Clock:
    return Clock()
