"""A workspace with a runner whose jobs are real processes; they count, so that a test takes a second."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from following import HERE, Follower

from sightline.core.workspace import Workspace
from sightline.jobs import running
from sightline.jobs.kinds.table import KINDS
from sightline.jobs.runner import JobRunner
from sightline.store.database import Database, open_database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "sightline.db")
    yield opened
    opened.close()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs may count."""
    monkeypatch.setitem(KINDS, "count", "counting:COUNT")
    monkeypatch.setattr(running, "MODULE", "counting_process")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def make_runner(tmp_path: Path, database: Database, counting: None) -> Iterator[Callable[[], Follower]]:
    """Starts a runner on the test's workspace; each is closed at the end, if it was not."""
    started: list[JobRunner] = []

    def make(cores: int = 2) -> Follower:
        workspace = Workspace(tmp_path)
        numbers = sorted(os.sched_getaffinity(0))[:cores]
        runner = JobRunner(workspace, JobStore(database), DatasetStore(workspace, database), numbers, [])
        runner.start()
        started.append(runner)
        return Follower(runner)

    yield make
    for runner in started:
        if not runner.is_closing:
            runner.close()


@pytest.fixture
def follower(make_runner: Callable[[], Follower]) -> Follower:
    return make_runner()
