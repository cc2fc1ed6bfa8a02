"""A new version of a model, swapped in under load a hundred times: failed requests, and memory before and after.

    python benchmarks/serving/swaps.py WORK [--model mobilenet_v3_large] [--swaps 100] [--clients 16] [--every 3]

A version is written under a hidden name, takes its number by renaming, and is loaded by the repository's API (`--model-control
explicit`); the folder before it is removed at once. Memory is PSS of the idle server, after the first five swaps and after
the rest. The last line is one JSON object.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, load, read_json, read_pictures, read_pss_bytes, serve

from harness import judge, print_result, run_main
from sightline.bench.load.records import LoadPoint
from sightline.serving.client import Client

FIRST_SWAPS = 5
MOST_GROWTH = 1.05
MARGIN_S = 5.0
IDLE_S = 3.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--swaps", type=int, default=100, help="in all (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=16, help="closed loops meanwhile (default: %(default)s)")
    parser.add_argument("--every", type=float, default=3.0, help="seconds from swap to swap at least (default: %(default)s)")
    return parser.parse_args()


class Swaps(NamedTuple):
    """What came of some swaps. Attributes: seconds: of each load call. late: that ended when the load had ended already."""

    seconds: list[float]
    point: LoadPoint
    late: int
    pss_bytes: int


def swap(client: Client, home: Path, version: int) -> float:
    """Put a copy of the version before into the repository, load it, remove the old one. Returns: seconds of the loading."""
    hidden, before = home / f".new-{version}", home / str(version - 1)
    shutil.copytree(before, hidden)
    hidden.rename(home / str(version))
    begun_s = time.perf_counter()
    client.load("clf")
    seconds = time.perf_counter() - begun_s
    shutil.rmtree(before.rename(home / f".old-{version - 1}"))
    return seconds


def swap_under_load(
    server: OurServer, home: Path, pictures: list[bytes], versions: range, arguments: argparse.Namespace
) -> Swaps:
    """Swap to each of the versions in turn while clients ask; then let the server rest and read its memory."""
    plan: dict[str, Any] = {"clients": (arguments.clients,), "warm_up_s": 1.0}
    plan["duration_s"] = len(versions) * arguments.every + MARGIN_S
    seconds, late = [], 0
    with ThreadPoolExecutor(1) as pool, Client(server.url) as client:
        loading = pool.submit(load, server, "clf", pictures, **plan)
        time.sleep(2.0)  # the load has begun
        for version in versions:
            begun_s = time.perf_counter()
            seconds.append(swap(client, home, version))
            late += loading.done()
            time.sleep(max(0.0, begun_s + arguments.every - time.perf_counter()))
        (point,) = loading.result().points
    time.sleep(IDLE_S)
    return Swaps(seconds, point, late, read_pss_bytes(server.pid))


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        home = repository / "clf"
        with serve(repository, log, "--model-control", "explicit", "--load", "clf") as server:
            first = swap_under_load(server, home, pictures, range(2, 2 + FIRST_SWAPS), arguments)
            print(f"after {FIRST_SWAPS} swaps: {first.pss_bytes / 1e6:.1f} MB", file=sys.stderr, flush=True)
            rest = swap_under_load(server, home, pictures, range(2 + FIRST_SWAPS, 2 + arguments.swaps), arguments)
            versions = read_json(f"{server.url}/v2/models/clf")["versions"]
    points = (first.point, rest.point)
    statuses = sum((Counter(point.statuses) for point in points), Counter[str]())
    failed = sum(count for status, count in statuses.items() if status != "200")
    failed += sum(point.broken + point.unfinished for point in points)
    seconds = [*first.seconds, *rest.seconds]
    targets: dict[str, tuple[float, str, float | None]] = {
        "failed_requests": (0, "<=", failed),
        "swaps_after_the_load": (0, "<=", first.late + rest.late),
        "answers_from_the_last_version": (1, ">=", int(versions == [str(1 + arguments.swaps)])),
        "memory_growth": (MOST_GROWTH, "<=", round(rest.pss_bytes / first.pss_bytes, 4)),
    }
    print_result(
        "serving_swaps",
        model=arguments.model,
        swaps=len(seconds),
        clients=arguments.clients,
        statuses=dict(statuses),
        answered_per_s=[point.answered_per_s for point in points],
        longest_ms=[None if point.answered is None else round(point.answered.maximum, 1) for point in points],
        load_s={"median": round(statistics.median(seconds), 3), "longest": round(max(seconds), 3)},
        memory_mb={"after_first_swaps": round(first.pss_bytes / 1e6, 1), "at_end": round(rest.pss_bytes / 1e6, 1)},
        targets=judge(targets),
    )


if __name__ == "__main__":
    run_main(main)
