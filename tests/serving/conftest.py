"""A repository with one Deployment, and a real server over it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_fakes import FakePredictor, run_server, write_artifact

from sightline.serving.deployments import deploy_artifact


@pytest.fixture
def predictor() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model repository with the deployment `parts`."""
    deploy_artifact(write_artifact(tmp_path / "artifact"), "parts", tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def server(repository: Path, predictor: FakePredictor) -> Iterator[str]:
    with run_server(repository, predictor) as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, trust_env=False, timeout=30) as client:
        yield client
