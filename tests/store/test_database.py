"""Opening, upgrading and refusing databases, and what is said when one cannot be used."""

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from sightline.core.errors import Conflict, CorruptFile, Exhausted, InvalidInput, Unsupported
from sightline.store import upgrading
from sightline.store.database import open_database
from sightline.store.tables import CATEGORY_EDITS, DATASETS, EDITS, METADATA

NEWEST = "users"  # the last of the packaged migrations
ROW = {"name": "a", "base_number": 1, "edit_count": 0, "category_edit_count": 0}
EDIT = {"dataset_id": 1, "number": 1, "file_name": "a.png", "revision": 1, "edit_id": "abcdefghij"}
EDIT |= {"author": "me", "made_at": "now", "summary": "", "operations": "[]"}


@pytest.fixture
def database(tmp_path):
    opened = open_database(tmp_path / "deep" / "sightline.db")
    yield opened
    opened.close()


def read_names(database):
    with database.read() as connection:
        return connection.scalars(select(DATASETS.c.name)).all()


def test_a_new_file_gets_the_tables_of_the_code(database):
    with database.read() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == {*METADATA.tables, "alembic_version"}
        for table in METADATA.tables.values():
            columns = found.get_columns(table.name)
            expected = [(column.name, str(column.type), column.nullable) for column in table.columns]
            assert [(column["name"], str(column["type"]), column["nullable"]) for column in columns] == expected
            unique = {tuple(one["column_names"]) for one in found.get_unique_constraints(table.name)}
            names = {
                tuple(column.name for column in one.columns)
                for one in table.constraints
                if type(one).__name__ == "UniqueConstraint"
            }
            assert unique == names
            assert {one["name"] for one in found.get_indexes(table.name)} == {one.name for one in table.indexes}


def test_a_database_keeps_what_was_committed_and_is_opened_again(database):
    with database.write() as connection:
        connection.execute(insert(DATASETS), ROW)
    again = open_database(database.place)
    assert read_names(again) == ["a"]
    again.close()


def test_commits_are_on_the_disk(database):
    with database.read() as connection:
        settings = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert settings == ["wal", 2, 1]  # 2: FULL


def test_an_error_undoes_the_whole_transaction(database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(insert(DATASETS), ROW)
        raise ZeroDivisionError
    assert read_names(database) == []


def test_the_journal_cannot_be_changed(database):
    with database.write() as connection:
        connection.execute(insert(DATASETS), ROW)
        connection.execute(insert(EDITS), EDIT)
        connection.execute(
            insert(CATEGORY_EDITS),
            {"dataset_id": 1, "number": 1, "kind": "add", "category_id": 1, "name": "a", "author": "", "made_at": ""},
        )
    for table in ("edits", "category_edits"):
        for change in (f"UPDATE {table} SET author = 'you'", f"DELETE FROM {table}"):
            with pytest.raises(Conflict, match="the journal is never changed"), database.write() as connection:
                connection.execute(text(change))


def test_two_edits_cannot_make_the_same_revision(database):
    with database.write() as connection:
        connection.execute(insert(DATASETS), ROW)
        connection.execute(insert(EDITS), EDIT)
    with pytest.raises(Conflict, match="UNIQUE constraint failed") as caught, database.write() as connection:
        connection.execute(insert(EDITS), EDIT | {"number": 2, "edit_id": "bcdefghijk"})
    assert isinstance(caught.value.__cause__, IntegrityError)


def test_a_url_opens_the_same_file(database):
    again = open_database(f"sqlite:///{database.place}")
    assert read_names(again) == []
    again.close()


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("sqlite://", "which would lose all edits"),
        ("sqlite:///:memory:", "which would lose all edits"),
        ("nonsense://x", "expected a database that SQLAlchemy can open"),
        ("://", "expected the path of a file or a SQLAlchemy URL"),
    ],
)
def test_what_is_no_database_is_refused(place, problem):
    with pytest.raises(InvalidInput, match=problem):
        open_database(place)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "sightline.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(CorruptFile, match="is no whole SQLite database"):
        open_database(path)
    assert path.read_bytes() == b"this is no database" * 100


