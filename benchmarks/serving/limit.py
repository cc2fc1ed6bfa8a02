"""The limit of serving: one process pinned to each core, JPEG to five best in a loop, no server and no client.

    python benchmarks/serving/limit.py WORK --bench ../shared/bench/serving [--model mobilenet_v3_large] [--seconds 8]

WORK is the folder that the peers' `setup.sh` prepared. Two limits are measured in turns, round after round:

- `peers`: the work as every peer does it (`core.py` of the bench): the limit that servers are held against.
- `fixed`: the same file and pictures, but the graph compiled for one picture instead of a free batch: what a server can reach
  that prepares the engine better than the bench does.

The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 3
WARM_UP_S = 1.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--bench", type=Path, required=True, help="folder of the peers' scripts")
    parser.add_argument("--model", default="mobilenet_v3_large")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds of each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)  # a child: loop on this core
    parser.add_argument("--kind", choices=["peers", "fixed"], default="peers", help=argparse.SUPPRESS)
    return parser.parse_args()


def loop_on_core(arguments: argparse.Namespace) -> int:
    """Pictures answered in the measured seconds by this process, pinned to its core."""
    os.sched_setaffinity(0, {arguments.core})
    os.environ.update(BENCH_WORK=str(arguments.work.resolve()), MODEL=arguments.model, HINT="LATENCY", THREADS="1")
    sys.path.insert(0, str(arguments.bench.resolve()))
    import core  # reads the environment set above

    request = (core.compile_model() if arguments.kind == "peers" else compile_fixed(core)).create_infer_request()
    jpegs = [Path(line).read_bytes() for line in (arguments.work / "pictures.txt").read_text().splitlines()]
    place, done = arguments.core * len(jpegs) // 2, 0
    begin = time.perf_counter() + WARM_UP_S
    while (now := time.perf_counter()) < begin + arguments.seconds:
        core.top5(request.infer([core.decode(jpegs[place % len(jpegs)])[None]])[0][0])
        place += 1
        done += now >= begin
    return done


def compile_fixed(core: object) -> object:
    """The peers' file for batches of one picture."""
    import openvino

    path = Path(os.environ["BENCH_WORK"], "models", f"{os.environ['MODEL']}_int8.xml")
    engine = openvino.Core()
    model = engine.read_model(path)
    model.reshape([1, 224, 224, 3])
    return engine.compile_model(model, "CPU", {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False})


def measure_round(arguments: argparse.Namespace, kind: str) -> float:
    """Pictures a second of all cores together."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, __file__, str(arguments.work), "--bench", str(arguments.bench), "--model", arguments.model]
    command += ["--seconds", str(arguments.seconds), "--kind", kind, "--core"]
    children = [subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE, text=True) for core in cores]
    counts = [int(child.communicate()[0].splitlines()[-1]) for child in children]
    return sum(counts) / arguments.seconds


def measure_limits(arguments: argparse.Namespace) -> dict[str, float]:
    """Median images a second of each kind, over rounds in turns."""
    rates: dict[str, list[float]] = {"peers": [], "fixed": []}
    for _ in range(arguments.rounds):
        for kind, measured in rates.items():
            measured.append(measure_round(arguments, kind))
            print(f"limit {arguments.model} {kind}: {measured[-1]:.1f} images/s", file=sys.stderr, flush=True)
    return {kind: round(statistics.median(measured), 1) for kind, measured in rates.items()}


def main() -> None:
    arguments = read_arguments()
    if arguments.core is not None:
        print(loop_on_core(arguments))
        return
    print(json.dumps({"model": arguments.model, "cores": len(os.sched_getaffinity(0)), "limit": measure_limits(arguments)}))


if __name__ == "__main__":
    main()
