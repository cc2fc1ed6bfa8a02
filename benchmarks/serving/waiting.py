"""How long requests would wait if nothing disturbed the machine: the server's own dispatcher in virtual time.

    python benchmarks/serving/waiting.py [--row-ms 1:3.34,4:3.0,8:2.77] [--peak 432] [--rates 0.6,0.7,0.8] [--spread 0.3]

Arrivals are Poisson, executions take what `--row-ms` says of a picture in executions of so many rows, scaled so that all slots
together answer `--peak` a second with the largest; with `--spread` each takes that by a log-normal factor of that sigma. No
thread, no network and no clock is involved, so two rules of gathering differ by what they do and by nothing else, and what a
real run waits longer is the machine's or the code's. Sizes are the planned batches: leave one out to see what it is worth.

The last line is one JSON object: percentiles of the time from arrival to answer, by share of the peak, milliseconds.
"""

import argparse
import heapq
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import print_result, run_main
from sightline.serving.scheduling.dispatch import Batch, Dispatcher
from sightline.serving.scheduling.work import QueueSettings, Work, share_execution

WARM_UP = 0.05  # share of the requests that is not counted


class TimedModel:
    """Something to execute that takes the seconds `row_s` a row, by rows of the execution."""

    name = "timed"
    is_resident = True

    def __init__(self, row_s: dict[int, float]) -> None:
        self.row_s = row_s
        self.queue = QueueSettings(max_batch=max(row_s), planned_batches=tuple(sorted(row_s)), max_waiting=1_000_000)

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        raise AssertionError("virtual executions only")


def simulate(model: TimedModel, slots: int, per_s: float, requests: int, spread: float, seed: int) -> dict[str, Any]:
    """Percentiles of the milliseconds from arrival to answer, and the part of the requests in executions of so many rows."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / per_s, requests))
    dispatcher = Dispatcher(slots, {}, express_slots=0)
    running: list[tuple[float, int, float, Batch]] = []
    latency_s, rows, next_arrival, begun = np.zeros(requests), Counter[int](), 0, 0
    while next_arrival < requests or running:
        if next_arrival < requests and (not running or arrivals[next_arrival] <= running[0][0]):
            now = float(arrivals[next_arrival])
            dispatcher.add(Work(model, next_arrival, lambda work: None), now)
            next_arrival += 1
        else:
            now, _, took_s, ended = heapq.heappop(running)
            share_execution(ended.works, took_s)
            dispatcher.finish(ended, took_s, now)
            for work in ended.works:
                latency_s[work.payload] = now - arrivals[work.payload]
        while (batch := dispatcher.start_next(now)) is not None:
            size = len(batch.works)
            took_s = model.row_s[size] * size * (rng.lognormal(-(spread**2) / 2, spread) if spread else 1.0)
            rows[size] += size
            begun += 1
            heapq.heappush(running, (now + took_s, begun, took_s, batch))
    p50, p95, p99 = np.percentile(latency_s[int(requests * WARM_UP) :] * 1e3, [50, 95, 99]).tolist()
    shares = {str(size): round(count / requests, 3) for size, count in sorted(rows.items())}
    return {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1), "shares_by_rows": shares}


def read_row_ms(text: str) -> dict[int, float]:
    """`1:3.34,8:2.77` as milliseconds by rows."""
    return {int(rows): float(ms) for rows, _, ms in (pair.partition(":") for pair in text.split(","))}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row-ms", type=read_row_ms, default="1:3.34,4:3.0,8:2.77", help="by rows (default: %(default)s)")
    parser.add_argument("--peak", type=float, default=432.0, help="answers a second in the largest executions")
    parser.add_argument("--rates", default="0.6,0.7,0.8", help="shares of the peak (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--spread", type=float, default=0.0, help="sigma of an execution's log-normal factor")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    cheapest_ms = arguments.row_ms[max(arguments.row_ms)]
    second = arguments.slots / arguments.peak  # of a row in the largest execution
    model = TimedModel({rows: ms / cheapest_ms * second for rows, ms in arguments.row_ms.items()})
    points = {}
    for share in (float(share) for share in arguments.rates.split(",")):
        per_s = share * arguments.peak
        points[f"{share:g}"] = simulate(model, arguments.slots, per_s, arguments.requests, arguments.spread, arguments.seed)
        print(f"{per_s:.0f}/s: {points[f'{share:g}']}", file=sys.stderr, flush=True)
    print_result("serving_waiting", row_ms={str(rows): ms for rows, ms in arguments.row_ms.items()}, peak=arguments.peak,
                 slots=arguments.slots, spread=arguments.spread, points=points)  # fmt: skip


if __name__ == "__main__":
    run_main(main)
