"""A contest of two networks: the same data, budget, augmentation, loop and scoring; differences are stated in the result."""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import ProgressPrinter, judge, print_result
from sightline.core.annotations import Annotation
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest, Task
from sightline.core.workspace import Workspace
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator
from sightline.runtime.predictor import open_predictor
from sightline.training.launcher import launch_training
from sightline.training.recipe import make_recipe

Answers = dict[str, list[Annotation]]  # file name -> predictions
ScoreAgain = Callable[[Answers], float]  # the primary metric, computed from the source files by the benchmark itself


def add_contest_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every contest."""
    parser.add_argument(
        "--cpu-s", type=float, default=600, help="CPU-seconds for each network, all threads (default: %(default)s)"
    )
    parser.add_argument("--budget", help="another budget, such as 500it, instead of --cpu-s")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    parser.add_argument("--recipe", type=json.loads, default={}, help="recipe fields of both networks, as a JSON object")
    parser.add_argument("--own-recipe", type=json.loads, default={}, help="recipe fields of our network only")
    parser.add_argument("--peer-recipe", type=json.loads, default={}, help="recipe fields of the peer only")
    parser.add_argument("--only", choices=["own", "peer"], help="run one side only, to screen settings")


def run_contest(
    name: str,
    task: Task,
    networks: dict[str, str],
    version: DatasetVersion,
    splits: tuple[Sequence[str], str],
    workspace: Workspace,
    args: argparse.Namespace,
    recipes: dict[str, dict[str, Any]],
    score_again: ScoreAgain,
) -> None:
    """Train both sides with every seed, score them on the judged split, print the table and the JSON object.

    Args:
        networks, recipes: by side, "own" and "peer".
        splits: those that are learned from, and the one that is judged.
        score_again: checks the product's primary metric.
    """
    sides = [args.only] if args.only else ["own", "peer"]
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    budget = args.budget or f"{args.cpu_s:g}cpu-s"
    for seed in args.seeds:
        for side in sides:
            changes = recipes[side] | args.recipe | (args.own_recipe if side == "own" else args.peer_recipe)
            settings = {"train_splits": tuple(splits[0]), "validation_split": None, **changes, "budget": budget, "seed": seed}
            recipe = make_recipe(task, networks[side], **settings)
            out = workspace.root / "models" / f"{name}-{side}-seed-{seed}"
            progress = ProgressPrinter(f"{networks[side]}, seed {seed}")
            launch_training(version.folder, recipe, out, on_progress=progress, threads=args.threads)
            run = {"seed": seed, "network": networks[side], **measure_model(out, version, splits[1], score_again)}
            runs[side].append(run)
            print(json.dumps(run), flush=True)
    means = {side: statistics.fmean(run["primary"] for run in rows) for side, rows in runs.items()}
    for side, mean in means.items():
        print(f"{side} ({networks[side]}): {runs[side][0]['metric']} {mean:.4f}, mean of {len(args.seeds)} seeds")
    targets = judge({"own_against_peer": (means["peer"], ">=", means["own"])}) if len(sides) == 2 else {}
    print_result(name, budget=budget, trained_on=list(splits[0]), judged_on=splits[1], means=means, targets=targets, runs=runs)


def measure_model(model: Path, version: DatasetVersion, split: str, score_again: ScoreAgain) -> dict[str, Any]:
    """The product's metrics on a split, checked against the benchmark's own count, and what the training spent."""
    manifest = read_manifest(model, ModelManifest)
    shown = manifest.decode.confidence_threshold
    evaluator = make_evaluator(manifest.task, version.categories, version.manifest.unlabelled_pixels, shown)
    answers: Answers = {}
    with open_predictor(model) as predictor:
        for item in version.items(split):
            image = version.read_image(item)
            answers[item.file_name] = predictor.predict([image], EVALUATION_THRESHOLDS[manifest.task])[0]
            evaluator.add(item.annotations, answers[item.file_name], item.width, item.height)
    metrics = evaluator.compute()
    again = score_again(answers)
    if abs(again - metrics.primary) > 1e-6:
        raise SystemExit(f"two counts of {metrics.primary_name} differ: {metrics.primary} by the product, {again} here")
    spent = {name: manifest.metrics.get(name) for name in ("epochs", "steps", "cpu_s", "wall_s")}
    return {
        "metric": metrics.primary_name,
        "primary": metrics.primary,
        **spent,
        "parameters": manifest.parameter_count,
        "input": [manifest.input.width, manifest.input.height],
        "per_category": metrics.per_category,
        "recipe": {
            key: manifest.recipe[key] for key in ("optimiser", "learning_rate", "weight_decay", "batch_size", "schedule")
        },
    }
