"""Progress of long work as plain events, so that engine code knows nothing of terminals, logs or web pages."""

from collections.abc import Callable

import msgspec


class ProgressEvent(msgspec.Struct, frozen=True, kw_only=True):
    """How far a piece of work has come.

    Attributes:
        stage: what is being done, a short phrase: "training", "calibrating".
        progress: 0..1, or None if the end is not known.
        remaining_s: estimated seconds left, or None.
        metrics: current numbers by name: loss, mAP, items.
        message: a line worth keeping in a log, or empty.
    """

    stage: str
    progress: float | None = None
    remaining_s: float | None = None
    metrics: dict[str, float] = {}
    message: str = ""


OnProgress = Callable[[ProgressEvent], None]


def ignore_progress(event: ProgressEvent) -> None:
    """The default listener: nobody looks."""
