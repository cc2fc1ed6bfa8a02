"""DatasetVersion: a frozen folder of `manifest.json` and `items.parquet`; its pictures are blobs elsewhere.

`location.json` beside the manifest tells where the blobs lie. It is no part of the version (its hash is not in the manifest),
so a version may move between machines and keeps its id. The same input always gives the same id: no time, no machine path and
no dictionary order enters the manifest.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import (
    MANIFEST_NAME,
    compute_file_hash,
    put_folder,
    read_manifest,
    verify_files,
    write_file_atomic,
    write_manifest,
)
from sightline.core.manifests import DatasetVersionManifest, UnlabelledPixels, compute_manifest_id
from sightline.core.shelving import shelve
from sightline.core.workspace import StrPath, Workspace, check_name, find_shelved_name
from sightline.data.blobs import BlobStore, open_blobs
from sightline.data.item_index import ItemIndex, load_item_index
from sightline.data.items import Item, ItemTable, ItemWriter, load_item_table, read_items, read_video_splits
from sightline.imaging.files.headers import DEFAULT_MAX_PIXELS
from sightline.imaging.files.reading import decode_image

ITEMS_NAME = "items.parquet"
LOCATION_NAME = "location.json"
UNSPLIT = "unsplit"  # the name under which items without a split are counted
SPLIT_ORDER = ("train", "trainval", "val", "test")


class BlobLocation(msgspec.Struct, frozen=True, kw_only=True):
    """`location.json`: URL of the blob store, or a path relative to the version's folder."""

    blobs: str


class DatasetVersion:
    """An opened version: a stream of items and their pictures. `open_version` and several verbs return one.

    Attributes:
        folder, manifest, id: its folder, its record, and the record's hash of 64 hex digits.
        name: what a workspace calls it; elsewhere its record's name. They differ for what was imported under another name from
            our own zip, whose record stays as it is.
        categories: names in order.
        blobs: the store of its pictures, from which `read_image` and `read_bytes` take them.
    """

    def __init__(self, folder: Path, manifest: DatasetVersionManifest, blobs: BlobStore) -> None:
        self.folder = folder
        self.manifest = manifest
        self.blobs = blobs
        self.id = compute_manifest_id(manifest)
        self.name = find_shelved_name(folder, "datasets", self.id) or manifest.name
        self.categories = Categories(manifest.categories)

    def __repr__(self) -> str:
        return f"DatasetVersion({self.name!r}, {self.id[:12]}, {self.manifest.item_count} items)"

    @property
    def splits(self) -> dict[str, int]:
        """Number of pictures per split, in the order of use: train, val, test, others; those without one under "unsplit"."""
        return {name: self.manifest.split_counts[name] for name in sort_splits(self.manifest.split_counts)}

    def items(self, split: str | Sequence[str] | None = None) -> Iterator[Item]:
        """Stream items in the order they were added, with one row group in memory.

        Args:
            split: a split's name, several names, or None for all items. "trainval" means train and val together where
                there is no split of that name.

        Raises: NotFound when there is no such split; CorruptFile when `items.parquet` is not the one that was written.
        """
        return read_items(self._verified_items, self.find_splits(split))

    def load_items(self, split: str | Sequence[str] | None = None) -> ItemTable:
        """The items as a compact in-memory sequence for random access; see `ItemTable`."""
        return load_item_table(self._verified_items, self.find_splits(split))

    def load_index(self) -> ItemIndex:
        """What lists and filters of the items need, in memory; see `ItemIndex`."""
        return load_item_index(self._verified_items, self.categories.names)

    def find_video_splits(self) -> dict[str, str | None]:
        """The split that the frames of each video are in, by the video's name."""
        return read_video_splits(self._verified_items)

    def count(self, split: str | Sequence[str] | None = None) -> int:
        """How many items a split (or several, or all) has. Raises: NotFound."""
        names = self.find_splits(split)
        return self.manifest.item_count if names is None else sum(self.manifest.split_counts[name] for name in names)

    def read_image(self, item: Item) -> np.ndarray:
        """The picture as `(H, W, 3)` uint8 RGB, upright, its bytes verified. Raises: NotFound, CorruptFile, UnreadableImage."""
        # A picture that the import was allowed to take, by whatever limit, can be read.
        return decode_image(self.blobs.read(item.blob), max(DEFAULT_MAX_PIXELS, item.width * item.height), item.file_name)

    def read_bytes(self, item: Item) -> bytes:
        """The picture's file as it was imported, verified. Raises: NotFound, CorruptFile."""
        return self.blobs.read(item.blob)

    def verify(self) -> None:
        """Check `items.parquet` against the manifest. Raises: NotFound, CorruptFile."""
        verify_files(self.folder, self.manifest.files)

    @cached_property
    def _verified_items(self) -> Path:
        """`items.parquet`, verified once: most bits that a disk may turn in it would give other labels in silence."""
        self.verify()
        return self.folder / ITEMS_NAME

    def find_splits(self, split: str | Sequence[str] | None) -> list[str] | None:
        """The version's own splits that a split, or several, stand for; None for all. Raises: NotFound."""
        if split is None:
            return None
        known = self.manifest.split_counts
        names: list[str] = []
        for name in dict.fromkeys([split] if isinstance(split, str) else split):
            if name == "trainval" and name not in known and {"train", "val"} & known.keys():
                names += [part for part in ("train", "val") if part in known]
            elif name not in known or name == UNSPLIT:
                there = ", ".join(self.splits) or "none"
                raise NotFound(f"no split {name!r} in dataset {self.name!r}; its splits are: {there}")
            else:
                names.append(name)
        return list(dict.fromkeys(names))


