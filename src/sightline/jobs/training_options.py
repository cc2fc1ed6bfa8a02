"""What can be trained here: tasks, networks for each, and the recipe's defaults, for whoever draws a form of them."""

from typing import Any

import msgspec

from sightline.core.extras import TRAINING_PACKAGES, find_missing, tell_remedy
from sightline.core.manifests import Task
from sightline.models.table import DIALS, NETWORKS, find_row
from sightline.training.budget import UNITS
from sightline.training.recipe import TASK_DEFAULTS, Recipe, make_recipe


class NetworkOption(msgspec.Struct, frozen=True):
    """A network by the name that is asked for, what that stands for, and its usual longest input side, pixels."""

    name: str
    network: str
    size: int


class TaskOption(msgspec.Struct, frozen=True):
    """A task, its networks, the dials first, and its recipe's defaults."""

    task: Task
    networks: tuple[NetworkOption, ...]
    defaults: dict[str, Any]


class TrainingOptions(msgspec.Struct, frozen=True):
    """All of it. `missing`: why nothing can be trained here, and what to do."""

    tasks: tuple[TaskOption, ...]
    budget_units: tuple[str, ...]
    default_budget: str
    missing: str | None


def list_training_options() -> TrainingOptions:
    """What a form of a training offers; imports no network."""
    missing = find_missing(TRAINING_PACKAGES)
    return TrainingOptions(
        tasks=tuple(_describe_task(task) for task in TASK_DEFAULTS),
        budget_units=tuple(UNITS),
        default_budget=Recipe(task="detection").budget,
        missing=f"training needs {', '.join(missing)}; {tell_remedy('train')}" if missing else None,
    )


def _describe_task(task: Task) -> TaskOption:
    dials = [NetworkOption(name, network, find_row(network).size) for name, network in DIALS[task].items()]
    rows = [NetworkOption(name, name, row.size) for name, row in NETWORKS.items() if task in row.tasks]
    return TaskOption(task, (*dials, *rows), msgspec.to_builtins(make_recipe(task)))
