"""Datasets: a frozen version and the journal of edits made on it since."""

from collections.abc import Sequence

from sightline.core.progress import OnProgress, ignore_progress
from sightline.core.workspace import Workspace
from sightline.data.editing import ItemState, Operation
from sightline.data.versions import DatasetVersion
from sightline.store.database import Database
from sightline.store.records import (
    Category,
    DatasetSummary,
    ItemPage,
    ItemRow,
    JournalEntry,
    LabelledItem,
    StaleRevision,
)

__all__ = [
    "Category",
    "Dataset",
    "DatasetStore",
    "DatasetSummary",
    "ItemPage",
    "ItemRow",
    "JournalEntry",
    "LabelledItem",
    "StaleRevision",
]


class Dataset:
    """A named collection of pictures whose labels are being edited; `DatasetStore.open` gives one.

    Every method may be called from any thread, and waits for the disk.

    Attributes:
        name: its name in the workspace.
    """

    name: str

    @property
    def version(self) -> DatasetVersion:
        """The frozen version that edits are made on now."""
        raise NotImplementedError

    @property
    def categories(self) -> list[Category]:
        """In order: the place in the list gives the colour."""
        raise NotImplementedError

    def summarise(self) -> DatasetSummary:
        """What it holds now."""
        raise NotImplementedError

    def list_items(
        self,
        *,
        state: ItemState | None = None,
        category: str | None = None,
        split: str | None = None,
        search: str | None = None,
        cursor: int = 0,
        limit: int = 100,
    ) -> ItemPage:
        """Pictures in order that fit all filters.

        Args:
            state: "labelled", "proposed" or "unlabelled".
            category: name of a category of which they have an annotation.
            split: name of a split; "unsplit" for those without one.
            search: text that their file names contain, whatever its case.
            cursor: position to begin at: 0, or a page's `next_cursor`.
            limit: pictures in a page, 1..1000.

        Raises: NotFound for an unknown category or split; InvalidInput.
        """
        raise NotImplementedError

    def read_item(self, position: int) -> LabelledItem:
        """A picture's present labels. Raises: NotFound."""
        raise NotImplementedError

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
        raise NotImplementedError

    def read_history(self, position: int) -> list[JournalEntry]:
        """All edits of a picture, the first one first. Raises: NotFound."""
        raise NotImplementedError

    def restore(self, position: int, revision: int, edit_id: str, author: str, *, blob: str | None = None) -> LabelledItem:
        """Append an edit that brings back the labels of an earlier revision (0: before all edits).

        Raises: NotFound for a revision that was not, or whose version is no longer there; Conflict.
        """
        raise NotImplementedError

    def add_category(self, name: str, author: str) -> list[Category]:
        """Add a category at the end. Raises: Conflict when there is one of that name; InvalidInput."""
        raise NotImplementedError

    def rename_category(self, category_id: int, name: str, author: str) -> list[Category]:
        """Rename a category, in all pictures. Raises: Conflict when there is another of that name; NotFound; InvalidInput."""
        raise NotImplementedError

    def remove_category(self, category_id: int, author: str) -> list[Category]:
        """Remove a category. Raises: Conflict while an annotation has it; NotFound."""
        raise NotImplementedError

    def freeze(self, author: str, on_progress: OnProgress = ignore_progress) -> DatasetVersion:
        """Write the present labels as a new version, on which edits are made from then on.

        Edits that come meanwhile are kept for the next one. Raises: Conflict when nothing was edited, or it is being frozen.
        """
        raise NotImplementedError

    def read_picture(self, position: int) -> bytes:
        """The picture's file as it was imported, verified. Raises: NotFound, CorruptFile."""
        raise NotImplementedError


class DatasetStore:
    """The Datasets of a workspace. One serves all threads of a process.

    Args:
        workspace: where versions lie.
        database: that holds the journal, `open_database(workspace.root / "sightline.db")`.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self.database = workspace, database

    def names(self) -> list[str]:
        """Names of the workspace's Datasets, sorted."""
        return self.workspace.names("datasets")

    def open(self, name: str) -> Dataset:
        """The Dataset of a name; it follows to a version that was made outside while nothing of its own is unfrozen.

        Raises: NotFound.
        """
        raise NotImplementedError