def sort_splits(names: Iterable[str]) -> list[str]:
    """Names of splits as people expect them: train, val and test, then others by name, pictures without a split last."""

    def place(name: str) -> tuple[bool, int, str]:
        return name == UNSPLIT, SPLIT_ORDER.index(name) if name in SPLIT_ORDER else len(SPLIT_ORDER), name

    return sorted(names, key=place)


def check_split(split: str | None) -> None:
    """A split's name becomes the name of folders and lists. Raises: InvalidInput for one that could lead out of them."""
    if split is not None and (
        split in ("", ".", "..") or len(split) > 100 or split.splitlines() != [split] or set(split) & set("/\\:\0")
    ):
        raise InvalidInput(
            f"expected a split's name without '/', '\\', ':' and line breaks (at most 100), got {split!r}; rename it"
        )


def open_version(folder: StrPath, blobs: StrPath | BlobStore | None = None) -> DatasetVersion:
    """Open a version's folder.

    Args:
        folder: folder of a version; `Workspace.find("datasets", name)` gives the one of a name.
        blobs: folder or URL of its pictures; by default the one that its `location.json` names.

    Raises: NotFound when the folder is no version, or nothing says where its pictures are; InvalidInput for a broken manifest.
    """
    folder = Path(folder)
    if not (folder / MANIFEST_NAME).is_file():
        raise NotFound(
            f"expected the folder of a DatasetVersion, got {folder}; of a name it is Workspace.find('datasets', name)"
        )
    manifest = read_manifest(folder, DatasetVersionManifest)
    if not (folder / ITEMS_NAME).is_file():
        raise NotFound(f"{folder} lacks {ITEMS_NAME}, which its manifest names; make it again")
    return DatasetVersion(folder, manifest, open_blobs(blobs or _read_location(folder)))


def check_version(version: object) -> None:
    """Raises: InvalidInput for what is no opened version, such as the path or the name of one."""
    if not isinstance(version, DatasetVersion):
        raise InvalidInput(f"expected a DatasetVersion, got {version!r}; open its folder with sightline.open_version(folder)")


def choose_blobs(target: Path | Workspace, blobs: StrPath | BlobStore | None) -> BlobStore:
    """The store that is given, else a Workspace's own. Raises: InvalidInput where there is neither."""
    if blobs is not None:
        return open_blobs(blobs)
    if not isinstance(target, Workspace):
        raise InvalidInput(
            f"expected a place for the pictures of {target}, got none; pass blobs=FOLDER, or a Workspace as target"
        )
    return BlobStore(target.blobs)


