"""What launcher and worker tell each other: a job as a JSON file, and JSON lines on a pipe or socket."""

import msgspec

from sightline.core.progress import ProgressEvent
from sightline.training.recipe import Recipe

LOOPBACK = "127.0.0.1"  # where they meet: gloo asks nobody who they are
LOST_RANK = 75  # exit code of a process whose training ended because another process of it is gone


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process meets the others.

    Attributes:
        rank, count: which one it is, of how many.
        port: where process 0 listens, on this machine.
        listener: descriptor of the socket that listens there, in process 0.
    """

    rank: int
    count: int
    port: int
    listener: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `train_model`, with folders as paths.

    Attributes:
        meeting: of several processes.
        launcher: number of the process that waits for this one; None: nobody does.
    """

    version: str
    recipe: Recipe
    out: str
    resume: bool
    name: str | None = None
    meeting: Meeting | None = None
    launcher: int | None = None


class WorkerMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line from the worker: an event, or the error that ended it and the name of its class in `core.errors`."""

    event: ProgressEvent | None = None
    error: str | None = None
    error_type: str = ""
