"""The table of tasks: a name and where its class is; a new task is one file and one row."""

from importlib import import_module

from sightline.core.errors import Unsupported
from sightline.core.manifests import Task
from sightline.training.tasks.task import TaskContext, TrainingTask

TASKS: dict[Task, str] = {
    "classification": "sightline.training.tasks.classification:ClassificationTask",
    "multilabel": "sightline.training.tasks.classification:ClassificationTask",
    "detection": "sightline.training.tasks.detection:DetectionTask",
    "instance": "sightline.training.tasks.instance:InstanceTask",
    "semantic": "sightline.training.tasks.semantic:SemanticTask",
}


def check_task(task: Task) -> None:
    """Raises: Unsupported when there is no training for this task."""
    if task not in TASKS:
        raise Unsupported(f"no training for the task {task!r}; there is {', '.join(TASKS)}")


def build_task(context: TaskContext) -> TrainingTask:
    """The task of the recipe. Raises: Unsupported; InvalidInput when the labels do not suit it."""
    check_task(context.recipe.task)
    module, name = TASKS[context.recipe.task].split(":")
    task: TrainingTask = getattr(import_module(module), name)(context)
    return task
