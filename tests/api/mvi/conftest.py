"""IBM's own client, the library of `vision-tools`, against a server of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_data import make_dataset
from platform_server import Running, run_app
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.api.server import make_platform, open_parts
from sightline.core.workspace import Workspace
from sightline.jobs.runner import JobRunner

HERE = Path(__file__).parent
OPEN_FILES = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client leaves the files open that it sends."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in OPEN_FILES:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def running_parts(workspace: Workspace) -> Iterator[Parts]:
    """The parts of the platform, over a workspace with the dataset `parts`."""
    make_dataset(workspace)
    with open_parts(workspace) as parts:
        yield parts


@pytest.fixture
def running(running_parts: Parts) -> Iterator[Running]:
    """A server that runs."""
    with run_app(lambda session: make_platform(running_parts, session), running_parts.jobs.begin_to_close) as running:
        yield running


@pytest.fixture
def mvi(running: Running) -> Base:
    """The client, let in by the session's token."""
    return Base(base_uri=running.url, token=running.session.token)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs wait, whoever asks for them."""
    monkeypatch.setattr(JobRunner, "_start_what_fits", lambda runner: None)


@pytest.fixture
def dataset(mvi: Base) -> str:
    """The id of the dataset `parts`."""
    return str(mvi.datasets.report()[0]["_id"])


@pytest.fixture
def files(mvi: Base, dataset: str) -> list[str]:
    """The ids of its pictures."""
    return [file["_id"] for file in mvi.files.report(dataset)]


@pytest.fixture
def dent(mvi: Base, dataset: str) -> str:
    """The id of its tag `dent`."""
    return next(str(tag["_id"]) for tag in mvi.object_tags.report(dataset) if tag["name"] == "dent")
