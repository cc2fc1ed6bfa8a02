"""What launcher and worker tell each other: a job as a JSON file, and JSON lines on a pipe."""

import msgspec

from sightline.core.progress import ProgressEvent
from sightline.training.recipe import Recipe


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `train_model`, with folders as paths."""

    version: str
    recipe: Recipe
    out: str
    resume: bool
    name: str | None = None


class WorkerMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line from the worker: an event, or the error that ended it and the name of its class in `core.errors`."""

    event: ProgressEvent | None = None
    error: str | None = None
    error_type: str = ""
