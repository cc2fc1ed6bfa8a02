"""The database of a workspace: short transactions that are on the disk when they end, and errors in words for users.

SQLite by default, in WAL mode: readers see a steady picture and never wait, one writer at a time holds the file, and with
`synchronous=FULL` a commit that returned survives a power cut. Statements are plain SQLAlchemy Core; whatever only SQLite needs
stands in this file and in `upgrading.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from sightline.core.errors import Conflict, CorruptFile, Exhausted, InvalidInput, SightlineError
from sightline.core.workspace import StrPath
from sightline.store.upgrading import upgrade_database

DATABASE_NAME = "sightline.db"  # in a workspace
WAIT_S = 30.0  # for another process's transaction
CONNECTIONS = 64  # as many as threads may ask at once; each costs some KB
WRITES = "sightline_writes"
PRIVATE = 0o600  # of a new file: it holds hashes of passwords
DISK_ERRORS = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOMEM")  # they pass, and no edit is to blame


class Database:
    """An opened database, for all threads of a process; see `open_database`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.place = engine.url.database or engine.url.render_as_string()
        self._file: os.stat_result | None = None  # SQLite's, once it is opened

    def note_opened(self) -> None:
        """Call when the tables are there: from now on an SQLite file must stay where it is."""
        if self._engine.dialect.name == "sqlite":
            self._file = Path(self.place).stat()

    def __repr__(self) -> str:
        return f"Database({self.place!r})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the database. Raises: Exhausted, CorruptFile, InvalidInput."""
        with self._explain(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The only transaction that writes now; on the disk when it ends, undone on an error. Raises: as `read`."""
        self.check_file()
        with self._explain(), self._engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _explain_error(error, self.place, self._file is not None) from error

    def check_file(self) -> None:
        """Whether the open file is the one that has its name: SQLite goes on writing into one that was removed or replaced.

        Raises: Exhausted when it is not; it may come back, as with a disk that was unplugged.
        """
        if self._file is None:
            return
        try:
            is_there = os.path.samestat(Path(self.place).stat(), self._file)
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise Exhausted(
                f"{self.place} was removed or replaced since it was opened; nothing was changed; put it back, or "
                "end the server and start it again"
            )


def open_database(place: StrPath) -> Database:
    """Open a database: made where it is absent, brought up to date where an older Sightline made it.

    Args: place: an SQLite file, or a SQLAlchemy URL.

    Raises: Unsupported for the database of a newer Sightline; Conflict for one of another program; CorruptFile; InvalidInput;
        Exhausted while another process keeps it.
    """
    url = _read_url(os.fspath(place))
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database in (None, "", ":memory:"):
        raise InvalidInput("expected a database in a file, got one in memory, which would lose all edits; name a file")
    try:
        engine = create_engine(
            url, pool_size=CONNECTIONS, max_overflow=0, connect_args={"timeout": WAIT_S} if is_sqlite else {}
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidInput(f"expected a database that SQLAlchemy can open, got {url!r}: {error}; install its driver") from error
    if is_sqlite:
        _prepare_sqlite(engine, Path(url.database or ""))
    database = Database(engine)
    try:
        with database._explain():
            upgrade_database(engine, database.write)
        database.note_opened()
    except BaseException:
        database.close()
        raise
    return database


def _read_url(place: str) -> URL:
    if "://" not in place:
        return URL.create("sqlite", database=place)
    try:
        return make_url(place)
    except ArgumentError as error:
        raise InvalidInput(f"expected the path of a file or a SQLAlchemy URL, got {place!r}; write sqlite:///PATH") from error


def _prepare_sqlite(engine: Engine, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # SQLite says better what is wrong with the place
        path.touch(PRIVATE)  # the files beside it get the same rights

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so, and not at the first statement that writes
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that writes takes the file at once: one that began by reading could lose it to another meanwhile.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explain_error(error: DBAPIError, place: str, was_opened: bool) -> SightlineError:
    """What a database's error means to a user. Args: was_opened: it could be read and written before."""
    told = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
    name = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Exhausted(f"{place} was kept by another process for {WAIT_S:.0f} s; try again", retry_after_s=1.0)
    if name.startswith("SQLITE_FULL"):
        return Exhausted(f"no room left on the disk while writing {place}; nothing of this edit was kept; make room, try again")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CorruptFile(f"{place} is no whole SQLite database ({told}); put back a copy of it")
    if name.startswith("SQLITE_CONSTRAINT"):
        return Conflict(f"{place} refused a change: {told}; load the present state and try again")
    if was_opened and name.startswith(DISK_ERRORS):
        return Exhausted(f"{place} cannot be read and written now ({told}); nothing of this edit was kept; look at its disk")
    return InvalidInput(f"expected a database that can be read and written, got {told} at {place}; check its path and rights")
