"""Which frozen versions a Dataset's edits were made on, what labels in them are called, and which one is being written now."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from sightline.core.errors import NotFound
from sightline.core.workspace import Workspace, check_identity
from sightline.data.versions import DatasetVersion, open_version
from sightline.store.categories import Kind, append_category_edits, find_newest_id, tell_time
from sightline.store.tables import BASES, DATASETS, FREEZES, LABEL_IDS


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a Dataset's newest base, edit and category edit: they tell whether anything changed."""

    base_number: int
    edit_count: int
    category_edit_count: int


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen version that edits are made on.

    Attributes:
        number: among the bases of the Dataset, from 1.
        through, category_through: numbers of the last edits that are in the version; later ones are made on it.
        lineage: number of the base that came from outside, and from which this one was frozen step by step.
        category_ids: of the version's categories, in order.
    """

    number: int
    version_id: str
    through: int
    category_through: int
    lineage: int
    category_ids: tuple[int, ...]

    def number_labels(self, count: int) -> list[str]:
        """What an item's annotations are called where no edit named them: by position, and by the import since the second.

        So an edit that was made on labels of before an import never touches another label of the same place.
        """
        return [str(place) if self.lineage == 1 else f"{self.lineage}-{place}" for place in range(count)]

    def name_categories(self, version: DatasetVersion) -> dict[str, str]:
        """From the names of the version's categories to their ids, as text."""
        return {name: str(one) for name, one in zip(version.categories, self.category_ids, strict=True)}


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is being written, or was when its process ended.

    Attributes:
        version_id: None before it is whole.
        category_ids: of the version's categories; those that come with it have ids above all that there are.
    """

    through: int
    category_through: int
    version_id: str | None
    category_ids: tuple[int, ...]
    author: str

    def adds_categories(self, newest_id: int) -> bool:
        """Whether categories come with the version. Args: newest_id: the largest that a category has."""
        return any(category_id > newest_id for category_id in self.category_ids)


def find_dataset(connection: Connection, name: str) -> int | None:
    """The id of a Dataset that was opened before."""
    return connection.scalar(select(DATASETS.c.id).where(DATASETS.c.name == name))


def add_dataset(connection: Connection, name: str) -> int:
    """A Dataset that has neither base nor edits yet."""
    row = {"name": name, "base_number": 0, "edit_count": 0, "category_edit_count": 0}
    connection.execute(insert(DATASETS), row)
    return int(connection.scalars(select(DATASETS.c.id).where(DATASETS.c.name == name)).one())


def read_counters(connection: Connection, dataset_id: int) -> Counters:
    """The newest numbers."""
    columns = [DATASETS.c[name] for name in Counters.__struct_fields__]
    return Counters(**connection.execute(select(*columns).where(DATASETS.c.id == dataset_id)).one()._mapping)


def write_counters(connection: Connection, dataset_id: int, **newest: int) -> None:
    """Note newer numbers."""
    connection.execute(update(DATASETS).where(DATASETS.c.id == dataset_id).values(**newest))


def read_base(connection: Connection, dataset_id: int, number: int) -> Base:
    """The base of a number."""
    return _make_base(connection.execute(select(BASES).where(BASES.c.dataset_id == dataset_id, BASES.c.number == number)).one())


def find_base_of_edit(connection: Connection, dataset_id: int, edit_number: int) -> Base:
    """The newest base without this edit: the edits after the base's up to this one lead from it to what the edit made."""
    statement = select(BASES).where(BASES.c.dataset_id == dataset_id, BASES.c.through < edit_number)
    return _make_base(connection.execute(statement.order_by(BASES.c.number.desc()).limit(1)).one())


def _make_base(row: Any) -> Base:
    facts = {name: row._mapping[name] for name in Base.__struct_fields__}
    return Base(**facts | {"category_ids": tuple(msgspec.json.decode(row.category_ids))})


def add_base(connection: Connection, dataset_id: int, base: Base, author: str) -> None:
    """Make this the Dataset's newest base."""
    row = msgspec.structs.asdict(base) | {"dataset_id": dataset_id, "author": author, "made_at": tell_time()}
    row["category_ids"] = msgspec.json.encode(base.category_ids).decode()
    connection.execute(insert(BASES), row)
    write_counters(connection, dataset_id, base_number=base.number)


