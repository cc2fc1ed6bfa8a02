"""Change a file of API keys: whole or not at all, one writer at a time, readable by its owner alone.

Only JSON is written; a TOML file is somebody's own writing, with comments that would be lost.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import write_file_atomic
from sightline.serving.http.keys import KeyFile, KeyRecord, check_record, read_key_file

OWNER_ONLY = 0o600


def add_key(path: Path, record: KeyRecord) -> None:
    """Append a record; the file and its folder are made when they are not there.

    Raises: Conflict when the file has a key of this name; InvalidInput for a record or file that cannot be.
    """
    check_record(record)
    _refuse_toml(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock_folder(path.parent):
        records = read_key_file(path) if path.exists() else ()
        if any(other.name == record.name for other in records):
            raise Conflict(f"{path} has a key {record.name!r} already; remove it first, or choose another name")
        _write(path, (*records, record))


def remove_key(path: Path, name: str) -> None:
    """Take a record out. Raises: NotFound when the file or the name is not there; InvalidInput for a file that is none."""
    _refuse_toml(path)
    if not path.parent.is_dir():
        read_key_file(path)  # raises NotFound with its own words
    with _lock_folder(path.parent):
        records = read_key_file(path)
        rest = tuple(record for record in records if record.name != name)
        if len(rest) == len(records):
            known = ", ".join(record.name for record in records) or "none"
            raise NotFound(f"no key {name[:100]!r} in {path}; there is {known}")
        _write(path, rest)


def _refuse_toml(path: Path) -> None:
    if path.suffix == ".toml":
        raise InvalidInput(f"expected a JSON file to change, got {path}; TOML is only read: edit it by hand")


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Two writers would each keep only their own key. The folder is locked, for the file itself is replaced."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _write(path: Path, records: tuple[KeyRecord, ...]) -> None:
    """The rights are there from the first byte: hashes are no secrets, but they say who has a key.

    A file of another owner, the user that serves, stays theirs: root would else lock the server out of it.
    """
    content = msgspec.json.format(msgspec.json.encode(KeyFile(records)), indent=2) + b"\n"
    before = path.stat() if path.exists() else None
    write_file_atomic(path, content, OWNER_ONLY)
    if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # who is not root cannot give a file away
            os.chown(path, before.st_uid, before.st_gid)
