"""An hour at 80 % of the peak: the 99th percentile, memory and failures of every minute.

    python benchmarks/serving/soak.py WORK [--model mobilenet_v3_large] [--minutes 60]

Poisson arrivals, in points of a minute one after the other, each with connections of its own. What grows is told by comparing
medians of the last tenth of the minutes and of the first tenth, the very first left out. The last line is one JSON object.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, load, read_pictures, read_pss_bytes, serve

from harness import judge, print_result, run_main

SHARE_OF_PEAK = 0.8
MOST_GROWTH = 1.05  # of memory
MOST_SLOWER = 1.5  # p99
MOST_P99_MS = {"mobilenet_v3_large": 40.0}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--minutes", type=int, default=60, help="points (default: %(default)s)")
    parser.add_argument("--minute-s", type=float, default=60.0, help="measured seconds of a point (default: %(default)s)")
    return parser.parse_args()


def measure_minute(server: OurServer, pictures: list[bytes], rate: float, number: int, seconds: float) -> dict[str, Any]:
    """One point of the open loop."""
    (point,) = load(server, "clf", pictures, seed=number, rates=(f"{rate:.1f}",), duration_s=seconds, warm_up_s=1.0).points
    answered = point.answered
    return {
        "minute": number,
        "planned": point.planned,
        "failed": point.planned - (0 if answered is None else answered.count),
        "p50": None if answered is None else round(answered.p50, 2),
        "p99": None if answered is None else round(answered.p99, 2),
        "max": None if answered is None else round(answered.maximum, 1),
        "pss_mb": round(read_pss_bytes(server.pid) / 1e6, 1),
        "server_cores": None if point.server is None else point.server.cores,
        "other_cores": point.other_cores,
    }


def compare_ends(minutes: list[dict[str, Any]], key: str) -> float | None:
    """Median of the last tenth over that of the first; the first minute warms up. None when a minute had no answers."""
    later = minutes[1:] or minutes
    if any(minute[key] is None for minute in later):
        return None
    count = max(1, len(later) // 10)
    ends = [statistics.median(minute[key] for minute in part) for part in (later[:count], later[-count:])]
    return round(ends[1] / ends[0], 3)


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)
    minutes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        with serve(repository, log) as server:
            (closed,) = load(server, "clf", pictures, clients=(64,), duration_s=min(10.0, arguments.minute_s)).points
            rate = SHARE_OF_PEAK * closed.answered_per_s
            for number in range(1, arguments.minutes + 1):
                minutes.append(measure_minute(server, pictures, rate, number, arguments.minute_s))
                print(minutes[-1], file=sys.stderr, flush=True)
        tracebacks = log.read_text(errors="replace").count("Traceback")
    p99s = [minute["p99"] for minute in minutes]
    targets: dict[str, tuple[float, str, float | None]] = {
        "failed": (0, "<=", sum(minute["failed"] for minute in minutes)),
        "tracebacks": (0, "<=", tracebacks),
        "memory_growth": (MOST_GROWTH, "<=", compare_ends(minutes, "pss_mb")),
        "p99_growth": (MOST_SLOWER, "<=", compare_ends(minutes, "p99")),
    }
    if arguments.model in MOST_P99_MS:
        middle = None if None in p99s else round(statistics.median(p99s), 2)
        targets["median_p99_ms"] = (MOST_P99_MS[arguments.model], "<=", middle)
    print_result(
        "serving_soak",
        model=arguments.model,
        peak=round(closed.answered_per_s, 1),
        rate=round(rate, 1),
        minutes=minutes,
        targets=judge(targets),
    )


if __name__ == "__main__":
    run_main(main)