def open_base(workspace: Workspace, name: str, base: Base) -> DatasetVersion:
    """The version of a base. Raises: NotFound when its folder is gone; CorruptFile."""
    folder = workspace.place("datasets", name, base.version_id)
    if not folder.is_dir():
        raise NotFound(
            f"edits of {name!r} were made on the version {base.version_id[:16]}, which is not in {folder.parent}; put it back"
        )
    return open_version(check_identity(folder))


def read_label_ids(connection: Connection, dataset_id: int, base: Base, file_name: str) -> list[str] | None:
    """What an item's annotations are called in a base; None: see `Base.number_labels`."""
    numbers = (LABEL_IDS.c.base_number >= base.lineage, LABEL_IDS.c.base_number <= base.number)
    mine = (LABEL_IDS.c.dataset_id == dataset_id, LABEL_IDS.c.file_name == file_name)
    statement = select(LABEL_IDS.c.ids).where(*mine, *numbers).order_by(LABEL_IDS.c.base_number.desc()).limit(1)
    text = connection.scalar(statement)
    return None if text is None else msgspec.json.decode(text, type=list[str])


def read_named_labels(connection: Connection, dataset_id: int, base: Base) -> set[str]:
    """File names under which annotations have ids of their own by now; also those of pictures that were removed."""
    numbers = (LABEL_IDS.c.base_number >= base.lineage, LABEL_IDS.c.base_number <= base.number)
    return set(
        connection.scalars(select(LABEL_IDS.c.file_name).where(LABEL_IDS.c.dataset_id == dataset_id, *numbers).distinct())
    )


def write_label_ids(connection: Connection, dataset_id: int, base_number: int, ids: Mapping[str, Sequence[str]]) -> None:
    """Note what annotations are called from this base on, by file name."""
    rows = [
        {"dataset_id": dataset_id, "file_name": name, "base_number": base_number, "ids": msgspec.json.encode(mine).decode()}
        for name, mine in ids.items()
    ]
    if rows:
        connection.execute(insert(LABEL_IDS), rows)


def read_freeze(connection: Connection, dataset_id: int) -> Freeze | None:
    """The freeze that was begun and not finished."""
    row = connection.execute(select(FREEZES).where(FREEZES.c.dataset_id == dataset_id)).one_or_none()
    if row is None:
        return None
    facts = {name: row._mapping[name] for name in Freeze.__struct_fields__}
    return Freeze(**facts | {"category_ids": tuple(msgspec.json.decode(row.category_ids))})


def begin_freeze(connection: Connection, dataset_id: int, freeze: Freeze) -> None:
    """Note that a version is being written."""
    row = msgspec.structs.asdict(freeze) | {"dataset_id": dataset_id}
    row["category_ids"] = msgspec.json.encode(freeze.category_ids).decode()
    connection.execute(insert(FREEZES), row)


def name_frozen(connection: Connection, dataset_id: int, version_id: str) -> None:
    """Note the id of the version, now that it is whole."""
    connection.execute(update(FREEZES).where(FREEZES.c.dataset_id == dataset_id).values(version_id=version_id))


def finish_freeze(connection: Connection, dataset_id: int, freeze: Freeze, version: DatasetVersion) -> None:
    """Make the frozen version the newest base, and the categories that came with it the last ones."""
    counters = read_counters(connection, dataset_id)
    before = read_base(connection, dataset_id, counters.base_number)
    newest_id, through = find_newest_id(connection, dataset_id), freeze.category_through
    named = zip(freeze.category_ids, version.categories, strict=True)
    came: list[tuple[Kind, int, str]]
    if came := [("add", category_id, name) for category_id, name in named if category_id > newest_id]:
        through = append_category_edits(connection, dataset_id, counters.category_edit_count, came, freeze.author)
        write_counters(connection, dataset_id, category_edit_count=through)
    after = Base(
        number=before.number + 1,
        version_id=version.id,
        through=freeze.through,
        category_through=through,
        lineage=before.lineage,
        category_ids=freeze.category_ids,
    )
    add_base(connection, dataset_id, after, freeze.author)
    connection.execute(delete(FREEZES).where(FREEZES.c.dataset_id == dataset_id))


def drop_freeze(connection: Connection, dataset_id: int) -> None:
    """Forget a freeze whose version nobody has seen."""
    next_number = read_counters(connection, dataset_id).base_number + 1
    connection.execute(delete(LABEL_IDS).where(LABEL_IDS.c.dataset_id == dataset_id, LABEL_IDS.c.base_number == next_number))
    connection.execute(delete(FREEZES).where(FREEZES.c.dataset_id == dataset_id))
