"""What it costs to keep saved tensors in a file: training steps plain, swapped, and checkpointed, side by side.

    python benchmarks/swapping.py                      # every way under every limit, then the time of a step, in turns
    python benchmarks/swapping.py --side 320 --budget-mb 256

The network is ten times convolution, batch norm and ReLU in place, 32 channels, on a batch of 4 random pictures, with SGD. Each
run is a process of its own. A limit is of the process's data memory (RLIMIT_DATA) above what it has before the first step, with
40 MB for threads' stacks; "-" in the table is a run that failed to get memory. Losses and the sum of all weights must be equal
to the last bit in all ways, or the script fails. The page cache, where the system keeps the file while it has room, is not part
of the limit. "plain" keeps what it frees in the heap, as trainings do, which is faster; "returning" is plain as well, but gives
freed memory back to the system, which takes less, so that it is what stands under the limits. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from sightline.core.host import describe_host
from sightline.training.arithmetic import choose_arithmetic
from sightline.training.launcher import worker_environment
from sightline.training.swapping.swapper import ActivationSwapper

WAYS = ("plain", "returning", "swapped", "checkpointed")
STACKS_MB = 40
SEGMENTS = 6  # of checkpointing
MEMORY_FAILED = 3  # exit code
# What becomes of freed memory: kept, as trainings do it without a swapper, which is faster; or returned, which takes less.
KEEPING = {name: value for name, value in worker_environment(1).items() if name.startswith("MALLOC_")}
RETURNING = {"THP_MEM_ALLOC_ENABLE": "1"}


def main() -> None:
    """Run each way under each limit, then in turns without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=160, help="width and height of a picture")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5, help="turns for the time of a step")
    parser.add_argument("--budget-mb", type=int, default=64, help="for saved tensors")
    parser.add_argument("--limits-mb", default="300,180,120", help="above the start, separated by commas")
    parser.add_argument("--folder", type=Path, default=None, help="where the file is; not a file system in memory")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help="used by the script itself: one run")
    parser.add_argument("--limit-mb", type=int, help="used by the script itself")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run_steps(arguments)))
        return
    limited = [way for way in WAYS if way != "plain"]
    limits = {limit: {way: start_run(way, limit) for way in limited} for limit in map(int, arguments.limits_mb.split(","))}
    for limit, by_way in limits.items():
        print(f"limit {limit} MB: " + ", ".join(f"{way} {describe(run)}" for way, run in by_way.items()))
    turns = [{way: start_run(way, None) for way in WAYS} for _ in range(arguments.rounds)]
    runs = [run for by_way in (*limits.values(), *turns) for run in by_way.values() if run]
    if len({(tuple(run["losses"]), run["weights"]) for run in runs}) != 1:
        raise SystemExit("losses or weights differ between the ways")
    ratios = {
        way: {
            key: round(
                statistics.median(turn[way][key] / turn["plain"][key] for turn in turns if turn[way] and turn["plain"]), 3
            )
            for key in ("step_s", "step_cpu_s", "peak_mb")
        }
        for way in limited
    }
    for way, ratio in ratios.items():
        print(f"{way}, relative to plain: time {ratio['step_s']}, CPU time {ratio['step_cpu_s']}, memory {ratio['peak_mb']}")
    settings = {key: value for key, value in vars(arguments).items() if key not in ("way", "limit_mb", "folder")}
    print(json.dumps({"settings": settings, "limits": limits, "ratios": ratios, "turns": turns, "host": describe_host()}))


def start_run(way: str, limit_mb: int | None) -> dict[str, Any] | None:
    """One run in a process of its own; None when it found no memory."""
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    if limit_mb is not None:
        command += ["--limit-mb", str(limit_mb)]
    memory = KEEPING if limit_mb is None and way in ("plain", "checkpointed") else RETURNING
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"} | memory
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode == MEMORY_FAILED:
        return None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def describe(run: dict[str, Any] | None) -> str:
    """A cell of the table."""
    return "-" if run is None else f"{run['step_s']:.2f} s, {run['peak_mb']:.0f} MB"


def build_network(depth: int) -> nn.Sequential:
    """Convolutions, batch norms and ReLUs in place."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1)]
    for _ in range(depth):
        block = nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        layers += [nn.Sequential(*block)]  # checkpointing cuts between blocks
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))


def run_steps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps one way."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network, arithmetic = build_network(arguments.depth), choose_arithmetic(arguments.precision, "cpu")
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    images, targets = torch.randn(4, 3, arguments.side, arguments.side), torch.randint(0, 4, (4,))
    network(torch.randn(1, 3, 32, 32)).sum().backward()  # starts threads and makes buffers before the limit
    optimiser.zero_grad()
    start_mb, peak = read_status_mb("VmRSS"), PeakMemory()
    if arguments.limit_mb is not None:
        limit = int((read_status_mb("VmData") + arguments.limit_mb + STACKS_MB) * 2**20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    swapper = None
    if arguments.way == "swapped":
        swapper = ActivationSwapper(network, arguments.budget_mb << 20, arguments.folder or tempfile.gettempdir())
    losses, times, cpu_times = [], [], []
    try:
        for _ in range(arguments.steps):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            saving: AbstractContextManager[Any] = nullcontext() if swapper is None else swapper.saving()
            with saving, arithmetic.autocast():
                if arguments.way == "checkpointed":
                    answers = checkpoint_sequential(network, SEGMENTS, images, use_reentrant=False)
                else:
                    answers = network(images)
                loss = nn.functional.cross_entropy(answers.float(), targets)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            times.append(time.perf_counter() - begin)
            cpu_times.append(time.process_time() - cpu_begin)
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise SystemExit(MEMORY_FAILED) from error
    result = {
        "losses": losses,
        "weights": sum(parameter.double().abs().sum().item() for parameter in network.parameters()),
        "step_s": round(statistics.median(times[1:]), 4),
        "step_cpu_s": round(statistics.median(cpu_times[1:]), 4),
        "peak_mb": round(peak.stop() - start_mb, 1),
    }
    if swapper is not None:
        result["swapping"] = {name: getattr(swapper.statistics, name) for name in swapper.statistics.__struct_fields__}
        swapper.close()
    return result


class PeakMemory(threading.Thread):
    """Watches the resident memory of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        """Look a hundred times a second."""
        while not self._over.wait(0.01):
            self.peak_mb = max(self.peak_mb, read_status_mb("VmRSS"))

    def stop(self) -> float:
        """The highest that was seen, MB."""
        self._over.set()
        self.join()
        return self.peak_mb


def read_status_mb(field: str) -> float:
    """A field of this process's status, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
