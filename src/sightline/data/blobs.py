"""Pictures by content: a blob's name is the SHA-256 of its bytes, so the same picture is stored once and never changes.

Local folders get a temporary name, fsync and rename, so a crash never leaves half a blob under a final name. Any other place
`fsspec` knows (S3-compatible stores, memory) publishes an object whole or not at all, and is written directly.
"""

import hashlib
import os
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sightline.core.errors import CorruptFile, InvalidInput, NotFound
from sightline.core.folders import CHUNK_BYTES, compute_file_hash
from sightline.core.workspace import StrPath

SHA256_LENGTH = 64
STORE_THREADS = 32
QUEUE_BYTES = 64 << 20
HEX_DIGITS = frozenset("0123456789abcdef")


def open_blobs(blobs: "StrPath | BlobStore") -> "BlobStore":
    """The store itself, or that of a folder or URL."""
    return blobs if isinstance(blobs, BlobStore) else BlobStore(os.fspath(blobs))


class BlobStore:
    """Content-addressed storage below `url`: `sha256/ab/abcdef...`.

    Args:
        url: a local folder, or a URL `fsspec` understands ("s3://bucket/blobs", "memory://blobs").
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self._opened_files, self._root = fsspec.core.url_to_fs(self.url)
        self._opened_by = os.getpid()
        self.local_folder: Path | None = Path(self._root) if isinstance(self._opened_files, LocalFileSystem) else None

    def __repr__(self) -> str:
        return f"BlobStore({self.url!r})"

    @property
    def _files(self) -> fsspec.AbstractFileSystem:
        """The place, opened anew in a process that was forked: connections and their threads stay with its parent."""
        if self._opened_by != os.getpid():
            self._opened_files, self._root = fsspec.core.url_to_fs(self.url)
            self._opened_by = os.getpid()
        return self._opened_files

    def put_bytes(self, content: bytes) -> str:
        """Store `content` unless it is there; returns its SHA-256 (64 hex digits)."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.has(sha256):
            return sha256
        if self.local_folder is None:
            self._files.pipe_file(self._key(sha256), content)
        else:
            with _TemporaryBlob(self.local_folder) as temporary:
                temporary.file.write(content)
                temporary.publish(Path(self._key(sha256)))
        return sha256

    def put_file(self, path: Path) -> str:
        """Store a file of any size in chunks unless it is there; returns its SHA-256.

        Raises: CorruptFile when the file changes while it is read.
        """
        sha256 = compute_file_hash(path).sha256
        if self.has(sha256):
            return sha256
        if self.local_folder is None:
            self._files.put_file(str(path), self._key(sha256))
            return sha256
        with _TemporaryBlob(self.local_folder) as temporary, path.open("rb") as source:
            digest = hashlib.sha256()
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                temporary.file.write(chunk)
            if digest.hexdigest() != sha256:
                raise CorruptFile(f"{path} changed while it was read; import it again when nothing writes to it")
            temporary.publish(Path(self._key(sha256)))
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether the blob is there."""
        key = self._key(sha256)
        return Path(key).is_file() if self.local_folder is not None else bool(self._files.exists(key))

    def read(self, sha256: str, verify: bool = True) -> bytes:
        """All bytes of a blob. Raises: NotFound; CorruptFile when `verify` finds another hash than the blob's name."""
        key = self._key(sha256)
        try:
            content = Path(key).read_bytes() if self.local_folder is not None else cast(bytes, self._files.cat_file(key))
        except FileNotFoundError:
            raise NotFound(f"blob {sha256[:12]} is not in {self.url}; import the dataset again") from None
        if verify and hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptFile(f"{self._key(sha256)} does not match its hash, its name; delete it and import the dataset again")
        return content

    def open(self, sha256: str) -> BinaryIO:
        """A blob as an open binary file, unverified; for bytes too many to hold. Raises: NotFound."""
        key = self._key(sha256)
        try:
            return Path(key).open("rb") if self.local_folder is not None else cast(BinaryIO, self._files.open(key, "rb"))
        except FileNotFoundError:
            raise NotFound(f"blob {sha256[:12]} is not in {self.url}; import the dataset again") from None

    def copy_to(self, sha256: str, target: Path) -> None:
        """Write a verified copy of a blob as the file `target`, making its folder. Raises: NotFound, CorruptFile."""
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with self.open(sha256) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            target.unlink()
            raise CorruptFile(f"{self._key(sha256)} does not match its hash, its name; delete it and import the dataset again")

    def _key(self, sha256: str) -> str:
        if len(sha256) != SHA256_LENGTH or not HEX_DIGITS.issuperset(sha256):
            raise InvalidInput(
                f"expected a SHA-256 of 64 lower-case hex digits, got {sha256[:80]!r}; pass what put_bytes returned"
            )
        return f"{self._root}/sha256/{sha256[:2]}/{sha256}"


class _TemporaryBlob:
    """A file below `sha256/` that becomes a blob by `publish` and disappears otherwise."""

    def __init__(self, root: Path) -> None:
        folder = root / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        self.file = os.fdopen(descriptor, "wb")
        self.path = Path(name)

    def __enter__(self) -> "_TemporaryBlob":
        return self

    def publish(self, target: Path) -> None:
        """Make the bytes durable, then visible under their final name, read-only."""
        self.file.flush()
        os.fchmod(self.file.fileno(), 0o444)
        os.fsync(self.file.fileno())
        self.file.close()
        target.parent.mkdir(exist_ok=True)
        self.path.replace(target)

    def __exit__(self, *_: object) -> None:
        try:
            self.file.close()  # writes what is buffered, which a full disk refuses
        finally:
            self.path.unlink(missing_ok=True)


class BlobQueue:
    """Stores many blobs at once: waiting for one fsync after another would take most of an import.

    32 threads store small blobs several times as fast as one, because the file system commits their fsyncs together: 9.3 and
    1.5 ms a blob of 400 bytes on a busy ext4 disk. At most `max_bytes` wait. A context manager: on leaving, all blobs are
    stored or an error is raised.
    """

    def __init__(self, store: BlobStore, max_bytes: int = QUEUE_BYTES) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._pool = ThreadPoolExecutor(STORE_THREADS, "sightline-blobs")
        self._waiting: deque[tuple[int, Future[str]]] = deque()
        self._bytes = 0

    def put_bytes(self, content: bytes) -> None:
        """Store `content` soon; raises what an earlier one met."""
        self._waiting.append((len(content), self._pool.submit(self._store.put_bytes, content)))
        self._bytes += len(content)
        while self._bytes > self._max_bytes or len(self._waiting) > 4 * STORE_THREADS:
            self._finish_first()

    def _finish_first(self) -> None:
        size_bytes, future = self._waiting.popleft()
        self._bytes -= size_bytes
        future.result()

    def __enter__(self) -> "BlobQueue":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            while self._waiting and error_type is None:
                self._finish_first()
        finally:
            self._pool.shutdown(cancel_futures=True)
