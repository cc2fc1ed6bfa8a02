"""Fixtures every test may use: the shared real data, and a generator with a fixed seed."""

import errno
import gc
import io
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import quick_timing

# Processes that prepare samples are forked from ones that train, which never load gRPC; here one process does both, and gRPC's
# handlers would start its threads again in a fork, over descriptors that are no longer theirs, and abort. Read at its import.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

quick_timing.install()
quick_timing.install_in_children()

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared real pictures, labels, videos and networks; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the shared real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded random generator."""
    return np.random.default_rng(20261121)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds what another run, or the user, has put into the cache; those of one run find each other's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """A million objects of tests and packages last: going through them for garbage took a third of finding the tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, files with slow ones come first, lest one process ends with them alone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow_files = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow_files)


class HalfAFile(io.FileIO):
    """Takes half of what is written to it."""

    def write(self, content: bytes) -> int:  # type: ignore[override] # bytes are all that is written here
        super().write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, the disk fills up halfway through each file that is written whole or not at all."""
    return lambda: monkeypatch.setattr(os, "fdopen", HalfAFile)