def test_a_folder_in_its_place_is_said_in_one_line(tmp_path):
    with pytest.raises(InvalidInput, match="expected a database that can be read and written, got unable to open"):
        open_database(tmp_path)


@pytest.fixture
def add_row(database):
    def add(name, size=0):
        with database.write() as connection:
            connection.execute(insert(DATASETS), ROW | {"name": name + size * "x"})

    return add


@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_written_into_a_file_that_was_removed_or_replaced(database, add_row, is_replaced, tmp_path):
    add_row("a")
    aside = shutil.move(database.place, tmp_path)
    if is_replaced:
        shutil.copy(aside, database.place)
    with pytest.raises(Exhausted, match="was removed or replaced since it was opened; nothing was changed"):
        add_row("b")
    shutil.move(aside, database.place)
    add_row("c")
    assert read_names(database) == ["a", "c"]


def test_a_disk_that_fails_for_a_while_is_told_as_what_passes(database, add_row):
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as a quota does: an error that is not "disk full"
    try:
        with pytest.raises(
            Exhausted, match=r"cannot be read and written now \(disk I/O error\); nothing of this edit was kept"
        ):
            add_row("b", size=1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    add_row("c")
    assert read_names(database) == ["c"]


def test_another_programs_database_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE photos (id)")
    with pytest.raises(Conflict, match="with tables of another program"):
        open_database(tmp_path / "other.db")


def test_the_database_of_a_newer_sightline_is_refused_in_one_line(database):
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'tomorrow'"))
    with pytest.raises(Unsupported, match="was written by a newer Sightline") as caught:
        open_database(database.place)
    assert "\n" not in str(caught.value)


@pytest.fixture
def newer_migrations(tmp_path, monkeypatch):
    """The packaged migrations and one more, which adds a column; with `fails`, it fails behind that."""
    folder = tmp_path / "migrations"
    shutil.copytree(upgrading.MIGRATIONS, folder)
    monkeypatch.setattr(upgrading, "MIGRATIONS", folder)

    def add(fails=False):
        (folder / "versions" / "colours.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\nrevision = 'colours'\n"
            f"down_revision = {NEWEST!r}\n"
            "def upgrade():\n    op.add_column('datasets', sa.Column('colour', sa.Text))\n"
            + ("    raise sa.exc.OperationalError('no', None, ZeroDivisionError('half way'))\n" if fails else "")
        )

    return add


def test_nobody_else_on_this_machine_reads_a_new_database_nor_its_copy(tmp_path, newer_migrations):
    place = tmp_path / "sightline.db"
    before = os.umask(0)
    try:
        database = open_database(place)
        with database.write() as connection:
            connection.execute(insert(DATASETS), ROW)
            rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("sightline.db*")}
        database.close()
        newer_migrations()
        open_database(place).close()
        rights |= {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.bak")}
    finally:
        os.umask(before)
    assert set(rights.values()) == {0o600} and len(rights) == 4, rights  # with its log, its index and the copy


def test_a_copy_is_kept_before_an_older_database_is_upgraded(database, newer_migrations):
    with database.write() as connection:
        connection.execute(insert(DATASETS), ROW)  # still in the write-ahead log
    newer_migrations()
    again = open_database(database.place)
    with again.read() as connection:
        assert "colour" in {column["name"] for column in inspect(connection).get_columns("datasets")}
    again.close()
    with closing(sqlite3.connect(f"{database.place}.{NEWEST}.bak")) as copy:
        assert copy.execute("SELECT name FROM datasets").fetchall() == [("a",)]
        assert "colour" not in [row[1] for row in copy.execute("PRAGMA table_info(datasets)")]


def test_a_migration_that_fails_leaves_the_tables_as_they_were(database, newer_migrations):
    newer_migrations(fails=True)
    with pytest.raises(InvalidInput, match="half way"):
        open_database(database.place)
    with database.read() as connection:
        assert "colour" not in {column["name"] for column in inspect(connection).get_columns("datasets")}
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == NEWEST


def test_processes_that_start_at_once_make_one_database(tmp_path):
    script = "import sys\nfrom sightline.store.database import open_database\nopen_database(sys.argv[1]).close()"
    command = [sys.executable, "-c", script, str(tmp_path / "sightline.db")]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    problems = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, problems
