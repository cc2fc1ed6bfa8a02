"""Brings a database up to the tables of this Sightline by the migrations that are packaged with it.

The one idea: looking and upgrading happen in one transaction that writes, so of two processes that start at once one upgrades
and the other finds it done, and a crash leaves the tables as they were. An SQLite file that holds something is copied first.
"""

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from sightline.core.errors import Conflict, Unsupported
from sightline.core.folders import sync_path

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade_database(engine: Engine, write: Callable[[], AbstractContextManager[Connection]]) -> None:
    """Run the migrations that a database lacks.

    Args: write: begins a transaction that keeps other writers out.

    Raises: Unsupported for the database of a newer Sightline; Conflict for one of another program.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with write() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        if present == scripts.get_current_head():
            return
        place = engine.url.database
        if present is None and inspect(connection).get_table_names():
            raise Conflict(f"expected a database of Sightline, got {place} with tables of another program; name another file")
        if present is not None:
            if present not in {script.revision for script in scripts.walk_revisions()}:
                raise Unsupported(f"{place} was written by a newer Sightline (its tables are {present!r}); install that one")
            if engine.dialect.name == "sqlite":
                keep_copy(Path(place or ""), present)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def keep_copy(path: Path, revision: str) -> Path:
    """A copy of an SQLite file, its write-ahead log included, named after the tables that it has. An earlier one gives way."""
    copy = path.with_name(f"{path.name}.{revision}.bak")
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        temporary.touch(stat.S_IMODE(path.stat().st_mode))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(temporary)) as target:
            source.backup(target)
        sync_path(temporary)
        temporary.replace(copy)
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(copy.parent)
    return copy
