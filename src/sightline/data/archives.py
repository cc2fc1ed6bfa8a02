"""Unpack archives of unknown origin into a folder, or say in one line why not.

Nothing is written outside the folder and nothing but plain files is written: absolute names, "..", drive letters, links,
devices and encrypted entries are refused before a byte is unpacked, and limits on entries, total size and compression ratio
stop bombs; the sizes an archive declares are checked again against the bytes that come out.
"""

import errno
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from sightline.core.errors import Exhausted, InvalidInput, UnreadableDataset
from sightline.core.folders import FULL_DISK

CHUNK_BYTES = 1 << 20
UTF8_FLAG = 0x800
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# What zipfile and tarfile raise at bytes that are not a whole archive (seen on the fuzzers' files of the tests).
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError,
    RuntimeError, KeyError, IndexError, OverflowError, MemoryError,
)  # fmt: skip


class ArchiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an archive may unpack to.

    Attributes:
        max_entries: files and folders.
        max_bytes: of all files together, unpacked.
        max_ratio: unpacked bytes over the archive's own; labels alone compress well, pictures do not.
        free_bytes: unpacked bytes below which the ratio does not matter.
    """

    max_entries: int = 5_000_000
    max_bytes: int = 1 << 40
    max_ratio: float = 200.0
    free_bytes: int = 64 << 20


DEFAULT_LIMITS = ArchiveLimits()


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive we unpack."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def extract_archive(path: Path, folder: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Unpack a zip or tar into `folder`.

    Raises: InvalidInput for an unsafe entry or a limit passed; UnreadableDataset for a damaged archive.
    """
    try:
        if not zipfile.is_zipfile(path) and not tarfile.is_tarfile(path):
            raise UnreadableDataset(f"expected a whole zip or tar archive at {path}, got another or a cut file; pack it again")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _extract(path, folder, _list_zip(archive, path), limits)
        else:
            with tarfile.open(path) as archive:
                _extract(path, folder, _list_tar(archive, path), limits)
    except ARCHIVE_ERRORS as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise Exhausted(f"no room left to unpack {path.name} in {folder.parent}; make room or set TMPDIR") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableDataset(f"expected a whole zip or tar archive at {path}, got: {reason[:200]}; pack it again") from error


def check_entry_name(name: str, archive: Path) -> PurePosixPath:
    """The relative path an entry may be written to. Raises: InvalidInput for one that leads out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    unsafe = path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0] or "\0" in name
    if unsafe or len(name) > 1000:
        raise InvalidInput(
            f"{archive.name} holds an entry that leads out of its folder: {name[:100]!r}; pack it again without it"
        )
    return path


class _Entry(msgspec.Struct, frozen=True):
    name: PurePosixPath
    size_bytes: int
    source: IO[bytes]


def _extract(path: Path, folder: Path, entries: Iterator[_Entry | None], limits: ArchiveLimits) -> None:
    budget = min(limits.max_bytes, max(limits.free_bytes, int(limits.max_ratio * path.stat().st_size)))
    count = 0
    for entry in entries:
        count += 1
        if count > limits.max_entries:
            raise InvalidInput(f"{path.name} holds more than {limits.max_entries:,} entries; split it")
        if entry is None:
            continue
        if entry.size_bytes > budget:
            raise _bomb(path, limits)
        with entry.source as source, _create(folder / entry.name, path, entry.name) as file:
            while chunk := source.read(CHUNK_BYTES):
                budget -= len(chunk)
                if budget < 0:
                    raise _bomb(path, limits)
                file.write(chunk)


def _create(target: Path, archive: Path, name: PurePosixPath) -> IO[bytes]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"{archive.name} holds {str(name)[:100]!r} twice; pack it again") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidInput(f"{archive.name} holds a name too long for this disk: {str(name)[:100]!r}; shorten it") from None
        raise


def _bomb(path: Path, limits: ArchiveLimits) -> InvalidInput:
    return InvalidInput(
        f"{path.name} unpacks to more than {limits.max_ratio:g} times its own size (or {limits.max_bytes:,} bytes), "
        "like a decompression bomb; unpack it yourself and import the folder if you trust it"
    )


def _list_zip(archive: zipfile.ZipFile, path: Path) -> Iterator[_Entry | None]:
    for info in archive.infolist():  # every name first, so that an evil archive leaves nothing behind
        check_entry_name(_read_name(info), path)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidInput(f"{path.name} holds a link or device: {info.filename[:100]!r}; pack plain files only")
        if info.flag_bits & 0x1:
            raise InvalidInput(f"{path.name} is encrypted; unpack it yourself and import the folder")
    for info in archive.infolist():
        if info.is_dir():
            yield None
        else:
            yield _Entry(check_entry_name(_read_name(info), path), info.file_size, archive.open(info))


def _read_name(info: zipfile.ZipInfo) -> str:
    """An entry's name: UTF-8 where it is that, whatever its flag says.

    macOS packs UTF-8 without the flag for it (APPNOTE 4.4.4, bit 11), and `zipfile` takes such names for code page 437.
    """
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _list_tar(archive: tarfile.TarFile, path: Path) -> Iterator[_Entry | None]:
    for member in archive:
        name = check_entry_name(member.name, path)
        if member.isdir():
            yield None
        elif member.isreg():
            yield _Entry(name, member.size, archive.extractfile(member) or io.BytesIO())
        else:
            raise InvalidInput(f"{path.name} holds a link or device: {member.name[:100]!r}; pack plain files only")
