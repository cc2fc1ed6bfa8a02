"""A server over streams, and videos that it may show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stream_fakes import GRAYS, LIMITS, Stage, run_streams, write_sound, write_video
from waiting import DEADLINE_S

from sightline.core.errors import InvalidInput
from sightline.serving.streams.manager import StreamLimits, StreamManager


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", GRAYS)
    write_sound(folder / "sound.mp4")
    (folder / "broken.mp4").write_bytes(b"broken" * 1000)
    return folder


async def allow_loopback(url: str) -> None:
    if "forbidden" in url:
        raise InvalidInput("this address may not be opened")


@pytest.fixture
def managers() -> list[StreamManager]:
    return []


@pytest.fixture
def limits() -> StreamLimits:
    """Of the server; a test may set others."""
    return LIMITS


@pytest.fixture
def url(stage: Stage, videos: Path, managers: list[StreamManager], limits: StreamLimits) -> Iterator[str]:
    def make(service: Any) -> StreamManager:
        managers.append(StreamManager(service, folder=videos, check_url=allow_loopback, limits=limits))
        return managers[0]

    with run_streams(stage, make) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client:
        yield client
