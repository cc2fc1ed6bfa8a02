"""A new version of a model, swapped in under load a hundred times: failed requests, and memory before and after.

    python benchmarks/serving/swaps.py WORK [--model mobilenet_v3_large] [--swaps 100] [--clients 16] [--every 1]

A version is written under a hidden name, takes its number by renaming, and is loaded by the repository's API (`--model-control
explicit`); the folder before it is removed at once. Memory is PSS of the idle server, after the first five swaps and after
the rest. The last line is one JSON object.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, load, read_json, read_pictures, read_pss_bytes, serve

from harness import judge, print_result, run_main
from sightline.bench.load.records import LoadPoint
from sightline.serving.client.blocking import Client

FIRST_SWAPS = 5
MOST_GROWTH = 1.05
STRETCH_S = 20.0
LOAD_LIMIT_S = 120.0
IDLE_S = 3.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--swaps", type=int, default=100, help="in all (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=16, help="closed loops meanwhile (default: %(default)s)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from swap to swap at least (default: %(default)s)")
    return parser.parse_args()


class Swaps(NamedTuple):
    """What came of some swaps. Attributes: seconds: of each load call. points: the load. pss_bytes: idle, after it."""

    seconds: list[float]
    points: list[LoadPoint]
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


def keep_loading(
    server: OurServer, pictures: list[bytes], clients: int, first_s: float, has_ended: threading.Event
) -> list[LoadPoint]:
    """One stretch of load after the other until told to end. Args: first_s: length of the first."""
    points: list[LoadPoint] = []
    while not has_ended.is_set():
        seconds = STRETCH_S if points else first_s
        points += load(server, "clf", pictures, clients=(clients,), duration_s=seconds, warm_up_s=0.5).points
    return points


def swap_under_load(
    server: OurServer, home: Path, pictures: list[bytes], versions: range, arguments: argparse.Namespace
) -> Swaps:
    """Swap to each of the versions in turn while clients ask; then let the server rest and read its memory.

    Half the clients begin anew in the middle of the other half's stretch, so that there is no moment without load.
    """
    seconds, has_ended = [], threading.Event()
    with ThreadPoolExecutor(2) as pool, Client(server.url, timeout_s=LOAD_LIMIT_S) as client:
        shares = (arguments.clients // 2, arguments.clients - arguments.clients // 2)
        firsts = (STRETCH_S, STRETCH_S / 2)
        loading = [
            pool.submit(keep_loading, server, pictures, max(1, count), first_s, has_ended)
            for count, first_s in zip(shares, firsts, strict=True)
        ]
        try:
            time.sleep(2.0)  # the load has begun
            for version in versions:
                begun_s = time.perf_counter()
                seconds.append(swap(client, home, version))
                time.sleep(max(0.0, begun_s + arguments.every - time.perf_counter()))
        finally:
            has_ended.set()
        points = [point for one in loading for point in one.result()]
    time.sleep(IDLE_S)
    return Swaps(seconds, points, read_pss_bytes(server.pid))


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
    points = [*first.points, *rest.points]
    statuses = sum((Counter(point.statuses) for point in points), Counter[str]())
    failed = sum(count for status, count in statuses.items() if status != "200")
    failed += sum(point.broken + point.unfinished for point in points)
    seconds = [*first.seconds, *rest.seconds]
    targets: dict[str, tuple[float, str, float | None]] = {
        "failed_requests": (0, "<=", failed),
        "answers_from_the_last_version": (1, ">=", int(versions == [str(1 + arguments.swaps)])),
        "memory_growth": (MOST_GROWTH, "<=", round(rest.pss_bytes / first.pss_bytes, 4)),
    }
    print_result(
        "serving_swaps",
        model=arguments.model,
        swaps=len(seconds),
        clients=arguments.clients,
        statuses=dict(statuses),
        longest_ms=max(round(point.answered.maximum, 1) for point in points if point.answered is not None),
        load_s={"median": round(statistics.median(seconds), 3), "longest": round(max(seconds), 3)},
        memory_mb={"after_first_swaps": round(first.pss_bytes / 1e6, 1), "at_end": round(rest.pss_bytes / 1e6, 1)},
        targets=judge(targets),
    )


if __name__ == "__main__":
    run_main(main)
