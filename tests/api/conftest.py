"""The platform over a workspace of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from platform_data import make_dataset
from starlette.testclient import TestClient

from sightline.api.server import make_platform, open_parts
from sightline.api.session import Session
from sightline.core.workspace import Workspace
from sightline.store import passwords


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little, where the test is of something else."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", hasher)
    monkeypatch.setattr(passwords, "UNKNOWN", hasher.hash(b"nobody has this one"))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that follows no redirects."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def parts(workspace: Workspace) -> Workspace:
    """A workspace with the dataset `parts`."""
    make_dataset(workspace)
    return workspace


@pytest.fixture
def api(workspace: Workspace) -> Iterator[TestClient]:
    """The whole application over the workspace, called in this process as a program calls it."""
    session = Session(port=8000, author="ada")
    headers = {"Authorization": f"Bearer {session.token}"}
    with (
        open_parts(workspace) as parts,
        TestClient(make_platform(parts, session), f"http://127.0.0.1:{session.port}", headers=headers) as client,
    ):
        yield client
