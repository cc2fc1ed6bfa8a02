"""How long requests wait at four fifths of the peak: Poisson arrivals, latency from the planned moment, our own generator.

    python benchmarks/serving/tail.py WORK [--model mobilenet_v3_large] [--rounds 5] [--seconds 15]

A round is a closed loop, whose rate is the peak, and then arrivals at `--share` of it. `peers.py` asks every server in the same
way with the bench's generator, which takes 0.18 cores in open loops against 0.03 in closed ones; ours takes 0.05. The last line
is one JSON object.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, load, read_pictures, serve

from harness import judge, print_result, run_main

MOST_P99_MS = {"mobilenet_v3_large": 40.0}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that the peers' setup.sh prepared")
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--clients", type=int, default=64, help="of the closed loops (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.8, help="of the peak (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each open loop (default: %(default)s)")
    return parser.parse_args()


def measure_round(server: OurServer, pictures: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """The peak and what requests at a share of it took, milliseconds."""
    (closed,) = load(server, "clf", pictures, clients=(arguments.clients,), duration_s=arguments.seconds / 3).points
    rate = f"{arguments.share * closed.answered_per_s:.1f}"
    (point,) = load(server, "clf", pictures, rates=(rate,), duration_s=arguments.seconds, warm_up_s=1.0).points
    assert point.answered is not None
    return {
        "peak": round(closed.answered_per_s, 1),
        "answered_per_s": round(point.answered_per_s, 1),
        "p50_ms": round(point.answered.p50, 1),
        "p99_ms": round(point.answered.p99, 1),
        "longest_ms": round(point.answered.maximum, 1),
        "refused": point.refused,
        "server_cores": None if point.server is None else round(point.server.cores, 3),
        "generator_cores": round(point.generator.cores, 3),
    }


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        with serve(repository, log) as server:
            for _ in range(arguments.rounds):
                rounds.append(measure_round(server, pictures, arguments))
                print(rounds[-1], file=sys.stderr, flush=True)
    most_ms = MOST_P99_MS.get(arguments.model, float("inf"))
    targets = judge(
        {
            "p99_ms": (most_ms, "<=", statistics.median(one["p99_ms"] for one in rounds)),
            "refused": (0, "<=", sum(one["refused"] for one in rounds)),
        }
    )
    print_result("serving_tail", model=arguments.model, share_of_peak=arguments.share, rounds=rounds, targets=targets)


if __name__ == "__main__":
    run_main(main)
