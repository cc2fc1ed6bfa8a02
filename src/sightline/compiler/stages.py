"""Progress of a compilation over its stages, with the time left."""

import time
from collections.abc import Callable, Mapping

from sightline.core.progress import OnProgress, ProgressEvent

MIN_PROGRESS = 0.02  # before it the time left is anybody's guess


class Stages:
    """Turns "stage, part of it done" into ProgressEvents with an overall progress and the time left.

    Args:
        shares: expected part of the whole time for each stage, in order; they are scaled to add up to 1.
        on_progress: listener.
        clock: seconds, monotonic.
    """

    def __init__(
        self, shares: Mapping[str, float], on_progress: OnProgress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        total = sum(shares.values())
        self._shares = {stage: share / total for stage, share in shares.items()}
        self._on_progress, self._clock = on_progress, clock
        self._started = self._stage_started = clock()
        self._stage, self._progress = "", 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, stage: str, message: str = "") -> None:
        """Enter a stage; the one before it is finished."""
        self._close()
        self._stage = stage
        self.update(0.0, message)

    def update(self, part: float, message: str = "") -> None:
        """Say how much of the present stage is done, 0..1; the overall progress never goes back, whatever a stage repeats."""
        before = sum(self._shares[stage] for stage in self.seconds if stage in self._shares)
        self._progress = max(self._progress, min(before + self._shares.get(self._stage, 0.0) * part, 1.0))
        elapsed = self._clock() - self._started
        remaining = elapsed * (1 - self._progress) / self._progress if self._progress > MIN_PROGRESS else None
        self._on_progress(ProgressEvent(stage=self._stage, progress=self._progress, remaining_s=remaining, message=message))

    def finish(self) -> None:
        """Close the last stage: all is done."""
        self._close()
        self._on_progress(ProgressEvent(stage=self._stage, progress=1.0))

    def _close(self) -> None:
        """Record the seconds of the present stage."""
        now = self._clock()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._stage_started
        self._stage_started = now
