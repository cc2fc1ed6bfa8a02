"""Twice as many requests as can be answered, for a minute: what is answered, how the rest is refused, and what grows.

    python benchmarks/serving/overload.py WORK [--model mobilenet_v3_large] [--seconds 60] [--queue 64]

The peak is that of closed loops. Then Poisson arrivals at twice the peak come over at most `--connections` kept connections,
more than the queue holds, so that its end is reached. Beside them one client asks ten times a second and looks at the header
Retry-After, which the load generator does not keep. The last line is one JSON object.
"""

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, limit_queue, load, read_pictures, serve

from harness import judge, print_result, run_main
from sightline.bench.load.records import LoadPoint, Moment
from sightline.serving.scheduling.work import QueueSettings

LEAST_GOODPUT = 0.95
MOST_GROWTH = 1.05  # of memory
MOST_SLOWER = 1.2  # of the last third of the time than the first
MOST_REFUSAL_MS = 100.0
PROBE_EVERY_S = 0.1
REFUSED = 503


class Probed(NamedTuple):
    """One answer to the probing client."""

    status: int
    has_retry_after: bool
    ms: float


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload (default: %(default)s)")
    parser.add_argument("--times", type=float, default=2.0, help="offered, of the peak (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=450, help="at once; the server takes 512 of one address")
    parser.add_argument("--queue", type=int, help="longest queue; by default the server's")
    return parser.parse_args()


class Probe:
    """A client beside the load: one request every tenth of a second on a connection that it keeps."""

    def __init__(self, server: OurServer, picture: bytes) -> None:
        self.answers: list[Probed] = []
        self.broken = 0
        self._address = urlsplit(server.url).netloc
        self._picture = picture
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._has_ended.wait(PROBE_EVERY_S):
            begun_s = time.perf_counter()
            try:
                connection.request("POST", "/predict/clf", self._picture, {"Content-Type": "image/jpeg"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self.broken += 1
                connection.close()
                continue
            has_retry_after = (answer.getheader("Retry-After") or "").isdecimal()
            self.answers.append(Probed(answer.status, has_retry_after, (time.perf_counter() - begun_s) * 1e3))
        connection.close()

    def summarise(self) -> dict[str, Any]:
        """What it was told."""
        refusals = [one for one in self.answers if one.status == REFUSED]
        return {
            "asked": len(self.answers) + self.broken,
            "broken": self.broken,
            "refused": len(refusals),
            "without_retry_after": sum(not one.has_retry_after for one in refusals),
            "refusal_p99_ms": round(float(np.percentile([one.ms for one in refusals], 99)), 2) if refusals else None,
        }


def find_p50_ms(moments: tuple[Moment, ...]) -> float:
    """Median of the medians of some stretches."""
    return float(np.median([moment.p50_ms for moment in moments if moment.p50_ms is not None]))


def compare_thirds(point: LoadPoint) -> float:
    """How much slower accepted requests were in the last third of the time than in the first."""
    third = len(point.timeline) // 3
    return round(find_p50_ms(point.timeline[-third:]) / find_p50_ms(point.timeline[:third]), 3)


def describe_latency(point: LoadPoint) -> dict[str, dict[str, float] | None]:
    """Percentiles of what was accepted and of what was refused."""
    return {
        name: None
        if found is None
        else {"p50": round(found.p50, 1), "p99": round(found.p99, 1), "max": round(found.maximum, 1)}
        for name, found in (("accepted_ms", point.answered), ("refused_ms", point.refusal))
    }


def describe_wait(queue: int, peak: float, point: LoadPoint) -> str:
    """Whether the queue is longer than anybody would wait, in words."""
    assert point.answered is not None
    return (
        f"a queue of {queue} at {peak:.0f} answers/s is {queue / peak * 1e3:.0f} ms of waiting; "
        f"accepted requests took {point.answered.p50:.0f} ms at the median"
    )


def judge_point(point: LoadPoint, peak: float, probed: dict[str, Any]) -> dict[str, Any]:
    """Targets."""
    other = sum(count for status, count in point.statuses.items() if status not in ("200", str(REFUSED)))
    cost = point.server
    growth = round(cost.memory_after_bytes / cost.memory_before_bytes, 3) if cost is not None else None
    return judge(
        {
            "goodput": (LEAST_GOODPUT, ">=", round(point.answered_per_s / peak, 3)),
            "refused": (1, ">=", point.refused),
            "other_failures": (0, "<=", other + point.broken + point.unfinished + probed["broken"]),
            "refusals_without_retry_after": (0, "<=", probed["without_retry_after"] if probed["refused"] else None),
            "refusal_p99_ms": (MOST_REFUSAL_MS, "<=", None if point.refusal is None else round(point.refusal.p99, 2)),
            "memory_growth": (MOST_GROWTH, "<=", growth),
            "last_third_over_first": (MOST_SLOWER, "<=", compare_thirds(point)),
        }
    )


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)
    queue = arguments.queue or QueueSettings().max_waiting
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        if arguments.queue is not None:
            limit_queue(repository, "clf", arguments.queue)
        with serve(repository, log) as server:
            (closed,) = load(server, "clf", pictures, clients=(64,), duration_s=min(10.0, arguments.seconds)).points
            peak = closed.answered_per_s
            plan = {"rates": (f"{arguments.times * peak:.1f}",), "duration_s": arguments.seconds, "warm_up_s": 3.0}
            with Probe(server, pictures[0]) as probe:
                (point,) = load(server, "clf", pictures, max_in_flight=arguments.connections, **plan).points
            probed = probe.summarise()
            (after,) = load(server, "clf", pictures, clients=(64,), duration_s=min(5.0, arguments.seconds)).points
    print(describe_wait(queue, peak, point), json.dumps(point.statuses), file=sys.stderr, flush=True)
    print_result(
        "serving_overload",
        model=arguments.model,
        queue=queue,
        peak=round(peak, 1),
        peak_afterwards=round(after.answered_per_s, 1),
        offered=point.offered_per_s,
        answered=point.answered_per_s,
        statuses=point.statuses,
        error_samples=point.error_samples,
        wait=describe_wait(queue, peak, point),
        **describe_latency(point),
        probe=probed,
        generator={"cores": point.generator.cores, "limited_by": point.generator.limited_by, "backlog": point.max_backlog},
        targets=judge_point(point, peak, probed),
    )


if __name__ == "__main__":
    run_main(main)
