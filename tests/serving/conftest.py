"""A repository with one Deployment, and the whole server over it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from small_artifacts import write_halves
from whole_server import Running, run_server

from sightline.serving.deployments import deploy_artifact


@pytest.fixture(scope="session")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Artifact that finds one box over the left half of each picture."""
    return write_halves(tmp_path_factory.mktemp("artifacts") / "halves")


@pytest.fixture
def repository(tmp_path: Path, halves: Path) -> Path:
    """A model repository with the deployment `parts`."""
    deploy_artifact(halves, "parts", tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def running(repository: Path) -> Iterator[Running]:
    with run_server(repository) as running:
        yield running


@pytest.fixture
def server(running: Running) -> str:
    """URL of the running server."""
    return running.url


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client
