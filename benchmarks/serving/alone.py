"""One client alone: our server against decoding and inferring with all threads in a bare loop; start-up time and memory.

    python benchmarks/serving/alone.py WORK [--model mobilenet_v3_large] [--rounds 5] [--seconds 4]

Rounds take turns: the bare loop (OpenCV decode and resize, the same INT8 file compiled for one picture and all threads), then
one closed-loop client. The ratio is that of the medians of a round; the result is the median of the rounds. The last line is
one JSON object.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import NETWORK_SIDE, add_model, count_cores, load, read_pictures, read_pss_bytes, serve

from harness import judge, print_result, run_main

MOST_OVER_BARE = 1.15
MOST_START_S = 1.5
MOST_MEMORY_MB = 250


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that the peers' setup.sh prepared")
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--starts", type=int, default=5, help="times that the server is started")
    return parser.parse_args()


class BareLoop:
    """Decode, resize, infer with all threads, in this thread."""

    def __init__(self, network: Path) -> None:
        import openvino

        engine = openvino.Core()
        model = engine.read_model(network)
        model.reshape([1, NETWORK_SIDE, NETWORK_SIDE, 3])
        settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": count_cores(), "ENABLE_CPU_PINNING": False}
        self._request = engine.compile_model(model, "CPU", settings).create_infer_request()

    def measure_p50_ms(self, pictures: list[bytes], seconds: float) -> float:
        """Median milliseconds a picture."""
        times_ms = []
        until_s = time.perf_counter() + seconds
        while (begun_s := time.perf_counter()) < until_s:
            picture = pictures[len(times_ms) % len(pictures)]
            image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
            small = cv2.cvtColor(cv2.resize(image, (NETWORK_SIDE, NETWORK_SIDE)), cv2.COLOR_BGR2RGB)
            self._request.infer([small[None]])
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
        return statistics.median(times_ms)


def measure_starts(repository: Path, log: Path, times: int) -> list[float]:
    """Seconds from the process's start to the first time that the model says it is ready."""
    started = []
    for _ in range(times):
        with serve(repository, log, ask="/v2/models/clf/ready") as server:
            started.append(server.started_s)
    return started


def main() -> None:
    arguments = read_arguments()
    cv2.setNumThreads(1)
    network = arguments.work / "models" / f"{arguments.model}_int8.xml"
    pictures = read_pictures(arguments.work)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", network, batch=1)  # as a plain file is served
        starts = measure_starts(repository, log, arguments.starts)
        bare = BareLoop(network)
        with serve(repository, log) as server:
            for _ in range(arguments.rounds):
                bare_ms = bare.measure_p50_ms(pictures, arguments.seconds)
                (point,) = load(server, "clf", pictures, clients=(1,), duration_s=arguments.seconds, warm_up_s=0.5).points
                assert point.answered is not None
                rounds.append({"bare_ms": round(bare_ms, 3), "served_ms": round(point.answered.p50, 3)})
                print(rounds[-1], file=sys.stderr, flush=True)
            memory_mb = read_pss_bytes(server.pid) / 1e6
    over_bare = round(statistics.median(one["served_ms"] / one["bare_ms"] for one in rounds), 3)
    targets = judge(
        {
            "over_bare": (MOST_OVER_BARE, "<=", over_bare),
            "start_s": (MOST_START_S, "<=", round(statistics.median(starts), 2)),
            "memory_mb": (MOST_MEMORY_MB, "<=", round(memory_mb, 1)),
        }
    )
    print_result(
        "serving_alone", model=arguments.model, rounds=rounds, starts_s=[round(one, 2) for one in starts], targets=targets
    )


if __name__ == "__main__":
    run_main(main)
