"""Eight cameras at once: 640x360 at 25 frames/s, five of them a second analysed by our own `fast` detector in INT8.

    python benchmarks/serving/streams.py [--artifact FOLDER] [--workspace FOLDER] [--streams 8] [--seconds 20] [--rate 5]

Without an Artifact one is made: sample data, a tiny training budget, INT8 without a gate, as it is speed that is measured here
and the network is the same whatever it has learned. The videos are generated, moving shapes in H.264. Processor time is that of
the server's process and that of the decoders, as the streams' statistics tell it. The last line is one JSON object.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, count_cores, serve

from harness import ProgressPrinter, judge, open_workspace, print_result, run_main
from sightline.cli.commands.demo import NAME, generate, train
from sightline.compiler.compile import compile_model
from sightline.core.workspace import Workspace
from sightline.serving.deployments import deploy_artifact

WIDTH, HEIGHT, VIDEO_RATE = 640, 360, 25
SHAPES = 6
PICTURES = 100  # of the sample data
LEAST_SHARE = 0.98  # of the frames that are due: 4.9 of 5 a second
MOST_SPREAD = 0.02  # between streams
POLL_S = 0.5
END_S = 30.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, help="compiled detector; by default one is made")
    parser.add_argument("--workspace", type=Path, help="where that is made; a temporary folder by default")
    parser.add_argument("--budget", default="20cpu-s", help="of its training (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=20, help="length of a video (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=5.0, help="analysed frames a second of each (default: %(default)s)")
    return parser.parse_args()


def make_artifact(workspace: Workspace, budget: str) -> Path:
    """A `fast` detector in INT8; how well it finds things does not matter here."""
    version = generate(workspace, PICTURES, 0)
    model = train(workspace, version, budget, 0)
    printer = ProgressPrinter("compile")
    return compile_model(model, workspace, version, precision="int8", max_drop=1.0, on_progress=printer, name=NAME).folder


def write_video(path: Path, seconds: int, seed: int) -> None:
    """Coloured rectangles that drift over a noisy background, H.264."""
    rng = np.random.default_rng(seed)
    background = rng.integers(60, 120, (HEIGHT, WIDTH, 3), np.uint8)
    sizes = rng.integers(20, 90, (SHAPES, 2))
    places = rng.uniform(0, 1, (SHAPES, 2)) * (WIDTH, HEIGHT)
    speeds = rng.uniform(-6, 6, (SHAPES, 2))  # pixels a frame
    colours = rng.integers(0, 256, (SHAPES, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(seconds * VIDEO_RATE):
            image = background.copy()
            corners = ((places + number * speeds) % (WIDTH, HEIGHT)).astype(int)
            for (x, y), (width, height), colour in zip(corners, sizes, colours, strict=True):
                image[y : y + height, x : x + width] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def watch(server: OurServer, arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Start every stream, wait for their ends. Returns: each one's last view; what was seen meanwhile."""
    process = psutil.Process(server.pid)
    worst_lag_s, worst_waiting = 0.0, 0
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        cpu_s, begun_s = sum(process.cpu_times()[:2]), time.perf_counter()
        for number in range(arguments.streams):
            asked = {"model": NAME, "source": {"file": f"{number}.mp4"}, "frames_per_second": arguments.rate}
            client.post("/v2/streams", json=asked).raise_for_status()
        while True:
            time.sleep(POLL_S)
            views = client.get("/v2/streams").raise_for_status().json()["streams"]
            worst_lag_s = max(worst_lag_s, *(view["statistics"]["lag_s"] for view in views))
            worst_waiting = max(worst_waiting, *(view["statistics"]["frames_waiting"] for view in views))
            took_s = time.perf_counter() - begun_s
            if all(view["state"] in ("ended", "failed") for view in views) or took_s > arguments.seconds + END_S:
                break
        server_s = sum(process.cpu_times()[:2]) - cpu_s
    decoders_s = sum(view["statistics"]["decoder_cpu_s"] for view in views)
    cost = {"server_cores": round(server_s / took_s, 3), "decoder_cores": round(decoders_s / took_s, 3)}
    return views, {"worst_lag_s": worst_lag_s, "worst_waiting": worst_waiting, "took_s": round(took_s, 2), **cost}


def describe_stream(view: dict[str, Any], seconds: int) -> dict[str, Any]:
    """What matters of a stream's last view; what it is behind at its end is the start of its decoder, and lag."""
    counted = view["statistics"]
    return {
        "state": view["state"],
        "detail": view["detail"],
        "rate": round(counted["frames_analysed"] / seconds, 3),
        "dropped": counted["frames_dropped"],
        "latency_ms_p50": counted["latency_ms_p50"],
        "latency_ms_p99": counted["latency_ms_p99"],
        "behind_s": round(counted["running_s"] - seconds, 2),
    }


def judge_streams(streams: list[dict[str, Any]], worst_lag_s: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Targets; a frame is in time when its result is there before the next one is due."""
    p99s = [stream["latency_ms_p99"] for stream in streams]
    rates = [stream["rate"] for stream in streams]
    return judge(
        {
            "slowest_rate": (LEAST_SHARE * arguments.rate, ">=", min(rates)),
            "streams_that_ended_well": (arguments.streams, ">=", sum(stream["state"] == "ended" for stream in streams)),
            "spread": (MOST_SPREAD, "<=", round((max(rates) - min(rates)) / arguments.rate, 4)),
            "worst_lag_s": (1 / arguments.rate, "<=", worst_lag_s),
            "slowest_p99_ms": (1e3 / arguments.rate, "<=", None if None in p99s else max(p99s)),
        }
    )


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary, open_workspace(arguments.workspace) as home:
        artifact = arguments.artifact or make_artifact(home, arguments.budget)
        repository, log, videos = Path(temporary, "repository"), Path(temporary, "log"), Path(temporary, "videos")
        deploy_artifact(artifact, NAME, repository)
        videos.mkdir()
        for number in range(arguments.streams):
            write_video(videos / f"{number}.mp4", arguments.seconds, number)
        with serve(repository, log, "--stream-files", str(videos)) as server:
            views, seen = watch(server, arguments)
    streams = [describe_stream(view, arguments.seconds) for view in views]
    print(*streams, sep="\n", file=sys.stderr, flush=True)
    print_result(
        "serving_streams",
        video=f"{WIDTH}x{HEIGHT}, {VIDEO_RATE} frames/s, {arguments.seconds} s, H.264",
        analysed_per_s=arguments.rate,
        cores=count_cores(),
        streams=streams,
        **seen,
        targets=judge_streams(streams, seen["worst_lag_s"], arguments),
    )


if __name__ == "__main__":
    run_main(main)
