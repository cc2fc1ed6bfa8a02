"""What it brings on a CPU that several processes share each batch: pictures/s and memory, beside one process with all threads.

    python benchmarks/shared_batches.py                        # BCCD, the detector `fast`; about two minutes
    python benchmarks/shared_batches.py --threads 8 --processes 4

One process with all threads and several with as many threads together take turns; a round is a pair, its ratio the ratio of
the two. The first third of each run is left out; start and validation are no part of it. The last line is one JSON object.
"""

import os
import socket
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from harness import make_parser, open_workspace, print_result, run_main
from sightline.core.errors import Exhausted, InvalidInput
from sightline.core.processes import end_with_parent
from sightline.core.progress import ignore_progress
from sightline.data.importing import import_dataset
from sightline.training.folder import CURVE_NAME
from sightline.training.launcher import worker_environment
from sightline.training.recipe import make_recipe
from sightline.training.worker_messages import LOOPBACK, Meeting

PSS = "Pss:"  # of smaps_rollup: memory that several processes share counts in parts


def main() -> None:
    parser = make_parser(__doc__, "detection/bccd")
    parser.add_argument("--processes", type=int, default=2, help="that share each batch (default: %(default)s)")
    parser.add_argument("--network", default="fast", help="detector (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run (default: %(default)s)")
    args = parser.parse_args()
    settings = {"budget": f"{args.seconds}s", "batch_size": args.batch_size}
    rounds = []
    with open_workspace(args.workspace) as workspace:
        version, _ = import_dataset(args.data, workspace, "bccd")
        for number in range(args.rounds):
            counts = (1, args.processes) if number % 2 == 0 else (args.processes, 1)
            runs = {
                count: learn(version.folder, args.network, {**settings, "processes": count}, args.threads) for count in counts
            }
            rounds.append({"one": runs[1], "several": runs[args.processes]})
            print(f"round {number + 1}: {rounds[-1]}", flush=True)
    print_result(
        "shared_batches",
        data="bccd",
        settings={**settings, "network": args.network, "threads": args.threads, "processes": args.processes},
        rounds=rounds,
        medians={name: take_medians([one[name] for one in rounds]) for name in ("one", "several")},
        ratio=statistics.median(one["several"]["pictures_per_s"] / one["one"]["pictures_per_s"] for one in rounds),
    )


def learn(version_folder: Path, network: str, settings: dict[str, Any], threads: int) -> dict[str, float]:
    """Pictures/s after the first third of the budget; all processes' memory; the share of that time in which the first one
    averaged, or waited for the others to.
    """
    count = settings["processes"]
    os.environ.update(worker_environment(max(1, threads // count)))
    spawning = get_context("spawn")
    with socket.create_server((LOOPBACK, 0)) as taken:  # free in a moment, for the first process
        port = taken.getsockname()[1]
    answers = spawning.Queue()
    meetings = [Meeting(rank=rank, count=count, port=port) for rank in range(count)]
    workers = [
        spawning.Process(target=learn_part, args=(str(version_folder), network, settings, meeting, answers))
        for meeting in meetings
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise Exhausted(f"expected processes that train to their end, got exit codes {[worker.exitcode for worker in workers]}")
    parts = [answers.get() for _ in workers]
    first = next(part for part in parts if "pictures_per_s" in part)
    return {**first, "pss_mb": round(sum(part["pss_mb"] for part in parts), 1)}


def learn_part(version_folder: str, network: str, settings: dict[str, Any], meeting: Meeting, answers: Any) -> None:
    """One of the processes."""
    end_with_parent()
    from sightline.data.versions import open_version
    from sightline.training.rank_group import join_ranks
    from sightline.training.ranks import Alone
    from sightline.training.train import prepare_loop
    from sightline.training.worker import settle_threads

    settle_threads()
    recipe = make_recipe(
        "detection", network, **settings, validations=0, log_every=1, checkpoint_s=1e6, train_splits=("trainval",)
    )
    ranks = join_ranks(meeting) if meeting.count > 1 else Alone()
    averaging, average = [], ranks.average

    def average_timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        parts = average(*arguments)
        averaging.append(time.perf_counter() - began)
        return parts

    ranks.average = average_timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as temporary:
        loop = prepare_loop(open_version(version_folder), recipe, Path(temporary), ignore_progress, False, ranks)
        loop.meet()
        loop.run(ignore_progress, lambda: False)
        answer = {"pss_mb": read_pss_mb()}
        if ranks.rank == 0:
            answer |= read_speed(Path(temporary) / CURVE_NAME, recipe.batch_size, averaging)
    answers.put(answer)


def read_speed(curve: Path, batch_size: int, averaging: list[float]) -> dict[str, float]:
    from sightline.training.curve import read_curve

    points = [point for point in read_curve(curve) if point.progress > 1 / 3]
    if len(points) < 2:
        raise InvalidInput(f"expected two steps after the first third of the budget, got {len(points)}; raise --seconds")
    steps, wall_s = points[-1].step - points[0].step, points[-1].wall_s - points[0].wall_s
    share = sum(averaging[points[0].step : points[-1].step]) / wall_s
    return {"pictures_per_s": round(steps * batch_size / wall_s, 2), "averaging_share": round(share, 4)}


def read_pss_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(PSS)) / 1024


def take_medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


if __name__ == "__main__":
    run_main(main)
