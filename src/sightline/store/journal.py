"""Edits of pictures, appended and read back, and `heads`, which tell lists of edited pictures without reading their edits."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from sightline.data.editing import ItemState, LabelState, Operation, name_state
from sightline.store.categories import tell_time
from sightline.store.records import JournalEntry
from sightline.store.tables import EDITS, HEADS

_OPERATIONS = msgspec.json.Decoder(list[Operation])


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """An edit as it goes into the journal.

    Attributes:
        number: among all edits of the Dataset, from 1.
        revision: of the picture, that it makes.
        operations: cleaned, with ids in the place of categories' names.
    """

    dataset_id: int
    number: int
    file_name: str
    revision: int
    edit_id: str
    author: str
    summary: str
    operations: tuple[Operation, ...]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What lists need of an edited picture.

    Attributes:
        number: of its last edit.
        category_counts: its annotations by category id.
    """

    file_name: str
    revision: int
    number: int
    state: ItemState
    category_counts: dict[int, int]


def make_head(file_name: str, revision: int, number: int, state: LabelState) -> Head:
    """The head of a picture whose last edit led to this state (with ids for categories)."""
    counts = Counter(int(annotation.category) for annotation in state.annotations)
    return Head(
        file_name=file_name, revision=revision, number=number, state=name_state(state.viewer), category_counts=dict(counts)
    )


def append_edit(connection: Connection, edit: Edit) -> None:
    """Write an edit. Raises: IntegrityError when its revision or its id is taken."""
    row = {name: getattr(edit, name) for name in edit.__struct_fields__}
    row |= {"operations": msgspec.json.encode(edit.operations).decode(), "made_at": tell_time()}
    connection.execute(insert(EDITS), row)


def find_edit(connection: Connection, dataset_id: int, edit_id: str) -> str | None:
    """File name of the picture that an edit was made on; None when there is no such edit."""
    return connection.scalar(select(EDITS.c.file_name).where(EDITS.c.dataset_id == dataset_id, EDITS.c.edit_id == edit_id))


def read_operations(
    connection: Connection, dataset_id: int, file_name: str, after: int, through: int | None = None
) -> Iterator[list[Operation]]:
    """The operations of a picture's edits whose numbers are above `after`, and at most `through`, in order."""
    statement = select(EDITS.c.operations).where(
        EDITS.c.dataset_id == dataset_id, EDITS.c.file_name == file_name, EDITS.c.number > after
    )
    if through is not None:
        statement = statement.where(EDITS.c.number <= through)
    for text in connection.scalars(statement.order_by(EDITS.c.revision)):
        yield _OPERATIONS.decode(text)


def find_number(connection: Connection, dataset_id: int, file_name: str, revision: int) -> int | None:
    """Number of the edit that made a revision; None when there is none."""
    return connection.scalar(
        select(EDITS.c.number).where(
            EDITS.c.dataset_id == dataset_id, EDITS.c.file_name == file_name, EDITS.c.revision == revision
        )
    )


def read_edited_names(connection: Connection, dataset_id: int, after: int, through: int) -> set[str]:
    """File names of the pictures that these edits were made on."""
    numbers = (EDITS.c.number > after, EDITS.c.number <= through)
    return set(connection.scalars(select(EDITS.c.file_name).where(EDITS.c.dataset_id == dataset_id, *numbers).distinct()))


def read_history(connection: Connection, dataset_id: int, file_name: str) -> list[JournalEntry]:
    """A picture's edits, the first one first."""
    columns = [EDITS.c[name] for name in JournalEntry.__struct_fields__]
    statement = select(*columns).where(EDITS.c.dataset_id == dataset_id, EDITS.c.file_name == file_name)
    return [JournalEntry(**row._mapping) for row in connection.execute(statement.order_by(EDITS.c.revision))]


def read_last_edits(connection: Connection, dataset_id: int) -> list[tuple[str, int, int]]:
    """File name, revision and number of the last edit of each picture that was ever edited."""
    statement = select(EDITS.c.file_name, EDITS.c.revision, EDITS.c.number).where(EDITS.c.dataset_id == dataset_id)
    last = {
        row.file_name: (row.file_name, row.revision, row.number) for row in connection.execute(statement.order_by("number"))
    }
    return list(last.values())


def write_head(connection: Connection, dataset_id: int, head: Head) -> None:
    """Put a head in the place of the picture's earlier one."""
    facts = {
        "revision": head.revision,
        "number": head.number,
        "state": head.state,
        "category_counts": msgspec.json.encode(head.category_counts).decode(),
    }
    key = {"dataset_id": dataset_id, "file_name": head.file_name}
    mine = (HEADS.c.dataset_id == dataset_id, HEADS.c.file_name == head.file_name)
    if not connection.execute(update(HEADS).where(*mine).values(facts)).rowcount:
        connection.execute(insert(HEADS), key | facts)


def read_heads(connection: Connection, dataset_id: int, after: int, frozen: int) -> Iterator[Head]:
    """Heads whose last edit has a number above `after`, in the order of these edits; up to `frozen` without their counts."""
    statement = select(HEADS).where(HEADS.c.dataset_id == dataset_id, HEADS.c.number > after).order_by(HEADS.c.number)
    for row in connection.execute(statement):
        counts = {} if row.number <= frozen else msgspec.json.decode(row.category_counts, type=dict[int, int])
        yield Head(file_name=row.file_name, revision=row.revision, number=row.number, state=row.state, category_counts=counts)


def replace_heads(connection: Connection, dataset_id: int, heads: Sequence[Head]) -> None:
    """Put these in the place of all heads of a Dataset."""
    connection.execute(delete(HEADS).where(HEADS.c.dataset_id == dataset_id))
    for head in heads:
        write_head(connection, dataset_id, head)
