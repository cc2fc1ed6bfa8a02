"""Freezing: the present labels become a DatasetVersion, on which edits are made from then on; pictures may come and go with it.

The one idea: what is frozen is fixed by two numbers, those of the last edits that go in, so edits may come meanwhile and wait
for the next freeze. Only categories may not change while others come with added pictures: both could take the same name. The
version's id is noted in the database before the version can be seen on the shelf. So what a process that died had begun can be
finished or undone by whoever comes next: the version is there, then it is the base; or it is not, then nothing happened.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from sightline.core.errors import Conflict
from sightline.core.folder_lock import LOCK_NAME, lock_folder
from sightline.core.folders import MANIFEST_NAME, explain_disk_errors, sync_path
from sightline.core.progress import OnProgress, ProgressEvent
from sightline.core.workspace import Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.items import Item
from sightline.data.truth import note_viewer
from sightline.data.versions import DatasetVersion, VersionWriter, open_version, place_version
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
    read_named_labels,
    write_label_ids,
)
from sightline.store.categories import CategoryTable, find_newest_id, read_categories, translate_annotation, translate_state
from sightline.store.database import Database
from sightline.store.folding import fold_item
from sightline.store.journal import read_edited_names
from sightline.store.records import Revised
from sightline.store.revising import ItemChanges, Revision

FREEZING_NAME = ".freezing"  # beside the versions of a name
PROGRESS_EVERY = 500
WAIT_S = 3600.0  # of changes of pictures for a freeze: what was uploaded or chosen should not have to be once more
LOOK_AGAIN_S = 0.05


@contextmanager
def hold_freezing(workspace: Workspace, name: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of the one freeze at a time. Raises: Conflict while another holds it, for longer than `wait_s`."""
    until = time.monotonic() + wait_s
    with ExitStack() as held:
        while True:
            refusal = f"{name!r} is being frozen now; wait for it and try again"
            try:
                held.enter_context(lock_folder(_find_folder(workspace, name), refusal))
                break
            except Conflict:
                if time.monotonic() >= until:
                    raise
            time.sleep(LOOK_AGAIN_S)
        yield


def recover_freeze(connection: Connection, workspace: Workspace, dataset_id: int, name: str) -> None:
    """Finish or undo what a freeze left that ended early. Call while holding the lock of freezing."""
    freeze = read_freeze(connection, dataset_id)
    if freeze is not None:
        place = None if freeze.version_id is None else workspace.place("datasets", name, freeze.version_id)
        if place is not None and freeze.version_id is not None and (place / MANIFEST_NAME).is_file():
            workspace.set_latest(place)
            sync_path(place.parent)
            finish_freeze(connection, dataset_id, freeze, open_version(place))
        else:
            drop_freeze(connection, dataset_id)
    for path in _find_folder(workspace, name).iterdir():
        if path.name != LOCK_NAME:
            shutil.rmtree(path, ignore_errors=True)


def freeze_dataset(
    database: Database,
    workspace: Workspace,
    dataset_id: int,
    name: str,
    author: str,
    on_progress: OnProgress,
    changes: ItemChanges | None = None,
    report: ConversionReport | None = None,
) -> Revised | None:
    """Write the version and make it the base.

    Args:
        changes: of the pictures; None: only labels were edited.
        report: told what becomes of pictures that are added.

    Returns: None when the changes change nothing.

    Raises: Conflict when nothing was edited, or it is being frozen; for pictures that are others by now. NotFound.
    """
    workspace.find("datasets", name)  # or the lock would make the folder anew of one that was removed
    with hold_freezing(workspace, name, 0.0 if changes is None else WAIT_S):
        with database.write() as connection:
            recover_freeze(connection, workspace, dataset_id, name)
        with database.read() as connection:
            base = read_base(connection, dataset_id, read_counters(connection, dataset_id).base_number)
        version = open_base(workspace, name, base)
        revision = None if changes is None else Revision(version, changes, report or ConversionReport())
        if revision is not None and revision.is_empty:
            return None
        with database.write() as connection:
            freeze, categories = _begin(connection, dataset_id, name, base, revision, author)
        try:
            with explain_disk_errors(_find_folder(workspace, name).parent):
                writing = _Writing(database, dataset_id, base, freeze, categories, version, revision)
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
            finish_freeze(connection, dataset_id, freeze, placed)
        return Revised(version=placed, **({} if revision is None else revision.count()))


def _find_folder(workspace: Workspace, name: str) -> Path:
    return workspace.root / "datasets" / name / FREEZING_NAME


