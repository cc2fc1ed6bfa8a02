"""What the store answers: a Dataset's pictures, labels and history as plain records, and the error that carries one."""

import msgspec

from sightline.core.errors import Conflict
from sightline.data.editing import ItemState, Label
from sightline.data.items import Viewer
from sightline.data.versions import DatasetVersion


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A category of a Dataset; its id stays the same when it is renamed. The place in the list gives its colour."""

    id: int
    name: str


class ItemRow(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in a list.

    Attributes:
        position: place in the Dataset, from 0.
        file_name: unique within the Dataset.
        width, height: of the upright picture, pixels.
        split: None for a picture without one.
        revision: how many edits it ever had.
        blob: SHA-256 of the picture's file.
        source_video, frame_pts: of a frame, as `Item` has them.
    """

    position: int
    file_name: str
    width: int
    height: int
    split: str | None
    state: ItemState
    annotation_count: int
    revision: int
    blob: str
    source_video: str | None
    frame_pts: int | None


class ItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the pictures that fit a filter.

    Attributes:
        next_cursor: where the next page begins; None at the end.
        total: how many fit the filter in all.
    """

    items: tuple[ItemRow, ...]
    next_cursor: int | None
    total: int


class LabelledItem(ItemRow, frozen=True, kw_only=True):
    """A picture with its labels, as one revision has them.

    Attributes:
        labels: in order; later ones lie above earlier ones.
        seen_by: who looked at it, where its annotations do not tell, as `Item` has it.
        attributes: further facts of the picture, text to text.
    """

    labels: tuple[Label, ...]
    seen_by: Viewer | None
    attributes: dict[str, str]


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One edit in a picture's history.

    Attributes:
        revision: the picture's revision that this edit made; the first edit made 1.
        made_at: UTC, ISO 8601.
        summary: what it did, in one line.
    """

    revision: int
    edit_id: str
    author: str
    made_at: str
    summary: str


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a Dataset holds now, edits included.

    Attributes:
        base_id: id of the frozen version that the edits are made on.
        states: pictures per state; all three are there.
        splits: pictures per split, in the order of use; those without one under "unsplit".
        annotation_counts: annotations per category name, in the order of the categories.
        unfrozen_edits: edits of pictures and categories that no version has yet.
        newer_version: id of a version that was made outside meanwhile, which the Dataset doesn't follow because of them.
    """

    name: str
    base_id: str
    item_count: int
    states: dict[ItemState, int]
    splits: dict[str, int]
    annotation_counts: dict[str, int]
    categories: tuple[Category, ...]
    unfrozen_edits: int
    newer_version: str | None


class Revised(msgspec.Struct, frozen=True, kw_only=True):
    """What a revision made of a Dataset.

    Attributes:
        version: the new one; the present one where nothing changed.
        added, removed, moved: how many pictures came, went, and changed their split. Those that came are the last ones.
    """

    version: DatasetVersion
    added: int = 0
    removed: int = 0
    moved: int = 0


class StaleRevision(Conflict):
    """An edit was made on a revision of a picture that is not its present one.

    Args:
        message: one line fit for a user.
        present: the picture as it is now.
    """

    def __init__(self, message: str, present: LabelledItem) -> None:
        super().__init__(message)
        self.present = present
