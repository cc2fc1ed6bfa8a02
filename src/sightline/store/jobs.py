"""The queue of jobs: a row for each, and how rows may change.

Whoever changes a row says which states it expects: of two that change it at once, one finds that it is too late.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.host import now_utc
from sightline.store.database import Database
from sightline.store.tables import JOBS

JobState = Literal["queued", "waiting_for_device", "running", "succeeded", "failed", "cancelled"]
WAITING: tuple[JobState, ...] = ("queued", "waiting_for_device")
OPEN: tuple[JobState, ...] = (*WAITING, "running")
MAX_PAGE = 200
AS_JSON = ("arguments", "metrics", "made")


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


FIELDS = [JOBS.c[name] for name in Job.__struct_fields__]


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
        with self._database.write() as connection:
            if key is not None and (made := _find_key(connection, key, kind, request)) is not None:
                return made
            job_id = secrets.token_hex(6)
            row: dict[str, str | None] = {
                "id": job_id,
                "kind": kind,
                "state": "queued",
                "arguments": _encode(arguments),
                "author": author,
            }
            row |= {"created_at": now_utc(), "key": key, "request": None if key is None else _encode([kind, request])}
            connection.execute(insert(JOBS).values(row))
            return _read(connection, job_id)

    def find_key(self, key: str, kind: str, request: dict[str, Any]) -> Job | None:
        """The job that a client's key made. Raises: Conflict when it made another than is asked for now."""
        with self._database.read() as connection:
            return _find_key(connection, key, kind, request)

    def read(self, job_id: str) -> Job:
        """A job. Raises: NotFound."""
        with self._database.read() as connection:
            return _read(connection, job_id)

    def list(
        self, state: JobState | None = None, kind: str | None = None, cursor: int | None = None, limit: int = 50
    ) -> JobPage:
        """Jobs, the newest first.

        Args:
            cursor: a page's `next_cursor`; None begins with the newest.
            limit: jobs in the page, 1..200.

        Raises: InvalidInput.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"expected a `limit` of 1..{MAX_PAGE}, got {limit}; ask for fewer at once")
        query = select(*FIELDS).order_by(JOBS.c.number.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(JOBS.c.state == state)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        if cursor is not None:
            query = query.where(JOBS.c.number <= cursor)
        with self._database.read() as connection:
            jobs = tuple(_decode(row) for row in connection.execute(query))
        return JobPage(jobs=jobs[:limit], next_cursor=jobs[limit].number if len(jobs) > limit else None)

    def list_open(self) -> Sequence[Job]:
        """Jobs that wait or run, in the order they came."""
        query = select(*FIELDS).where(JOBS.c.state.in_(OPEN)).order_by(JOBS.c.number)
        with self._database.read() as connection:
            return [_decode(row) for row in connection.execute(query)]

    def change(self, job_id: str, expected: Iterable[JobState], **changes: Any) -> Job | None:
        """Change fields of a job. Returns: the job then; None when its state is none of the expected. Raises: NotFound."""
        values = {name: _encode(value) if name in AS_JSON else value for name, value in changes.items()}
        with self._database.write() as connection:
            job = _read(connection, job_id)
            if job.state not in expected:
                return None
            connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(values))
            return _read(connection, job_id)

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended. Raises: NotFound; Conflict for one that waits or runs."""
        with self._database.write() as connection:
            job = _read(connection, job_id)
            if not job.has_ended:
                raise Conflict(f"expected a job that has ended, got {job_id}, whose state is {job.state}; cancel it first")
            connection.execute(delete(JOBS).where(JOBS.c.id == job_id))

    def remove_ended(self, keep: int) -> Sequence[str]:
        """Forget all that have ended but the newest `keep`. Returns: their ids."""
        ended = select(JOBS.c.id).where(JOBS.c.state.not_in(OPEN)).order_by(JOBS.c.number.desc()).offset(keep)
        with self._database.write() as connection:
            gone = [str(row.id) for row in connection.execute(ended)]
            if gone:
                connection.execute(delete(JOBS).where(JOBS.c.id.in_(gone)))
        return gone


def _read(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(*FIELDS).where(JOBS.c.id == job_id)).first()
    if row is None:
        raise NotFound(f"no job {job_id[:100]!r}; GET /v1/jobs lists those that are kept")
    return _decode(row)


def _find_key(connection: Connection, key: str, kind: str, request: dict[str, Any] | None) -> Job | None:
    row = connection.execute(select(JOBS.c.id, JOBS.c.request).where(JOBS.c.key == key)).first()
    if row is None:
        return None
    if row.request != _encode([kind, request]):
        raise Conflict(
            f"expected a key that is new for a new job, got {key[:100]!r}, which made job {row.id}; send another key"
        )
    return _read(connection, row.id)


def _decode(row: Row[Any]) -> Job:
    values = dict(row._mapping)
    return Job(**{name: msgspec.json.decode(value) if name in AS_JSON and value else value for name, value in values.items()})


def _encode(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
