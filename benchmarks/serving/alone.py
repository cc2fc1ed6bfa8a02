"""One client alone: our server against decoding and inferring with all threads in a bare loop; start-up time and memory.

    python benchmarks/serving/alone.py WORK [--model mobilenet_v3_large] [--turns 10]

Three take turns of all pictures, so that a machine whose speed swings treats all alike: the bare loop in this process (OpenCV
decodes and resizes, the same INT8 file compiled for one picture and all threads), the plainest possible server
(`plain_server.py`: one thread that receives, decodes, infers and answers), and ours. The client of both is a raw socket.
What the plain server takes longer than the loop is what a process of its own and a socket cost here. Ratios are those of the
medians of a turn; the results are medians of the turns.

A first start finds nothing that was compiled before, a later one what the first has kept; the two take turns. The last line is
one JSON object.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import add_model, read_pictures, read_pss_bytes, serve
from plain_server import BareLoop, RawClient

from harness import judge, print_result, run_main

MOST_OVER_BARE = 1.15
MOST_START_S = 1.5
MOST_MEMORY_MB = 250


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that the peers' setup.sh prepared")
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--turns", type=int, default=10, help="of all pictures, for each (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="times that the server is started for the first time, and again")
    return parser.parse_args()


def measure_starts(repository: Path, log: Path, times: int) -> tuple[list[float], list[float]]:
    """Seconds from the process's start to the first time that the model says it is ready: first starts, later ones."""
    first, later = [], []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="sightline-cache-") as cache:
            for started in (first, later):
                with serve(repository, log, ask="/v2/models/clf/ready", cache=Path(cache)) as server:
                    started.append(server.started_s)
    return first, later


@contextmanager
def serve_plainly(network: Path) -> Iterator[int]:
    """The plain server as a child process; gives its port."""
    command = [sys.executable, str(Path(__file__).with_name("plain_server.py")), str(network)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def take_turns(ways: dict[str, Callable[[list[bytes]], float]], pictures: list[bytes], turns: int) -> list[dict[str, float]]:
    """Median milliseconds a picture of each way, by turn. The first turn of all is not counted: it warms up."""
    found = []
    for number in range(turns + 1):
        turn = {name: round(measure(pictures), 3) for name, measure in ways.items()}
        if number:
            found.append(turn)
            print(turn, file=sys.stderr, flush=True)
    return found


def find_ratio(turns: list[dict[str, float]], way: str, reference: str) -> float:
    """Median over the turns."""
    return round(statistics.median(turn[way] / turn[reference] for turn in turns), 3)


def main() -> None:
    arguments = read_arguments()
    network = arguments.work / "models" / f"{arguments.model}_int8.xml"
    pictures = read_pictures(arguments.work)
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", network, batch=1)  # as a plain file is served
        first_starts, later_starts = measure_starts(repository, log, arguments.starts)
        bare = BareLoop(network)
        with serve(repository, log) as server, serve_plainly(network) as plain_port:
            port = urlsplit(server.url).port
            assert port is not None
            with closing(RawClient(port, "/predict/clf")) as ours, closing(RawClient(plain_port, "/")) as plain:
                ways = {"bare_ms": bare.measure_p50_ms, "plain_ms": plain.measure_p50_ms, "served_ms": ours.measure_p50_ms}
                turns = take_turns(ways, pictures, arguments.turns)
            memory_mb = read_pss_bytes(server.pid) / 1e6
    targets = judge(
        {
            "over_bare": (MOST_OVER_BARE, "<=", find_ratio(turns, "served_ms", "bare_ms")),
            "first_start_s": (MOST_START_S, "<=", round(statistics.median(first_starts), 2)),
            "later_start_s": (MOST_START_S, "<=", round(statistics.median(later_starts), 2)),
            "memory_mb": (MOST_MEMORY_MB, "<=", round(memory_mb, 1)),
        }
    )
    print_result(
        "serving_alone",
        model=arguments.model,
        turns=turns,
        plain_over_bare=find_ratio(turns, "plain_ms", "bare_ms"),
        served_over_plain=find_ratio(turns, "served_ms", "plain_ms"),
        first_starts_s=[round(one, 2) for one in first_starts],
        later_starts_s=[round(one, 2) for one in later_starts],
        targets=targets,
    )


if __name__ == "__main__":
    run_main(main)
