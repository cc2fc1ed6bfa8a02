"""The opened things the host keeps: a version with its holders, and a model with its versions.

Guarded by the lock of the `LoadedModels` they are in.
"""

from collections import deque
from statistics import median_low
from typing import Protocol

from sightline.core.errors import Exhausted, NotFound
from sightline.serving.inference.service import ServedVersion
from sightline.serving.repository.configuration import ModelConfiguration
from sightline.serving.repository.folders import WHOLE_FOLDER, ModelFolder, PipelineSource, Source
from sightline.serving.repository.looking import VERSION_PATTERN, Stamp


class OpenedModel(ServedVersion, Protocol):
    """What a source is opened as: `inference.served_model.ServedModel`, or a pipeline. Only the loader's thread calls these.

    `facts` and `memory_bytes` are known once `open` returned; `facts` stay known when it is paged out.
    """

    @property
    def memory_bytes(self) -> int:
        """What it holds while it is resident; 0 for something that holds nothing of its own, which is never paged out."""

    @property
    def plan_count(self) -> int:
        """Plans that its engine holds; requests may have it make more."""

    def open(self) -> None:
        """Open the sessions, also again after `page_out`. Blocking."""

    def warm_up(self) -> None:
        """Infer once in every way that requests will. Blocking."""

    def suspend(self) -> None:
        """From now on `is_resident` is False, until `open`. Never waits: the host calls it while nobody can acquire."""

    def resume(self) -> None:
        """Take `suspend` back, when nothing was closed meanwhile. Never waits."""

    def page_out(self) -> None:
        """Give the memory back when running executions have ended. Blocking."""

    def close(self) -> None:
        """As `page_out`, for good."""


READINGS = 5  # of what opening a version takes, that count


class HeldVersion:
    """One opened version.

    Attributes:
        stamp: of the files it was opened from.
        resident_since_s: when it was last opened, on the host's clock.
        holders: requests that hold it now, waiting or running.
        last_used_s: when it was last acquired or released, on the host's clock.
        is_draining: nobody acquires it any more; it is closed when the last holder lets go.
        is_closed: its memory is given back.
        wants_page_in: a job is on its way, or it waits for room.
        last_page_in_s: seconds that the last page-in took; None: never paged in.
    """

    def __init__(
        self, source: Source, stamp: Stamp, opened: OpenedModel, configuration: ModelConfiguration, now_s: float
    ) -> None:
        self.source = source
        self.stamp = stamp
        self.opened = opened
        self.configuration = configuration
        self.holders = 0
        self.last_used_s = now_s
        self.resident_since_s = now_s
        self.is_draining = False
        self.is_closed = False
        self.wants_page_in = False
        self.page_in_count = 0
        self.last_page_in_s: float | None = None
        self._readings: deque[int] = deque(maxlen=READINGS)
        self._warm_bytes = opened.memory_bytes
        self._warm_plans = opened.plan_count
        self._most_bytes: int | None = None

    def note_growth(self, grown_bytes: int, most_bytes: int | None) -> None:
        """Take into account what opening it was seen to take this time. Args: most_bytes: that it may count with.

        Requests allocate and free meanwhile, so one reading may be far too high, or too low: the middle one of the last few
        counts, the lower one of two.
        """
        self._readings.append(grown_bytes if most_bytes is None else min(grown_bytes, most_bytes))
        self._warm_bytes = max(self.opened.memory_bytes, median_low(self._readings))
        self._warm_plans = self.opened.plan_count
        self._most_bytes = most_bytes

    @property
    def has_grown(self) -> bool:
        """Whether requests had its engine make plans beside those of the opening."""
        return self.opened.plan_count > self._warm_plans

    @property
    def memory_bytes(self) -> int:
        """What it holds while it is resident: what opening it was seen to take, at least its own estimate.

        Plans that were made since count as much each as one of the opening: in the midst of requests nothing can be measured.
        """
        if not self._warm_plans or not self.has_grown:
            return self._warm_bytes
        grown_bytes = self._warm_bytes * self.opened.plan_count // self._warm_plans
        return grown_bytes if self._most_bytes is None else min(grown_bytes, self._most_bytes)

    @property
    def is_resident(self) -> bool:
        """Whether it could run now. A pipeline is asked nothing: it would ask the host, whose lock is held."""
        return not self.memory_bytes or self.opened.is_resident

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the models that a pipeline runs; none of another version."""
        return self.source.depends_on if isinstance(self.source, PipelineSource) else ()

    @property
    def label(self) -> str:
        """For messages."""
        return f"version {self.source.version} of {self.source.name}"


class Failure:
    """Why a version, or a whole folder, is not as it should be; `source` and `stamp` tell whether trying again is of use."""

    def __init__(self, reason: str, source: Source | None = None, stamp: Stamp = ()) -> None:
        self.reason = reason
        self.source = source
        self.stamp = stamp


class HostedModel:
    """One name with its opened versions.

    Attributes:
        folder: as last read; None while that still has to happen.
        ready: version -> what answers.
        failures: version, or `WHOLE_FOLDER` -> why it is not there. A version may be ready and have a failure: the old one
            goes on while its replacement could not be opened.
        loading: version that is being opened now.
        has_answered: whether a version was ever ready.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: ModelFolder | None = None
        self.ready: dict[int, HeldVersion] = {}
        self.failures: dict[int, Failure] = {}
        self.loading: int | None = None
        self.has_answered = False

    def choose(self, version: str) -> HeldVersion:
        """The version that answers now. Args: version: number as text; "" takes the default.

        Raises: NotFound for a version that is not there; Exhausted while it is loading or when it failed.
        """
        if not version:
            if self.ready:
                default = self.folder.default if self.folder else None
                return self.ready[default if default in self.ready else max(self.ready)]
            if self.failures and self.loading is None:
                raise Exhausted(f"model {self.name!r} cannot answer: {self.list_reasons()[-1]}")
            raise Exhausted(f"model {self.name!r} is still loading; ask again in a moment")
        number = int(version) if VERSION_PATTERN.fullmatch(version) else -1
        if number in self.ready:
            return self.ready[number]
        if number == self.loading or (self.folder is None and number > 0):
            raise Exhausted(f"version {number} of model {self.name!r} is still loading; ask again in a moment")
        if number in self.failures:
            raise Exhausted(f"version {number} of model {self.name!r} cannot answer: {self.failures[number].reason}")
        there = ", ".join(map(str, sorted(self.ready))) or "none"
        raise NotFound(f"no version {version[:20]!r} of model {self.name!r}; those that answer: {there}")

    def list_reasons(self) -> list[str]:
        """Why versions, or the whole folder, are not there, ascending."""
        failures = sorted(self.failures.items())
        return [f"{'' if number == WHOLE_FOLDER else f'version {number}: '}{failure.reason}" for number, failure in failures]
