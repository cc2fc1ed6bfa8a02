"""Large batches on TrashNet at 64 pixels: what the same epochs are worth in few large steps, with and without their remedies.

    python benchmarks/large_batches.py --threads 1    # learn from train, judged on test
    python benchmarks/large_batches.py --threads 1 --judge val --runs lars --recipe '{"learning_rate": 5}'    # for a choice

The classifier `fast` learns as many epochs by SGD in batches of 32, and in batches of 256 by SGD at the same rate, by SGD at
the rate that linear scaling gives (Goyal et al. 2017), by LARS (You et al. 2017) and by Muon, the default, as it is. All warm
up and follow half a cosine. Every forward pass is of 32 pictures, so the norms see the same in all runs. Then, in processes of
their own, the memory of steps of 64 pictures that are computed at once, and in parts of 8. The last line is one JSON object.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from harness import make_parser, open_workspace, print_result, run_main
from sightline.core.progress import ignore_progress
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion, open_version
from sightline.training.loop import TrainingLoop
from sightline.training.recipe import Recipe, make_recipe
from sightline.training.train import prepare_loop
from trashnet import LISTS

SMALL, LARGE = 32, 256
# The rate was chosen on val (5 epochs, seed 0): 0.01 0.521, 0.02 0.509, 0.05 0.442; of lars, see its default.
SGD: dict[str, Any] = {"optimiser": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
INPUT = {"size": 64, "micro_batch": SMALL}
QUIET = {"checkpoint_s": 1e6, "log_every": 1000, "device": "cpu"}
RUNS: dict[str, dict[str, Any]] = {
    "sgd, small": {**SGD, "batch_size": SMALL},
    "sgd": {**SGD, "batch_size": LARGE},
    "sgd, scaled": {**SGD, "batch_size": LARGE, "reference_batch": SMALL},
    "lars": {"optimiser": "lars", "batch_size": LARGE},
    "muon": {"batch_size": LARGE},
}
MEMORY = {"at once": {}, "in parts of 8": {"micro_batch": 8}}  # of a batch of 64


def main() -> None:
    parser = make_parser(__doc__, "classification/trashnet-150px")
    parser.add_argument("--epochs", type=float, default=8, help="of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--runs", nargs="*", choices=RUNS, default=list(RUNS))
    parser.add_argument("--judge", choices=["val", "test"], default="test", help="split that is judged (default: %(default)s)")
    parser.add_argument("--recipe", type=json.loads, default={}, help="recipe fields of every run, as a JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open_workspace(args.workspace) as workspace:
        images = args.data / "dataset-resized"
        lists = {split: str(args.data / LISTS.format(split)) for split in ("train", "val", "test")}
        options = {"lists": lists, "images": str(images)}
        version, _ = import_dataset(images, workspace, "trashnet", format="class_list", format_options=options)
        runs = {name: [learn(version, name, seed, args) for seed in args.seeds] for name in args.runs}
        memory = {name: measure_memory(version, changes) for name, changes in MEMORY.items()}
    for name, scores in runs.items():
        print(f"{name:12} top-1 {fmean(scores):.3f}  {scores}")
    print(f"MB of a step of 64 pictures at 224 px: {memory}")
    rows = {name: {"top1": scores, "mean": fmean(scores), "recipe": RUNS[name] | args.recipe} for name, scores in runs.items()}
    settings = {"epochs": args.epochs, "seeds": args.seeds, "judged": args.judge, "threads": args.threads, **INPUT}
    print_result("large_batches", data="trashnet", settings=settings, runs=rows, step_of_64_mb=memory)


def learn(version: DatasetVersion, name: str, seed: int, args: argparse.Namespace) -> float:
    """Top-1 of a run's last averaged weights."""
    settings = {**INPUT, "budget": f"{args.epochs:g}epochs", "seed": seed, "validation_split": args.judge, "validations": 1}
    recipe = make_recipe("classification", **settings | QUIET | RUNS[name] | args.recipe)
    top1 = float(run_loop(version, recipe).state.metrics["top1"])
    print(f"{name}, seed {seed}: top-1 {top1:.3f}", file=sys.stderr, flush=True)
    return top1


def run_loop(version: DatasetVersion, recipe: Recipe) -> TrainingLoop:
    """A training without its Model."""
    with tempfile.TemporaryDirectory() as folder:
        loop = prepare_loop(version, recipe, Path(folder), ignore_progress, False)
        loop.run(ignore_progress, lambda: False)
    return loop


def measure_memory(version: DatasetVersion, changes: dict[str, Any]) -> int:
    """MB that two steps of 64 pictures of 224 pixels add to the most that a process of its own held."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(take_two_steps, version.folder, changes).result()


def take_two_steps(folder: Path, changes: dict[str, Any]) -> int:
    """In a process of its own: how far its peak rises above that of steps of two pictures, MB."""
    version = open_version(folder)
    peaks = []
    for batch_size, own in ((2, {}), (64, changes)):
        settings: dict[str, Any] = {"size": 224, "budget": "2it", "batch_size": batch_size, "validation_split": None}
        run_loop(version, make_recipe("classification", **settings, **QUIET, **own))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return peaks[1] - peaks[0]


if __name__ == "__main__":
    run_main(main)