def _begin(
    connection: Connection, dataset_id: int, name: str, base: Base, revision: Revision | None, author: str
) -> tuple[Freeze, CategoryTable]:
    """What is to be frozen: noted, so that others see that it is being done; and the categories that it shall have."""
    counters = read_counters(connection, dataset_id)
    if counters.base_number != base.number:
        raise Conflict(f"{name!r} was imported anew just now, and nothing was changed; look at it and try again")
    if revision is None and (counters.edit_count, counters.category_edit_count) == (base.through, base.category_through):
        raise Conflict(f"expected edits of {name!r} since its version {base.version_id[:16]}, got none; label something first")
    categories, newest_id = read_categories(connection, dataset_id), find_newest_id(connection, dataset_id)
    for category in () if revision is None else revision.new_categories:
        if category not in categories.names:
            newest_id += 1
            categories = categories.change("add", newest_id, category)
    freeze = Freeze(
        through=counters.edit_count,
        category_through=counters.category_edit_count,
        version_id=None,
        category_ids=categories.ids,
        author=author,
    )
    begin_freeze(connection, dataset_id, freeze)
    return freeze, categories


class _Writing:
    """Streams the base's items, edited ones folded, and those that are added into a new version.

    Attributes: label_ids: of annotations, by file name.
    """

    def __init__(
        self,
        database: Database,
        dataset_id: int,
        base: Base,
        freeze: Freeze,
        categories: CategoryTable,
        version: DatasetVersion,
        revision: Revision | None,
    ) -> None:
        self._database, self._dataset_id, self._revision = database, dataset_id, revision
        self._base, self._freeze, self._categories, self._version = base, freeze, categories, version
        self._to_ids = base.name_categories(version)
        self.label_ids: dict[str, list[str]] = {}

    def write(self, target: Path, name: str, on_progress: OnProgress) -> DatasetVersion:
        """Write the version as the folder `target`."""
        manifest, revision = self._version.manifest, self._revision
        item_count = manifest.item_count if revision is None else revision.item_count
        with VersionWriter(
            target,
            name,
            self._categories.names,
            self._version.blobs,
            unlabelled_pixels=manifest.unlabelled_pixels,
            source={"made_by": "label", "parents": [self._version.id]} | ({} if revision is None else revision.describe()),
            seed=manifest.seed,
        ) as writer:
            for done, item in enumerate(chain(self._fold_items(), self._add_items()), 1):
                writer.add(item)
                if done % PROGRESS_EVERY == 0 or done == item_count:
                    on_progress(ProgressEvent(stage="freezing", progress=done / item_count))
            return writer.close()

    def _fold_items(self) -> Iterator[Item]:
        with self._database.read() as connection:
            edited = read_edited_names(connection, self._dataset_id, self._base.through, self._freeze.through)
        to_names = self._categories.to_names
        renamed = {old: to_names[one] for old, one in self._to_ids.items() if one in to_names and to_names[one] != old}
        for item in self._stay():
            if item.file_name in edited:
                yield self._fold(item)
            elif any(annotation.category in renamed for annotation in item.annotations):
                words = {one.category: renamed.get(one.category, one.category) for one in item.annotations}
                annotations = tuple(translate_annotation(annotation, words) for annotation in item.annotations)
                yield msgspec.structs.replace(item, annotations=annotations)
            else:
                yield item

    def _stay(self) -> Iterator[Item]:
        """The base's items that stay, in the splits that they shall have."""
        if self._revision is None:
            yield from self._version.items()
            return
        for position, item in enumerate(self._version.items()):
            changed = self._revision.change(position, item)
            if changed is not None:
                yield changed

    def _add_items(self) -> Iterator[Item]:
        """What is added. A picture that was removed may have had the same name: its labels' ids are not those of this one."""
        if self._revision is None:
            return
        with self._database.read() as connection:
            named = read_named_labels(connection, self._dataset_id, self._base)
        for item in self._revision.items():
            if item.file_name in named:
                self.label_ids[item.file_name] = self._base.number_labels(len(item.annotations))
            yield item

    def _fold(self, item: Item) -> Item:
        with self._database.read() as connection:
            state = fold_item(connection, self._dataset_id, self._base, self._to_ids, item, self._freeze.through)
            earlier = read_label_ids(connection, self._dataset_id, self._base, item.file_name)
        ids = [label.id for label in state.labels]
        if earlier is not None or ids != self._base.number_labels(len(ids)):
            self.label_ids[item.file_name] = ids
        annotations = translate_state(state, self._categories.to_names).annotations
        seen_by = note_viewer(state.viewer, annotations)
        return msgspec.structs.replace(item, annotations=annotations, seen_by=seen_by, attributes=state.attributes)
