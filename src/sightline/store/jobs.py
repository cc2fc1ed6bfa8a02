"""The queue of jobs: a row for each, and how rows may change.

Whoever changes a row says which states it expects: of two that change it at once, one finds that it is too late.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast, get_args

import msgspec

from sightline.core.errors import InvalidInput
from sightline.store.database import Database

JobState = Literal["queued", "waiting_for_device", "running", "succeeded", "failed", "cancelled"]
WAITING: tuple[JobState, ...] = ("queued", "waiting_for_device")
OPEN: tuple[JobState, ...] = (*WAITING, "running")
MAX_PAGE = 200


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One verb in the background.

    Attributes:
        number: jobs are numbered in the order they came.
        kind, arguments: the verb and what it is called with.
        author: who asked for it.
        created_at, started_at, ended_at: UTC, ISO 8601; `started_at` is the first start's.
        asked: whether it was asked to end early.
        restarts: how many processes of it died.
        progress: 0..1.
        stage, remaining_s, metrics, message: what it told last.
        error: one line, of a job that failed.
        made: what it made: shelf, name, id, facts.
    """

    id: str
    number: int
    kind: str
    state: JobState
    arguments: dict[str, Any]
    author: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    asked: Literal["stop", "cancel"] | None
    restarts: int
    progress: float
    stage: str
    remaining_s: float | None
    metrics: dict[str, float]
    message: str
    error: str | None
    made: dict[str, Any] | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in OPEN


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs, the newest first. `next_cursor`: where the next page begins; None at the end."""

    jobs: tuple[Job, ...]
    next_cursor: int | None


class JobStore:
    """The rows of the jobs; any thread may call it.

    Args: database: of the workspace.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, kind: str, arguments: dict[str, Any], author: str, key: str | None = None, request: dict[str, Any] | None = None
    ) -> Job:
        """Put a job at the end of the queue.

        Args:
            key: of the client, which makes one job at most.
            request: the arguments as the client sent them, to tell whether a key came with the same ones.

        Raises: Conflict when the key made another job.
        """
        raise NotImplementedError

    def find_key(self, key: str, kind: str, request: dict[str, Any]) -> Job | None:
        """The job that a client's key made. Raises: Conflict when it made another than is asked for now."""
        raise NotImplementedError

    def read(self, job_id: str) -> Job:
        """A job. Raises: NotFound."""
        raise NotImplementedError

    def list(
        self, state: JobState | None = None, kind: str | None = None, cursor: int | None = None, limit: int = 50
    ) -> JobPage:
        """Jobs, the newest first.

        Args:
            cursor: a page's `next_cursor`; None begins with the newest.
            limit: jobs in the page, 1..200.

        Raises: InvalidInput.
        """
        raise NotImplementedError

    def list_open(self) -> Sequence[Job]:
        """Jobs that wait or run, in the order they came."""
        raise NotImplementedError

    def change(self, job_id: str, expected: Iterable[JobState], **changes: Any) -> Job | None:
        """Change fields of a job. Returns: the job then; None when its state is none of the expected. Raises: NotFound."""
        raise NotImplementedError

    def remove_ended(self, keep: int) -> Sequence[str]:
        """Forget all that have ended but the newest `keep`. Returns: their ids."""
        raise NotImplementedError


def check_state(state: str | None) -> JobState | None:
    """Raises: InvalidInput for what is no state."""
    if state is not None and state not in get_args(JobState):
        raise InvalidInput(f"expected a state of {', '.join(get_args(JobState))}, got {state!r}; choose one of these")
    return cast(JobState | None, state)