class VersionWriter:
    """Writes a DatasetVersion as a stream: `add` items, then `close`. As a context manager it removes all traces on an error.

    Args:
        target: the folder the version becomes, or a Workspace: then it is shelved under `name` and its id, and its name
            stands for it from then on.
        name: name of the Dataset.
        categories: ordered; an item's categories must be among them.
        blobs: where the pictures were put; a Workspace's own by default.
        unlabelled_pixels: what a pixel means that no mask covers.
        source: what it was made from: format, options, parents; no machine paths, so that ids are the same everywhere.
        seed: of a drawn split.
    """

    def __init__(
        self,
        target: Path | Workspace,
        name: str,
        categories: Categories,
        blobs: StrPath | BlobStore | None = None,
        *,
        unlabelled_pixels: UnlabelledPixels = "background",
        source: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        self.blobs = choose_blobs(target, blobs)
        if isinstance(target, Path) and target.exists():
            raise Conflict(f"{target} exists already; choose another name or remove it")
        self._target, self._name, self._categories = target, check_name(name), categories
        self._unlabelled_pixels, self._source, self._seed = unlabelled_pixels, source or {}, seed
        self._split_counts: dict[str, int] = {}
        self._annotation_counts = dict.fromkeys(categories.names, 0)
        self._item_count = 0
        self._folder = make_temporary_folder(target, self._name)
        self._items = ItemWriter(self._folder / ITEMS_NAME)

    def add(self, item: Item) -> None:
        """Append an item. Raises: InvalidInput for a category that is not the version's, or an unfit split's name."""
        for annotation in item.annotations:
            if annotation.category not in self._annotation_counts:
                raise InvalidInput(
                    f"{item.file_name}: category {annotation.category!r} is not one of {list(self._categories.names)}; "
                    "add it to the categories or drop the annotation"
                )
            self._annotation_counts[annotation.category] += 1
        check_split(item.split)
        split = UNSPLIT if item.split is None else item.split
        self._split_counts[split] = self._split_counts.get(split, 0) + 1
        self._item_count += 1
        self._items.add(item)

    def close(self) -> DatasetVersion:
        """Finish the files, give the folder its final name, and open it."""
        self._items.close()
        manifest = DatasetVersionManifest(
            name=self._name,
            categories=self._categories.names,
            unlabelled_pixels=self._unlabelled_pixels,
            item_count=self._item_count,
            split_counts=self._split_counts,
            annotation_counts=self._annotation_counts,
            source=self._source,
            seed=self._seed,
            files={ITEMS_NAME: compute_file_hash(self._folder / ITEMS_NAME)},
        )
        write_manifest(self._folder, manifest)
        return place_version(self._folder, self._target, self._name, self.blobs)

    def abort(self) -> None:
        """Remove everything written so far; blobs stay, they may be shared."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "VersionWriter":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is not None:
            self.abort()


def make_temporary_folder(target: Path | Workspace, name: str) -> Path:
    """A hidden folder on the same file system as `target`, to be filled and given to `place_version`."""
    parent = target.root / "datasets" / check_name(name) if isinstance(target, Workspace) else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
    folder.chmod(0o755)
    return folder


def place_version(folder: Path, target: Path | Workspace, name: str, blobs: BlobStore) -> DatasetVersion:
    """Note where a complete version's blobs lie, rename its folder to where it belongs, and open it.

    A Workspace that holds the same id already keeps its own while that is whole. Raises: Conflict when a plain `target` exists.
    """
    manifest = read_manifest(folder, DatasetVersionManifest)
    write_location(folder, blobs)
    if isinstance(target, Workspace):
        final = shelve(folder, target, "datasets", manifest, name)
        write_location(final, blobs)  # what lay there already may name another place
    else:
        final = target
        put_folder(folder, final)
    return DatasetVersion(final, manifest, blobs)


def write_location(folder: Path, blobs: BlobStore) -> None:
    """Write `location.json`: a relative path for blobs in a local folder, so that a workspace can be moved as a whole.

    Links on the way are resolved, or the path would lead up from one place and down in another; not one that stands for the
    blobs themselves, which may be changed to follow them.
    """
    where = blobs.url
    if blobs.local_folder is not None:
        place = blobs.local_folder.parent.resolve() / blobs.local_folder.name
        where = Path(os.path.relpath(place, folder.resolve())).as_posix()
    write_file_atomic(folder / LOCATION_NAME, msgspec.json.encode(BlobLocation(blobs=where)))


def _read_location(folder: Path) -> str:
    path = folder / LOCATION_NAME
    if not path.is_file():
        raise NotFound(f"{folder} has no {LOCATION_NAME} that tells where its pictures lie; pass the blob store")
    try:
        where = msgspec.json.decode(path.read_bytes(), type=BlobLocation).blobs
    except msgspec.DecodeError as error:
        raise InvalidInput(f'{path} should hold {{"blobs": "path or URL"}}: {error}; write it again') from error
    return where if "://" in where else str((folder.resolve() / where).resolve())
