"""Our own zip, the only lossless format: `manifest.json`, `items.parquet`, `location.json`, and the pictures as
`blobs/sha256/..`.

Unpacked, it is a DatasetVersion folder that can be opened in place. Importing it copies the version itself and checks every
file and picture against its hash, so the id stays the same. While a zip is written or read, the list of its entries is held in
memory: 0.5 KB per picture to write, 1 KB to read (benchmarks/data_scale.py).
"""

import hashlib
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.categories import Categories
from sightline.core.errors import CorruptFile, InvalidInput, UnreadableDataset
from sightline.core.folders import CHUNK_BYTES, FULL_DISK, MANIFEST_NAME
from sightline.core.manifests import DatasetVersionManifest, decode_manifest
from sightline.core.workspace import Workspace
from sightline.data.archives import ARCHIVE_ERRORS
from sightline.data.blobs import BlobQueue, BlobStore
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.items import Item, read_items
from sightline.data.versions import (
    ITEMS_NAME,
    LOCATION_NAME,
    BlobLocation,
    DatasetVersion,
    check_split,
    make_temporary_folder,
    open_version,
    place_version,
)
from sightline.imaging.files.headers import DEFAULT_MAX_PIXELS, check_pixel_limit, probe_image

MAX_MANIFEST_BYTES = 64 << 20
MAX_PICTURE_BYTES = 1 << 30
# One time for all entries, so that equal versions give equal files.
ENTRY_TIME = (1980, 1, 1, 0, 0, 0)


class SightlineZipFormat:
    """A whole DatasetVersion in one zip file."""

    name = "sightline"
    description = "Sightline's own zip: lossless, with checksums"

    def detect(self, source: Path) -> float:
        """By the names inside."""
        is_folder = all((source / name).is_file() for name in (MANIFEST_NAME, ITEMS_NAME))
        return 1.0 if is_folder or is_version_archive(source) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Read items one by one, for an import that changes splits or categories; `install_archive` copies a version whole."""
        check_options(self.name, options)
        if source.is_dir():
            version = open_version(source)
            return SourceDataset(
                categories=version.categories,
                items=(_to_source(item, version.blobs.read(item.blob)) for item in version.items()),
                unlabelled_pixels=version.manifest.unlabelled_pixels,
            )
        folder = Path(tempfile.mkdtemp(prefix="sightline-zip-"))
        try:
            with _open_zip(source) as archive:
                manifest = _unpack_version(archive, folder, source)
        except BaseException:
            shutil.rmtree(folder)
            raise
        items = _stream_archive(source, folder)
        weakref.finalize(items, shutil.rmtree, folder, ignore_errors=True)
        return SourceDataset(
            categories=Categories(manifest.categories), items=items, unlabelled_pixels=manifest.unlabelled_pixels
        )

    def check(self, version: DatasetVersion) -> ConversionReport:
        """Nothing is lost."""
        return ConversionReport()

    def write(self, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
        """Write the zip file `target`; pictures are stored as they are, they are compressed already."""
        version.verify()
        with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name in (MANIFEST_NAME, ITEMS_NAME):
                with (version.folder / name).open("rb") as file, archive.open(_entry(name), "w", force_zip64=True) as entry:
                    while chunk := file.read(CHUNK_BYTES):
                        entry.write(chunk)
            archive.writestr(_entry(LOCATION_NAME), msgspec.json.encode(BlobLocation(blobs="blobs")))
            for item in version.items():
                name = _blob_name(item.blob)
                if name not in archive.NameToInfo:
                    archive.writestr(_entry(name), version.blobs.read(item.blob))
                report.keep("image")
                report.keep("annotation", len(item.annotations))


def is_version_archive(path: Path) -> bool:
    """Whether a file is a zip that holds a DatasetVersion."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST_NAME in archive.NameToInfo and ITEMS_NAME in archive.NameToInfo
    except ARCHIVE_ERRORS:
        return False


