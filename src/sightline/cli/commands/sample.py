"""`sightline sample`: generate the inspection dataset, with labels exact by construction."""

from typing import Annotated, get_args

import typer

from sightline.cli.options import JsonOption, SeedOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal


def sample_command(
    name: Annotated[str, typer.Argument(help="Name of the dataset to make.")] = "parts",
    count: Annotated[int, typer.Option("--count", min=10, help="Number of pictures to generate.")] = 400,
    task: Annotated[
        str,
        typer.Option("--task", help="Task that the labels are for: classification, multilabel, detection, instance, semantic."),
    ] = "detection",
    seed: SeedOption = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate a dataset of machined parts with defects, with exact boxes and masks."""
    from sightline.core.errors import InvalidInput
    from sightline.core.manifests import Task
    from sightline.data.samples import generate_samples

    terminal = Terminal(as_json, workspace)
    if task not in get_args(Task):
        raise InvalidInput(f"expected a task of {', '.join(get_args(Task))}, got {task!r}")
    version = generate_samples(open_workspace(workspace), count, seed, task, name=name)  # type: ignore[arg-type] # checked
    splits = ", ".join(f"{split} {pictures:,}" for split, pictures in version.splits.items())
    terminal.say(f"dataset {name}@{version.id[:8]}: {version.manifest.item_count:,} pictures ({splits})")
    terminal.say(f"folder: {version.folder}")
    terminal.say_next(["train", name, "--task", task, "--budget", "2min"])
    terminal.finish({"dataset": name, "id": version.id, "folder": version.folder, "splits": version.splits})
