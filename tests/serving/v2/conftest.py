"""The pieces of a V2 server, called without a network."""

from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient
from v2_fakes import Bench

from sightline.imaging.files.reading import encode_image


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.scheduler.pool.shutdown()
    assert bench.host.held == 0  # every acquired version was let go of


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    with TestClient(bench.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def jpeg() -> bytes:
    """A bright picture."""
    return encode_image(np.full((30, 40, 3), 230, np.uint8), "jpeg")


@pytest.fixture
def red_png() -> bytes:
    return encode_image(np.full((5, 7, 3), (200, 0, 0), np.uint8), "png")
