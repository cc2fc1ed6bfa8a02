"""Freezing: the present labels become a DatasetVersion, on which edits are made from then on.

The one idea: what is frozen is fixed by two numbers, those of the last edits that go in, so edits may come meanwhile and wait
for the next freeze. The version's id is noted in the database before the version can be seen on the shelf. So what a process
that died had begun can be finished or undone by whoever comes next: the version is there, then it is the base; or it is not,
then nothing happened.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from sightline.core.errors import Conflict
from sightline.core.folder_lock import LOCK_NAME, lock_folder
from sightline.core.folders import MANIFEST_NAME, explain_disk_errors, sync_path
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.core.workspace import Workspace
from sightline.data.items import Item
from sightline.data.truth import note_viewer
from sightline.data.versions import DatasetVersion, VersionWriter, place_version
from sightline.store.bases import (
    Base,
    Freeze,
    begin_freeze,
    drop_freeze,
    finish_freeze,
    name_frozen,
    open_base,
    read_base,
    read_counters,
    read_freeze,
    read_label_ids,
    write_label_ids,
)
from sightline.store.categories import CategoryTable, read_categories, translate_annotation, translate_state
from sightline.store.database import Database
from sightline.store.folding import fold_item
from sightline.store.journal import read_edited_names

FREEZING_NAME = ".freezing"  # beside the versions of a name
PROGRESS_EVERY = 500


def hold_freezing(workspace: Workspace, name: str) -> AbstractContextManager[None]:
    """The lock of the one freeze at a time. Raises: Conflict while another holds it."""
    return lock_folder(_find_folder(workspace, name), f"{name!r} is being frozen now; wait for it and try again")


def recover_freeze(connection: Connection, workspace: Workspace, dataset_id: int, name: str) -> None:
    """Finish or undo what a freeze left that ended early. Call while holding the lock of freezing."""
    freeze = read_freeze(connection, dataset_id)
    if freeze is not None:
        place = None if freeze.version_id is None else workspace.place("datasets", name, freeze.version_id)
        if place is not None and freeze.version_id is not None and (place / MANIFEST_NAME).is_file():
            workspace.set_latest(place)
            sync_path(place.parent)
            finish_freeze(connection, dataset_id, freeze, freeze.version_id)
        else:
            drop_freeze(connection, dataset_id)
    for path in _find_folder(workspace, name).iterdir():
        if path.name != LOCK_NAME:
            shutil.rmtree(path, ignore_errors=True)


def freeze_dataset(
    database: Database, workspace: Workspace, dataset_id: int, name: str, author: str, on_progress: OnProgress
) -> DatasetVersion:
    """Write the version and make it the base. Raises: Conflict when nothing was edited, or it is being frozen."""
    with hold_freezing(workspace, name):
        with database.write() as connection:
            recover_freeze(connection, workspace, dataset_id, name)
        with database.write() as connection:
            base, freeze, categories = _begin(connection, dataset_id, name, author)
        try:
            with explain_disk_errors(_find_folder(workspace, name).parent):
                version = open_base(workspace, name, base)
                writing = _Writing(database, dataset_id, base, freeze, categories, version)
                written = writing.write(_find_folder(workspace, name) / "version", name, on_progress)
                with database.write() as connection:
                    name_frozen(connection, dataset_id, written.id)
                    write_label_ids(connection, dataset_id, base.number + 1, writing.label_ids)
                placed = place_version(written.folder, workspace, name, version.blobs)
                # Or a power cut could undo the rename, and the database would count edits as frozen that are nowhere.
                sync_path(placed.folder.parent)
        except BaseException:
            with database.write() as connection:
                recover_freeze(connection, workspace, dataset_id, name)
            raise
        with database.write() as connection:
            finish_freeze(connection, dataset_id, freeze, placed.id)
        return placed


def _find_folder(workspace: Workspace, name: str) -> Path:
    return workspace.root / "datasets" / name / FREEZING_NAME


def _begin(connection: Connection, dataset_id: int, name: str, author: str) -> tuple[Base, Freeze, CategoryTable]:
    """What is to be frozen: noted, so that others see that it is being done."""
    counters = read_counters(connection, dataset_id)
    base = read_base(connection, dataset_id, counters.base_number)
    if counters.edit_count == base.through and counters.category_edit_count == base.category_through:
        raise Conflict(f"expected edits of {name!r} since its version {base.version_id[:16]}, got none; label something first")
    categories = read_categories(connection, dataset_id)
    freeze = Freeze(
        through=counters.edit_count,
        category_through=counters.category_edit_count,
        version_id=None,
        category_ids=categories.ids,
        author=author,
    )
    begin_freeze(connection, dataset_id, freeze)
    return base, freeze, categories


class _Writing:
    """Streams the base's items, edited ones folded, into a new version. Attributes: label_ids: of annotations, by file name."""

    def __init__(
        self,
        database: Database,
        dataset_id: int,
        base: Base,
        freeze: Freeze,
        categories: CategoryTable,
        version: DatasetVersion,
    ) -> None:
        self._database, self._dataset_id = database, dataset_id
        self._base, self._freeze, self._categories, self._version = base, freeze, categories, version
        self._to_ids = base.name_categories(version)
        self.label_ids: dict[str, list[str]] = {}

    def write(self, target: Path, name: str, on_progress: OnProgress) -> DatasetVersion:
        """Write the version as the folder `target`."""
        manifest = self._version.manifest
        with VersionWriter(
            target,
            name,
            self._categories.names,
            self._version.blobs,
            unlabelled_pixels=manifest.unlabelled_pixels,
            source={"made_by": "label", "parents": [self._version.id]},
            seed=manifest.seed,
        ) as writer:
            for done, item in enumerate(self._fold_items(), 1):
                writer.add(item)
                if done % PROGRESS_EVERY == 0 or done == manifest.item_count:
                    on_progress(ProgressEvent(stage="freezing", progress=done / manifest.item_count))
            return writer.close()

    def _fold_items(self) -> Iterator[Item]:
        with self._database.read() as connection:
            edited = read_edited_names(connection, self._dataset_id, self._base.through, self._freeze.through)
        to_names = self._categories.to_names
        renamed = {old: to_names[one] for old, one in self._to_ids.items() if one in to_names and to_names[one] != old}
        for item in self._version.items():
            if item.file_name in edited:
                yield self._fold(item)
            elif any(annotation.category in renamed for annotation in item.annotations):
                words = {one.category: renamed.get(one.category, one.category) for one in item.annotations}
                annotations = tuple(translate_annotation(annotation, words) for annotation in item.annotations)
                yield msgspec.structs.replace(item, annotations=annotations)
            else:
                yield item

    def _fold(self, item: Item) -> Item:
        with self._database.read() as connection:
            state = fold_item(connection, self._dataset_id, self._base, self._to_ids, item, self._freeze.through)
            earlier = read_label_ids(connection, self._dataset_id, self._base, item.file_name)
        ids = [label.id for label in state.labels]
        if earlier is not None or ids != self._base.number_labels(len(ids)):
            self.label_ids[item.file_name] = ids
        annotations = translate_state(state, self._categories.to_names).annotations
        return msgspec.structs.replace(item, annotations=annotations, seen_by=note_viewer(state.viewer, annotations))