def install_archive(
    path: Path, target: Workspace | Path, name: str, blobs: BlobStore, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[DatasetVersion, ConversionReport]:
    """Copy the version in a zip to `target` unchanged, its pictures into `blobs`, everything checked against its hash.

    Raises: CorruptFile for bytes that do not match or are missing; UnreadableDataset for a damaged zip; ImageTooLarge for a
        picture of more than `max_pixels`; InvalidInput for a split's name that could lead out of a folder.
    """
    report = ConversionReport()
    folder = make_temporary_folder(target, name)
    try:
        with _open_zip(path) as archive, BlobQueue(blobs) as queue:
            _unpack_version(archive, folder, path)
            for item in read_items(folder / ITEMS_NAME):
                check_split(item.split)
                # `_read_picture` finds a record that says another size.
                check_pixel_limit(item.width, item.height, max_pixels, item.file_name)
                if not blobs.has(item.blob):
                    queue.put_bytes(_read_picture(archive, item, path))
                report.keep("image")
                report.keep("annotation", len(item.annotations))
        return place_version(folder, target, name, blobs), report
    except ARCHIVE_ERRORS as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise  # `import_dataset` says so
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableDataset(f"expected a whole Sightline zip at {path}, got: {reason[:200]}; export it again") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it has another name by now, unless something was wrong


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except ARCHIVE_ERRORS as error:
        raise UnreadableDataset(f"expected a whole Sightline zip at {path}, got: {error}; export it again") from error


def _unpack_version(archive: zipfile.ZipFile, folder: Path, path: Path) -> DatasetVersionManifest:
    """Write manifest and items into `folder`, the items checked against the manifest."""
    content = _read_entry(archive, MANIFEST_NAME, MAX_MANIFEST_BYTES, path)
    manifest = decode_manifest(content, DatasetVersionManifest, where=f"{path.name}/{MANIFEST_NAME}")
    recorded = manifest.files.get(ITEMS_NAME)
    if recorded is None or set(manifest.files) != {ITEMS_NAME}:
        named = sorted(manifest.files)
        raise InvalidInput(f"expected the manifest in {path.name} to name {ITEMS_NAME}, got {named}; export it again")
    (folder / MANIFEST_NAME).write_bytes(content)
    digest, left = hashlib.sha256(), recorded.size_bytes
    with archive.open(ITEMS_NAME) as entry, (folder / ITEMS_NAME).open("wb") as file:
        while left >= 0 and (chunk := entry.read(CHUNK_BYTES)):
            digest.update(chunk)
            left -= len(chunk)
            file.write(chunk)
    if left != 0 or digest.hexdigest() != recorded.sha256:
        raise CorruptFile(f"{ITEMS_NAME} in {path.name} does not match the hash in its manifest; export it again")
    return manifest


def _read_picture(archive: zipfile.ZipFile, item: Item, path: Path) -> bytes:
    content = _read_entry(archive, _blob_name(item.blob), MAX_PICTURE_BYTES, path)
    if hashlib.sha256(content).hexdigest() != item.blob:
        raise CorruptFile(f"{item.file_name} in {path.name} does not match its hash; export it again")
    header = probe_image(content, item.file_name)
    if (header.width, header.height) != (item.width, item.height):
        sizes = f"is {header.width} x {header.height}, its record says {item.width} x {item.height}"
        raise CorruptFile(f"{item.file_name} in {path.name} {sizes}; export it again")
    return content


def _read_entry(archive: zipfile.ZipFile, name: str, max_bytes: int, path: Path) -> bytes:
    if name not in archive.NameToInfo:
        raise CorruptFile(f"{path.name} lacks {name}, which it should hold; export it again")
    with archive.open(name) as entry:
        content = entry.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise InvalidInput(f"{name} in {path.name} is larger than {max_bytes:,} bytes; that is no Sightline export")
    return content


def _stream_archive(path: Path, folder: Path) -> Iterator[SourceItem]:
    with _open_zip(path) as archive:
        for item in read_items(folder / ITEMS_NAME):
            yield _to_source(item, _read_picture(archive, item, path))


def _to_source(item: Item, content: bytes) -> SourceItem:
    return SourceItem(
        file_name=item.file_name,
        content=content,
        split=item.split,
        annotations=item.annotations,
        declared_size=(item.width, item.height),
        is_upright=True,
        seen_by=item.seen_by,
        source_video=item.source_video,
        frame_pts=item.frame_pts,
        attributes=item.attributes,
    )


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, ENTRY_TIME)
    info.external_attr = 0o644 << 16
    return info


def _blob_name(blob: str) -> str:
    return f"blobs/sha256/{blob[:2]}/{blob}"
