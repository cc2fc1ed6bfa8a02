"""How long requests wait at the same rates: ours beside peers, Poisson arrivals by the bench's load generator, in turns.

    python benchmarks/serving/same_rates.py WORK --bench BENCH [--peers fastapi triton] [--rates 150 200 250 300] [--rounds 3]

`peers.py` asks every server at four fifths of its own peak, so that the fastest has the most to do. Here each has the same to
do. All servers run throughout with the same INT8 file, and one after the other is asked. Numbers are medians of the rounds; a
rate that a server cannot keep shows as seconds of waiting and fewer answers. The last line is one JSON object.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import add_model, find_free_port, serve

from harness import judge, print_result, run_main
from sightline.core.errors import Conflict

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 10.0
CONNECTIONS = 64
WARM_UP_S = 1.0


class Asked(NamedTuple):
    """Where a server listens, and how the load generator asks it."""

    port: int
    path: str
    body: str


PEERS = {"fastapi": ("/predict", "raw"), "triton": ("/v2/models/clf/infer", "v2bin")}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that the peers' setup.sh prepared")
    parser.add_argument("--bench", type=Path, required=True, help="folder of the peers' scripts")
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rates", nargs="+", type=float, default=[150.0, 200.0, 250.0, 300.0], help="requests a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds of a point (default: %(default)s)")
    return parser.parse_args()


def ask(work: Path, asked: Asked, seconds: float, *load: str, warm_up_s: float = 0.0) -> dict[str, Any] | None:
    """What the load generator found; None when nobody listens."""
    command = [str(work / "loadgen"), "-l", str(work / "pictures.txt")]
    command += ["-p", str(asked.port), "-u", asked.path, "-b", asked.body]
    command += ["-t", str(seconds), "-w", str(warm_up_s), *load]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] | None = json.loads(done.stdout.splitlines()[-1]) if done.stdout.startswith("{") else None
    return found


@contextmanager
def run_peer(arguments: argparse.Namespace, name: str) -> Iterator[Asked]:
    """A peer as the bench starts it, ended afterwards. Raises: Conflict when it does not answer."""
    asked = Asked(find_free_port(), *PEERS[name])
    environment = {**os.environ, "PORT": str(asked.port), "MODEL": arguments.model}
    command = [str(arguments.bench / "run_peer.sh"), str(arguments.work), name]
    with (arguments.work / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        until_s = time.monotonic() + START_PATIENCE_S
        while not ((found := ask(arguments.work, asked, 0.15, "-c", "1")) and found["ok"]):
            if process.poll() is not None or time.monotonic() > until_s:
                raise Conflict(f"{name} does not answer; see {log.name}")
            time.sleep(0.2)
        yield asked
    finally:
        end_group(process)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it started, by force where it does not heed."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, how)
            process.wait(STOP_PATIENCE_S)


def summarise(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds of one server at one rate."""
    return {
        **{key: round(statistics.median(point[key] for point in points), 1) for key in ("rate", "p50", "p99")},
        "p99_of_rounds": [round(point["p99"], 1) for point in points],
        "failed": sum(point["http_errors"] + point["broken"] for point in points),
    }


def print_table(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """A row a server, to read: medians of the rounds, p50 and p99."""
    print(f"| p50 / p99, ms, at | {' | '.join(f'{rate}/s' for rate in next(iter(found.values())))} |")
    for name, rates in found.items():
        cells = " | ".join(f"{point['p50']:.0f} / {point['p99']:.0f}" for point in rates.values())
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    arguments = read_arguments()
    arguments.work, arguments.bench = arguments.work.resolve(), arguments.bench.resolve()
    names = ["sightline", *arguments.peers]
    points: dict[tuple[str, float], list[dict[str, Any]]] = {(name, rate): [] for name in names for rate in arguments.rates}
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary, ExitStack() as running:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        own = running.enter_context(serve(repository, log))
        servers = {"sightline": Asked(urlsplit(own.url).port or 0, "/predict/clf", "raw")}
        servers |= {name: running.enter_context(run_peer(arguments, name)) for name in arguments.peers}
        for number in range(arguments.rounds):
            for rate in arguments.rates:
                for name in names if number % 2 == 0 else reversed(names):
                    load = ["-c", str(CONNECTIONS), "-r", str(rate)]
                    point = ask(arguments.work, servers[name], arguments.seconds, *load, warm_up_s=WARM_UP_S)
                    if point is None:
                        raise Conflict(f"{name} ended while it was asked; see its log")
                    points[name, rate].append(point)
                    print(f"{name} {rate:g}/s: p50 {point['p50']} p99 {point['p99']} ms", file=sys.stderr, flush=True)
    found = {name: {f"{rate:g}": summarise(points[name, rate]) for rate in arguments.rates} for name in names}
    print_table(found)
    print_result("serving_same_rates", model=arguments.model, servers=found, targets=judge_points(found))


def judge_points(found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Targets: at each rate a p99 below that of the best peer which answered everything."""
    own_points = found["sightline"]
    peers = [rates for name, rates in found.items() if name != "sightline"]
    targets: dict[str, tuple[float, str, float | None]] = {
        f"p99_at_{rate}_over_best_peer": (1.0, "<=", compare(point, [rates[rate] for rates in peers]))
        for rate, point in own_points.items()
        if peers
    }
    targets["failed"] = (0, "<=", sum(point["failed"] for point in own_points.values()))
    return judge(targets)


def compare(own: dict[str, Any], others: list[dict[str, Any]]) -> float | None:
    """Our p99 over the least of the others'; None where no other answered everything."""
    best = min((point["p99"] for point in others if point["p99"] and not point["failed"]), default=None)
    return None if best is None else round(own["p99"] / best, 3)


if __name__ == "__main__":
    run_main(main)
