"""The database of a workspace."""

from sightline.core.workspace import StrPath


class Database:
    """An opened database; see `open_database`."""

    def close(self) -> None:
        """Let go of its connections."""
        raise NotImplementedError


def open_database(place: StrPath) -> Database:
    """Open a database, made where it is absent and brought up to date where it is older.

    Args: place: an SQLite file, or a SQLAlchemy URL.
    """
    raise NotImplementedError
