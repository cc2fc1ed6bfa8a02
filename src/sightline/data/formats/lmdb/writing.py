"""Write an LMDB folder as a stream: entries in the order of their keys, a transaction every few megabytes.

The library wants to know the largest size a database may reach. Nobody knows it beforehand, so it starts small and doubles
whenever the library says that it is full; the transaction that met the limit is done again.
"""

from pathlib import Path
from typing import Self

from sightline.core.errors import Exhausted

LARGEST_KEY = 511  # bytes; a constant of the library as everyone builds it
FIRST_SIZE_BYTES = 64 << 20
TRANSACTION_BYTES = 16 << 20
TRANSACTION_ENTRIES = 1000


class LmdbWriter:
    """A new database in a folder of its own; as a context manager it is whole after the block.

    Raises: Exhausted when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        import lmdb

        self._lmdb, self._folder = lmdb, folder
        folder.mkdir(parents=True)
        self._waiting: list[tuple[bytes, bytes]] = []
        self._bytes, self._size = 0, FIRST_SIZE_BYTES
        # Nobody else knows the folder yet, so no lock file is needed; without read-ahead a large database spares memory.
        self._environment = lmdb.open(str(folder), map_size=self._size, lock=False, mode=0o644, readahead=False)

    def put(self, key: bytes, value: bytes) -> None:
        """Append an entry; keys must come in rising order."""
        self._waiting.append((key, value))
        self._bytes += len(key) + len(value)
        if self._bytes >= TRANSACTION_BYTES or len(self._waiting) >= TRANSACTION_ENTRIES:
            self._flush()

    def _flush(self) -> None:
        while self._waiting:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in self._waiting:
                        transaction.put(key, value, append=True)
                self._waiting, self._bytes = [], 0
            except self._lmdb.MapFullError:
                self._size = 2 * max(self._size, self._bytes)
                self._environment.set_mapsize(self._size)
            except self._lmdb.Error as error:
                raise Exhausted(f"could not write {self._folder}: {error}; make room and run it again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                self._flush()
        finally:
            self._environment.close()
