"""Datasets: a frozen version and the journal of edits made on it since.

The one idea: a picture's labels are a fold, and the journal is the only thing that an edit writes for good. An edit is judged
before its transaction begins; within it only its revision is looked at once more. Of two edits made on the same revision, by
threads or processes, one is written and the other gets `StaleRevision` with what is there now.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from threading import Lock, RLock

from msgspec.structs import replace
from sqlalchemy import Connection

from sightline.core.errors import Conflict, InvalidInput
from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.workspace import Workspace, check_name
from sightline.data.conversion import SURROGATES, ConversionReport
from sightline.data.editing import (
    ItemState,
    LabelState,
    Operation,
    apply_operations,
    check_operations,
    describe_operations,
    find_changes,
)
from sightline.data.item_index import Frames
from sightline.data.versions import DatasetVersion, open_version
from sightline.store.adopting import adopt_version, is_version, read_newest
from sightline.store.bases import read_freeze, read_named_labels, write_counters
from sightline.store.categories import (
    Kind,
    append_category_edits,
    find_newest_id,
    translate_operations,
    translate_state,
)
from sightline.store.database import Database
from sightline.store.folding import fold_item
from sightline.store.freezing import freeze_dataset
from sightline.store.journal import Edit, Head, append_edit, find_edit, make_head, read_history, write_head
from sightline.store.kept_states import KeptStates
from sightline.store.labelled_items import make_item, make_untouched
from sightline.store.opening import find_or_add_dataset, load_present, recover_dataset
from sightline.store.present import Present
from sightline.store.records import (
    Category,
    DatasetSummary,
    ItemPage,
    ItemRow,
    JournalEntry,
    LabelledItem,
    Revised,
    StaleRevision,
)
from sightline.store.restoring import read_earlier_state
from sightline.store.revising import ItemChanges

__all__ = [
    "Category",
    "Dataset",
    "DatasetStore",
    "DatasetSummary",
    "ItemChanges",
    "ItemPage",
    "ItemRow",
    "JournalEntry",
    "LabelledItem",
    "Revised",
    "StaleRevision",
    "check_author",
]

EDIT_ID = re.compile(r"[A-Za-z0-9_-]{10,64}")
MAX_AUTHOR_LENGTH = 200
MAX_PAGE = 1000


class Dataset:
    """A named collection of pictures whose labels are being edited; `DatasetStore.open` gives one.

    Every method may be called from any thread, and waits for the disk.

    Attributes:
        name: its name in the workspace.
        workspace: where its versions lie.
    """

    def __init__(self, name: str, workspace: Workspace, database: Database) -> None:
        self.name, self.workspace, self._database = name, workspace, database
        self._lock = RLock()
        self._kept = KeptStates()
        self._newer_version: str | None = None
        self._id = find_or_add_dataset(database, workspace, name)
        recover_dataset(database, workspace, self._id, name)
        self._present = load_present(database, workspace, self._id, name)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.version.id[:12]})"

    @property
    def version(self) -> DatasetVersion:
        """The frozen version that edits are made on now."""
        return self._present.version

    @property
    def categories(self) -> list[Category]:
        """In order: the place in the list gives the colour."""
        with self._lock, self._database.read() as connection:
            return self._catch_up(connection).categories.list()

    def summarise(self) -> DatasetSummary:
        """What it holds now."""
        with self._lock, self._database.read() as connection:
            return self._catch_up(connection).summarise(self._newer_version)

    def list_items(
        self,
        *,
        state: ItemState | None = None,
        category: str | None = None,
        split: str | None = None,
        search: str | None = None,
        video: str | None = None,
        cursor: int = 0,
        limit: int = 100,
    ) -> ItemPage:
        """Pictures in order that fit all filters.

        Args:
            state: "labelled", "proposed" or "unlabelled".
            category: name of a category of which they have an annotation.
            split: name of a split; "unsplit" for those without one.
            search: text that their file names contain, whatever its case.
            video: name of a video of which they are frames.
            cursor: position to begin at: 0, or a page's `next_cursor`.
            limit: pictures in a page, 1..1000.

        Raises: NotFound for an unknown category, split or video; InvalidInput.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"expected a `limit` of 1 to {MAX_PAGE} pictures, got {limit}; ask for fewer")
        with self._lock, self._database.read() as connection:
            present = self._catch_up(connection)
            positions = present.find(state, category, split, search, video)
            rest = positions[positions >= cursor]
            items = tuple(present.make_row(position) for position in rest[:limit].tolist())
        following = items[-1].position + 1 if len(rest) > limit else None
        return ItemPage(items=items, next_cursor=following, total=len(positions))

    def read_item(self, position: int) -> LabelledItem:
        """A picture's present labels. Raises: NotFound."""
        with self._lock, self._database.read() as connection:
            self._catch_up(connection)
            return self._read(connection, position)

    def read_items(self, positions: Sequence[int]) -> list[LabelledItem]:
        """The present labels of many pictures at one moment. The database is asked only of those that were ever edited.

        Raises: NotFound.
        """
        with self._lock, self._database.read() as connection:
            present = self._catch_up(connection)
            named = read_named_labels(connection, self._id, present.base)
            return [make_untouched(present, one, named) or self._read(connection, one) for one in positions]

    def append_edit(
        self,
        position: int,
        edit_id: str,
        revision: int,
        operations: Sequence[Operation],
        author: str,
        *,
        blob: str | None = None,
    ) -> LabelledItem:
        """Write an edit; when this returns, it is on the disk. The same edit id twice is written once.

        Args:
            edit_id: the client's random name of the edit, 10 to 64 characters of A-Z, a-z, 0-9, "-" and "_".
            revision: that the edit was made on.
            operations: at least one.
            author: who made it.
            blob: of the picture that the client shows; another one at this position is refused.

        Returns: the picture as it is then.

        Raises: StaleRevision when the picture has another revision by now; InvalidInput for operations that cannot be;
            Conflict when another picture has this position by now; NotFound.
        """
        _check_edit_id(edit_id)
        check_author(author)
        if not operations:
            raise InvalidInput("expected at least one operation, got none; send what was changed")
        with self._lock, self._database.read() as connection:
            present = self._catch_up(connection)
            if (done := self._find_done(connection, position, edit_id, blob)) is not None:
                return done
            self._check_revision(connection, position, revision)
            row, names = present.make_row(position), present.categories.names
        checked = check_operations(operations, row.width, row.height, names)
        with self._lock:
            with self._database.write() as connection:
                present = self._catch_up(connection)
                if (done := self._find_done(connection, position, edit_id, row.blob)) is not None:
                    return done
                self._check_revision(connection, position, revision)
                if present.categories.names != names:
                    checked = check_operations(operations, row.width, row.height, present.categories.names)
                before = self._fold(connection, position)
                summary = describe_operations(checked, translate_state(before, present.categories.to_names))
                stored = translate_operations(checked, present.categories.to_ids)
                head, after = self._append(connection, position, edit_id, before, stored, summary, author)
            return self._note_edit(position, head, after)

    def read_history(self, position: int) -> list[JournalEntry]:
        """All edits of a picture, the first one first. Raises: NotFound."""
        with self._lock, self._database.read() as connection:
            present = self._catch_up(connection)
            file_name = present.index.file_names[present.check_position(position)].as_py()
            return read_history(connection, self._id, file_name)

    def restore(self, position: int, revision: int, edit_id: str, author: str, *, blob: str | None = None) -> LabelledItem:
        """Append an edit that brings back the labels of an earlier revision (0: before all edits).

        Raises: NotFound for a revision that was not, or whose version is no longer there; Conflict.
        """
        _check_edit_id(edit_id)
        check_author(author)
        with self._lock:
            with self._database.write() as connection:
                present = self._catch_up(connection)
                if (done := self._find_done(connection, position, edit_id, blob)) is not None:
                    return done
                wanted = read_earlier_state(connection, self.workspace, self._id, present, position, revision)
                before = self._fold(connection, position)
                changes, summary = find_changes(before, wanted), f"brought back revision {revision}"
                head, after = self._append(connection, position, edit_id, before, changes, summary, author)
            return self._note_edit(position, head, after)

    def add_category(self, name: str, author: str) -> list[Category]:
        """Add a category at the end. Raises: Conflict when there is one of that name; InvalidInput."""
        return self._change_categories("add", None, name, author)

    def rename_category(self, category_id: int, name: str, author: str) -> list[Category]:
        """Rename a category, in all pictures. Raises: Conflict when there is another of that name; NotFound; InvalidInput."""
        return self._change_categories("rename", category_id, name, author)

    def remove_category(self, category_id: int, author: str) -> list[Category]:
        """Remove a category. Raises: Conflict while an annotation has it; NotFound."""
        return self._change_categories("remove", category_id, None, author)

    def freeze(self, author: str, on_progress: OnProgress = ignore_progress) -> DatasetVersion:
        """Write the present labels as a new version, on which edits are made from then on.

        Edits that come meanwhile are kept for the next one. Raises: Conflict when nothing was edited, or it is being frozen.
        """
        check_author(author)
        freeze_dataset(self._database, self.workspace, self._id, self.name, author, on_progress)
        with self._lock, self._database.read() as connection:
            self._newer_version = None
            return self._catch_up(connection).version

    def revise(
        self,
        changes: ItemChanges,
        author: str,
        report: ConversionReport | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> Revised:
        """Add, remove or move pictures: a freeze, edits included, in which they come, go, or are in another split.

        Waits for a freeze that runs. Where nothing changes, nothing is written.

        Args: report: of the import of what is added; told what becomes of those pictures.

        Raises: Conflict when a picture is another by now, or none would be left; InvalidInput for a category's name that is
            none here.
        """
        check_author(author)
        frozen = freeze_dataset(self._database, self.workspace, self._id, self.name, author, on_progress, changes, report)
        with self._lock, self._database.read() as connection:
            present = self._catch_up(connection)
            if frozen is None:
                return Revised(version=present.version)
            self._newer_version = None
            return frozen

    def find_picture(self, position: int) -> ItemRow:
        """A picture's facts without its labels; waits for nobody who reads or writes these. Raises: NotFound."""
        present = self._present
        return present.make_row(present.check_position(position))

    def find_frames(self, position: int) -> Frames | None:
        """The frames of a picture's video, in the order of their times; None for a picture of no video. Raises: NotFound."""
        present = self._present
        return present.index.find_frames(present.check_position(position))

    def count_frames(self) -> dict[str, int]:
        """The videos whose frames these are, each with how many there are."""
        return self._present.index.count_frames()

    def read_picture(self, position: int) -> bytes:
        """The picture's file as it was imported, verified. Raises: NotFound, CorruptFile."""
        present = self._present
        return present.version.blobs.read(present.index.read_blob(present.check_position(position)))

    def follow(self) -> None:
        """Look whether a version was made outside: follow to it, or note it while edits of our own are not frozen.

        Raises: NotFound when the workspace has no version of this name any more.
        """
        with self._lock:
            with self._database.read() as connection:
                present = self._catch_up(connection)
                is_freezing = read_freeze(connection, self._id) is not None
            if is_freezing and not recover_dataset(self._database, self.workspace, self._id, self.name):
                return
            newest = read_newest(self.workspace, self.name)
            if not is_freezing and self._knows(newest, present):
                return
            with self._database.write() as connection:
                present = self._catch_up(connection)
                # Looked at once more: a freeze makes its version the newest, and then the base, in this order.
                newest = read_newest(self.workspace, self.name)
                if read_freeze(connection, self._id) is not None or self._knows(newest, present):
                    return
                if present.count_unfrozen():
                    self._newer_version = open_version(newest).id
                    return
                adopt_version(connection, self._id, newest)
            self._newer_version = None
            self._kept.clear()
            self._present = load_present(self._database, self.workspace, self._id, self.name)

    def _knows(self, newest: Path, present: Present) -> bool:
        """Whether the newest version is the base, or one that was seen and that unfrozen edits keep us from."""
        if is_version(newest, present.base.version_id):
            self._newer_version = None
            return True
        return is_version(newest, self._newer_version) and present.count_unfrozen() > 0

    def _catch_up(self, connection: Connection) -> Present:
        """The present, with what other processes wrote until this transaction began."""
        if not self._present.catch_up(connection):
            self._present = Present(connection, self.workspace, self._id, self.name)
            self._kept.clear()
        return self._present

    def _fold(self, connection: Connection, position: int) -> LabelState:
        """A picture's present labels, with ids for categories."""
        present = self._present
        revision = int(present.revisions[present.check_position(position)])
        state = self._kept.find(position, revision)
        if state is None:
            item = present.index.read_item(position)
            state = fold_item(connection, self._id, present.base, present.to_ids, item)
            self._kept.put(position, revision, state)
        return state

    def _read(self, connection: Connection, position: int) -> LabelledItem:
        state = self._fold(connection, position)
        return make_item(self._present.make_row(position), state, self._present.categories)

    def _find_done(self, connection: Connection, position: int, edit_id: str, blob: str | None) -> LabelledItem | None:
        """The picture as it is, when this edit was written before. Raises: Conflict when another picture was meant."""
        row = self._present.make_row(self._present.check_position(position))
        if blob is not None and blob != row.blob:
            raise Conflict(f"picture {position} of {self.name!r} is another by now ({row.file_name}); load the dataset again")
        file_name = find_edit(connection, self._id, edit_id)
        if file_name is None:
            return None
        if file_name != row.file_name:
            raise Conflict(f"the edit id {edit_id!r} was used for {file_name}; make a new one for {row.file_name}")
        return self._read(connection, position)

    def _check_revision(self, connection: Connection, position: int, revision: int) -> None:
        present = int(self._present.revisions[position])
        if revision != present:
            raise StaleRevision(
                f"the edit was made on revision {revision} of picture {position}, which is at {present} now; make it anew",
                self._read(connection, position),
            )

    def _append(
        self,
        connection: Connection,
        position: int,
        edit_id: str,
        before: LabelState,
        operations: Sequence[Operation],
        summary: str,
        author: str,
    ) -> tuple[Head, LabelState]:
        """Write an edit (with ids for categories) and its head. Returns: what `_note_edit` takes over after the commit."""
        present, row = self._present, self._present.make_row(position)
        after = apply_operations(before, operations)
        edit = Edit(
            dataset_id=self._id,
            number=present.counters.edit_count + 1,
            file_name=row.file_name,
            revision=row.revision + 1,
            edit_id=edit_id,
            author=author,
            summary=summary,
            operations=tuple(operations),
        )
        head = make_head(edit.file_name, edit.revision, edit.number, after)
        append_edit(connection, edit)
        write_head(connection, self._id, head)
        write_counters(connection, self._id, edit_count=edit.number)
        return head, after

    def _note_edit(self, position: int, head: Head, state: LabelState) -> LabelledItem:
        """Take over into memory what is committed."""
        present = self._present
        present.put_head(position, head)
        present.counters = replace(present.counters, edit_count=head.number)
        self._kept.put(position, head.revision, state)
        return make_item(present.make_row(position), state, present.categories)

    def _change_categories(self, kind: Kind, category_id: int | None, name: str | None, author: str) -> list[Category]:
        """Write an edit of the categories. Args: category_id: None for a new one; name: None: as it is."""
        check_author(author)
        with self._lock:
            with self._database.write() as connection:
                present, newest_id = self._catch_up(connection), find_newest_id(connection, self._id)
                freeze = read_freeze(connection, self._id)
                if freeze is not None and freeze.adds_categories(newest_id):
                    raise Conflict(f"pictures with new categories are being added to {self.name!r} now; wait for it, try again")
                if category_id is None:
                    category_id = newest_id + 1
                else:
                    name = present.categories.check_id(category_id) if name is None else name
                name = name or ""
                if kind == "rename" and present.categories.check_id(category_id) == name:
                    return present.categories.list()
                if kind == "remove" and (count := present.count_category(category_id)):
                    raise Conflict(f"{count} annotations are of {name!r}; change or remove them first")
                changed = present.categories.change(kind, category_id, name)
                edits = [(kind, category_id, name)]
                number = append_category_edits(connection, self._id, present.counters.category_edit_count, edits, author)
                write_counters(connection, self._id, category_edit_count=number)
            present.counters = replace(present.counters, category_edit_count=number)
            present.categories = changed
            return changed.list()


def _check_edit_id(edit_id: str) -> None:
    if not EDIT_ID.fullmatch(edit_id):
        raise InvalidInput(
            f"expected an edit id of 10 to 64 letters, digits, '-' or '_', got {edit_id!r}; make a random one for each edit"
        )


def check_author(author: str) -> None:
    """Raises: InvalidInput for a name that the journal cannot hold."""
    if len(author) > MAX_AUTHOR_LENGTH or SURROGATES.search(author):
        raise InvalidInput(
            f"expected an author's name of at most {MAX_AUTHOR_LENGTH} characters, got {author[:40]!r}; shorten it"
        )


class DatasetStore:
    """The Datasets of a workspace. One serves all threads of a process.

    Args:
        workspace: where versions lie.
        database: that holds the journal, `open_database(workspace.root / "sightline.db")`.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self.database = workspace, database
        self._opened: dict[str, Dataset] = {}
        self._opening: dict[str, Lock] = {}
        self._lock = Lock()

    def names(self) -> list[str]:
        """Names of the workspace's Datasets, sorted."""
        return self.workspace.names("datasets")

    def open(self, name: str) -> Dataset:
        """The Dataset of a name; it follows to a version that was made outside while nothing of its own is unfrozen.

        Raises: NotFound; Exhausted while the workspace is not where it was.
        """
        check_name(name)
        self.database.check_file()  # else a disk that is away for a moment would look like a dataset that was deleted
        with self._lock:
            opening = self._opening.setdefault(name, Lock())
        with opening:
            if name not in self._opened:
                self.workspace.find("datasets", name)
                self._opened[name] = Dataset(name, self.workspace, self.database)
            dataset = self._opened[name]
        dataset.follow()
        return dataset
