"""Write files and folders so that a reader sees the old one or the new one, never half of it; and read them back verified.

Content reaches the disk before the rename that shows it: a rename alone may survive a power cut that its files do not.
"""

import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core.errors import Conflict, CorruptFile, Exhausted, InvalidInput, NotFound
from sightline.core.manifests import (
    FileHash,
    FrozenManifest,
    Manifest,
    ManifestType,
    compute_manifest_id,
    decode_manifest,
    encode_manifest,
)

MANIFEST_NAME = "manifest.json"
CHUNK_BYTES = 1 << 20
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
MAX_SYNCED_FILES = 64  # of a folder; for 1000, one sync of the disk took 0.05 s on ext4 and an fsync each 0.23 s


def compute_file_hash(path: Path) -> FileHash:
    """SHA-256 and size of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return FileHash(sha256=digest.hexdigest(), size_bytes=path.stat().st_size)


@contextmanager
def explain_full_disk(where: Path, then: str = "run it again") -> Iterator[None]:
    """Turn the error of a full disk into one line for a user; any other passes through. Raises: Exhausted.

    Args: then: what to do once there is room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise Exhausted(
            f"no room left on the disk while writing {where}; make room there and where temporary files lie (TMPDIR), "
            f"and {then}"
        ) from error


@contextmanager
def explain_disk_errors(where: Path) -> Iterator[None]:
    """Turn what the system says while a verb makes `where` into one line for a user.

    Raises: Exhausted when the disk or quota is full; InvalidInput for a path that cannot be read from or written to.
    """
    try:
        with explain_full_disk(where):
            yield
    except OSError as error:
        at = error.filename if isinstance(error.filename, str) else where
        raise InvalidInput(
            f"expected files that can be read and written to make {where}, got {error.strerror or error} at {at}; "
            "check that path and its rights"
        ) from error


def write_file_atomic(path: Path, content: bytes, rights: int = 0o666, durable: bool = True) -> None:
    """Write `content` under a temporary name beside `path`, fsync, rename: a crash leaves the old file whole.

    Args:
        rights: of the new file from its first byte on, less what the process's umask takes.
        durable: False skips the fsync, for what can be made again and is checked when it is read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile.mkstemp`: its files are for their owner alone, and a server of another user could not read them.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rights), "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may write to. Raises: Conflict when it belongs to others."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # else it would have the rights of the umask
    folder.mkdir(exist_ok=True, mode=0o700)
    facts = folder.stat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise Conflict(
            f"expected a folder that only you may write to, got {folder}; take the right from others (chmod go-w), "
            "or set SIGHTLINE_CACHE to another"
        )


@contextmanager
def new_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes `target`, on any error it is removed and `target` is untouched.

    Raises: Conflict when `target` exists and `replace` is False.
    """
    if target.exists() and not replace:
        raise Conflict(f"{target} exists already; choose another name or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    temporary.chmod(0o755)
    try:
        yield temporary
        put_folder(temporary, target, replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def put_folder(folder: Path, target: Path, replace: bool = False) -> None:
    """Make a complete folder durable and give it its final name, beside it on the same disk.

    Raises: Conflict when `target` exists by then and `replace` is False; it is left as it is.
    """
    sync_folder(folder)
    if replace and target.exists():
        old = folder.with_name(folder.name + ".old")
        target.rename(old)
        try:
            folder.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old)
        return
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise Conflict(f"{target} exists already; choose another name or remove it") from error


def put_unless_whole(folder: Path, target: Path, manifest: FrozenManifest) -> bool:
    """Give a complete folder its final name, in place of a damaged one. Returns: False when the same is there, whole."""
    try:
        put_folder(folder, target)
    except Conflict:
        if is_whole(target, manifest):
            return False
        put_folder(folder, target, replace=True)
    return True


def sync_folder(folder: Path) -> None:
    """Wait until a folder's files and names are on the disk."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    if sum(path.is_file() for path in paths) > MAX_SYNCED_FILES and _sync_disk(folder):
        return
    for path in (*paths, folder):
        sync_path(path)


def _sync_disk(folder: Path) -> bool:
    """Wait until all that was written to a folder's disk is on it (syncfs(2)). Returns: whether the system can do that."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)


def sync_path(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot do it for folders
            raise
    finally:
        os.close(descriptor)


def hash_files(folder: Path) -> dict[str, FileHash]:
    """Hash of every file below `folder` but its manifest, by path relative to it."""
    return {
        path.relative_to(folder).as_posix(): compute_file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write `manifest.json` into a folder whose other files are complete; returns the id."""
    write_file_atomic(folder / MANIFEST_NAME, encode_manifest(manifest))
    return compute_manifest_id(manifest)


def read_manifest(folder: str | os.PathLike[str], manifest_type: type[ManifestType]) -> ManifestType:
    """Read a folder's manifest without hashing its files.

    Args:
        folder: folder of a Model, Artifact, ...
        manifest_type: kind of manifest to expect: `ModelManifest`, `ArtifactManifest`, ...

    Raises: NotFound when the folder has no manifest; InvalidInput when it is of another kind.
    """
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        noun = manifest_type.__name__.removesuffix("Manifest")
        raise NotFound(f"expected a {noun} folder with a {MANIFEST_NAME}, got {folder}")
    return decode_manifest(path.read_bytes(), manifest_type, where=str(path))


def read_kind(folder: Path) -> str:
    """The `kind` in a folder's manifest: "model", "artifact", "deployment", ... Raises: NotFound, InvalidInput."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise NotFound(f"expected a folder with a {MANIFEST_NAME}, got {folder}")
    try:
        record = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is no manifest: {error}") from error
    kind = record.get("kind") if isinstance(record, dict) else None
    if not isinstance(kind, str):
        raise InvalidInput(f"{path} is no manifest: it has no field 'kind'")
    return kind


def verify_files(folder: Path, files: dict[str, FileHash]) -> None:
    """Check that every named file is there with its recorded hash. Raises: NotFound, CorruptFile."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise NotFound(f"{folder} lacks {name}, which its manifest names; make it again")
        if compute_file_hash(path) != expected:
            raise CorruptFile(f"{path} does not match the hash in its manifest; make it again")


def is_whole(folder: Path, manifest: FrozenManifest) -> bool:
    """Whether a folder holds this manifest and the files it names, undamaged."""
    try:
        verify_files(folder, manifest.files)
        return compute_manifest_id(read_manifest(folder, type(manifest))) == compute_manifest_id(manifest)
    except (NotFound, CorruptFile, InvalidInput, OSError):
        return False
