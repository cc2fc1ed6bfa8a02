"""What `/metrics` tells of streams, while they run and after they are forgotten."""

from pathlib import Path
from typing import Any

import httpx
from stream_client import read, start, wait_for
from stream_fakes import LIMITS, Stage, run_streams
from waiting import DEADLINE_S, wait_until

from sightline.core.errors import QueueFull
from sightline.serving.streams.manager import StreamManager
from sightline.serving.streams.stream_metrics import StreamMetrics


def test_streams_are_counted_by_model_while_they_run_and_when_they_are_forgotten(stage: Stage, videos: Path) -> None:
    metrics = StreamMetrics()

    def read_all() -> dict[str, dict[tuple[str, ...], float]]:
        families = {**metrics.gauges(), **metrics.counters()}
        return {name.removeprefix("sightline_"): dict(values()) for name, (_, _, values) in families.items()}

    def make(service: Any) -> StreamManager:
        return StreamManager(service, folder=videos, limits=LIMITS, metrics=metrics)

    assert not any(read_all().values())
    with run_streams(stage, make) as url, httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE_S) as client:
        stage.scheduler.refusals = [QueueFull("full", 1.0)]
        ended = start(client, realtime=True, drop="none")
        wait_for(client, ended, "ended")
        wait_for(client, start(client, {"file": "broken.mp4"}), "failed")
        running = start(client, loop=True)
        wait_until(lambda: read(client, running)["statistics"]["frames_analysed"] > 8)
        now = read_all()
        assert now["streams"] == {("brightness", "running"): 1}
        assert now["stream_ends"] == {("brightness", "ended"): 1, ("brightness", "failed"): 1}
        assert now["stream_frames"]["brightness", "queue_full"] == 1
        assert now["stream_frames"]["brightness", "analysed"] > 7 + 8
        assert now["stream_lag_seconds"] == {("brightness",): 0.0}
        for stream in (ended, running):
            assert client.delete(f"/v2/streams/{stream['id']}").status_code == 204
        after = read_all()
    assert after["streams"] == {} and after["stream_ends"]["brightness", "ended"] == 2
    assert after["stream_frames"]["brightness", "analysed"] >= now["stream_frames"]["brightness", "analysed"]
