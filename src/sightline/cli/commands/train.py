"""`sightline train`: a DatasetVersion becomes a Model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from sightline.cli.options import JsonOption, SeedOption, WorkspaceOption, open_workspace
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, format_value, make_table
from sightline.core.extras import TRAINING_PACKAGES, check_packages
from sightline.models.table import NETWORKS

if TYPE_CHECKING:
    from sightline.training.recipe import Recipe

OPTIONS = {  # of the fields of a recipe that have one
    "task": "--task",
    "network": "--model",
    "budget": "--budget",
    "seed": "--seed",
    "weights": "--weights",
    "train_splits": "--train-splits",
    "validation_split": "--val-split",
}


def train_command(
    dataset: Annotated[str, typer.Argument(help="Dataset version to learn from: NAME, NAME@ID, or its folder.")],
    task: Annotated[
        str, typer.Option("--task", help="Task to learn: classification, multilabel, detection, instance or semantic.")
    ],
    network: Annotated[
        str, typer.Option("--model", help=f"Network to train: fast, accurate, timm/NAME, or one of {', '.join(NETWORKS)}.")
    ] = "fast",
    budget: Annotated[
        str, typer.Option("--budget", help="How long to train, such as 10min, 360cpu-s, 30epochs or 4000it.")
    ] = "10min",
    seed: SeedOption = 0,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; by default --out's, or DATASET-MODEL.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder of the model; by default a place in the workspace.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of a run with the same name and settings.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of start weights: .safetensors, or a PyTorch state dict.")
    ] = None,
    train_splits: Annotated[str, typer.Option("--train-splits", help="Splits to learn from, separated by commas.")] = "train",
    val_split: Annotated[
        str, typer.Option("--val-split", help="Split that chooses the best weights; none keeps the last weights.")
    ] = "val",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="FIELD=VALUE: any other field of the recipe, such as batch_size=8 or augmentation.flip_y=0.5; may be "
            "repeated. In Python, help(sightline.Recipe) and help(sightline.AugmentationSettings) list them.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; by default SIGHTLINE_THREADS.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network; Ctrl-C stops and keeps the best weights so far."""
    from sightline.training.launcher import launch_training

    terminal, home = Terminal(as_json, workspace), open_workspace(workspace)
    check_packages("training", TRAINING_PACKAGES, "train")
    version = home.find("datasets", dataset)
    recipe = make_recipe_of(task, network, settings or [], budget, seed, weights, train_splits, val_split)
    if name is None and out is None:
        name = make_model_name(version, network)
    with show_progress() as on_progress:
        folder = launch_training(version, recipe, out or home, resume, on_progress, threads, name=name)
    show_model(terminal, folder, dataset, is_shelved=out is None)


def make_recipe_of(
    task: str,
    network: str,
    settings: list[str],
    budget: str,
    seed: int,
    weights: Path | None,
    train_splits: str,
    val_split: str,
) -> "Recipe":
    """The task's recipe with what the user set. Raises: InvalidInput naming the field that does not fit."""
    from sightline.core.errors import InvalidInput
    from sightline.core.manifests import Task
    from sightline.training.recipe import make_recipe

    if task not in get_args(Task):
        from sightline.training.tasks.table import TASKS  # brings torch

        raise InvalidInput(f"expected a task of {', '.join(TASKS)}, got {task!r}")
    changes: dict[str, Any] = {
        "budget": budget,
        "seed": seed,
        "weights": str(weights.resolve()) if weights is not None else None,
        "train_splits": tuple(split.strip() for split in train_splits.split(",")),
        "validation_split": None if val_split == "none" else val_split,
    }
    given = parse_settings(settings)
    for field in OPTIONS.keys() & given.keys():
        raise InvalidInput(
            f"expected the recipe's {field} as {OPTIONS[field]}, got --set {field}={given[field]}; give that option"
        )
    return make_recipe(task, network, **{**changes, **given})  # type: ignore[arg-type] # checked inside


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`FIELD=VALUE` or `FIELD.PART=VALUE`; a value is JSON where it can be read as such, else text. Raises: InvalidInput."""
    import msgspec

    from sightline.core.errors import InvalidInput

    parsed: dict[str, Any] = {}
    for entry in settings:
        field, equals, text = entry.partition("=")
        if not field or not equals:
            raise InvalidInput(f"expected --set FIELD=VALUE, such as batch_size=8, got {entry!r}")
        try:
            value = msgspec.json.decode(text)  # strict: NaN and Infinity are text, and no numbers
        except msgspec.DecodeError:
            value = text
        field, dot, part = field.partition(".")
        value, before = {part: value} if dot else value, parsed.get(field)
        parsed[field] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return parsed


def make_model_name(version: Path, network: str) -> str:
    """The name of a model when the user gives none: dataset and network."""
    from sightline.data.versions import open_version

    return f"{open_version(version).name}-{network.replace('/', '-')}"[:100]


def show_model(terminal: Terminal, folder: Path, dataset: str, is_shelved: bool) -> None:
    """What was made, with its metrics."""
    from sightline.core.folders import read_manifest
    from sightline.core.manifests import ModelManifest, compute_manifest_id

    manifest = read_manifest(folder, ModelManifest)
    identity = compute_manifest_id(manifest)
    first = manifest.metrics.get("primary")
    ordered = sorted(manifest.metrics.items(), key=lambda metric: metric[0] != first)
    rows: list[list[object]] = [[key, format_value(value)] for key, value in ordered if key != "primary"]
    terminal.show(make_table(["Metric", "Value"], rows, title=f"model {manifest.name}@{identity[:8]}"))
    terminal.say(
        f"network {manifest.network}, {manifest.parameter_count:,} parameters, {manifest.input.width}x{manifest.input.height}"
    )
    terminal.say(f"folder: {folder}")
    terminal.say(f"curves: {folder / 'curves.png'}")
    terminal.say_next(["compile", manifest.name if is_shelved else folder, "--data", dataset])
    terminal.finish(
        {
            "model": manifest.name,
            "id": identity,
            "folder": folder,
            "network": manifest.network,
            "parameters": manifest.parameter_count,
            "metrics": manifest.metrics,
        }
    )
