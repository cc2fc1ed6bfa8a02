"""A Dataset's categories as its journal has them: each has an id that stays, so that a new name changes no label.

Inside the store the `category` of an annotation is the id, as text; names are put in its place where labels leave the store.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import replace
from sqlalchemy import Connection, insert, select

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.data.conversion import SURROGATES
from sightline.data.editing import Label, LabelState, Operation, Put
from sightline.store.records import Category
from sightline.store.tables import CATEGORY_EDITS

MAX_CATEGORIES = 10_000
MAX_NAME_LENGTH = 200
Kind = Literal["add", "rename", "remove"]


class CategoryTable:
    """Ids and names, in order; never changes.

    Attributes:
        names: in order, as checked `Categories`.
        to_ids: from a name to its id as text; to_names: back.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = dict(names)
        self.names = Categories(self._names.values())
        self.to_ids = {name: str(category_id) for category_id, name in self._names.items()}
        self.to_names = {category_id: name for name, category_id in self.to_ids.items()}

    @property
    def ids(self) -> tuple[int, ...]:
        """In order."""
        return tuple(self._names)

    def list(self) -> list[Category]:
        """In order, as records."""
        return [Category(id=category_id, name=name) for category_id, name in self._names.items()]

    def check_id(self, category_id: int) -> str:
        """The name of an id. Raises: NotFound."""
        if category_id not in self._names:
            raise NotFound(f"no category {category_id}; there is {', '.join(map(str, self._names)) or 'none yet'}")
        return self._names[category_id]

    def find_id(self, name: str) -> int:
        """The id of a name. Raises: NotFound."""
        return self.ids[self.names.index(name)]

    def change(self, kind: Kind, category_id: int, name: str) -> "CategoryTable":
        """The table after one edit. Raises: Conflict for a name that another has; InvalidInput for one that cannot be."""
        names = dict(self._names)
        if kind == "remove":
            del names[category_id]
            return CategoryTable(names)
        if self.to_ids.get(name, str(category_id)) != str(category_id):
            raise Conflict(f"expected a name that no other category has, got {name!r}; choose another")
        if len(name) > MAX_NAME_LENGTH:
            raise InvalidInput(f"expected a name of at most {MAX_NAME_LENGTH} characters, got {len(name)}; shorten it")
        if SURROGATES.search(name):
            raise InvalidInput(f"expected a name of text, got {name!r}, which UTF-8 cannot write; choose another")
        names[category_id] = name
        if len(names) > MAX_CATEGORIES:
            raise InvalidInput(f"expected at most {MAX_CATEGORIES} categories; remove some")
        return CategoryTable(names)


def read_categories(connection: Connection, dataset_id: int) -> CategoryTable:
    """The fold of the journal's category edits."""
    statement = select(CATEGORY_EDITS).where(CATEGORY_EDITS.c.dataset_id == dataset_id).order_by(CATEGORY_EDITS.c.number)
    names: dict[int, str] = {}
    for row in connection.execute(statement):
        if row.kind == "remove":
            del names[row.category_id]
        else:
            names[row.category_id] = row.name
    return CategoryTable(names)


def find_newest_id(connection: Connection, dataset_id: int) -> int:
    """The largest id that a category ever had, 0 before the first: ids are not given twice."""
    statement = select(CATEGORY_EDITS.c.category_id).where(CATEGORY_EDITS.c.dataset_id == dataset_id)
    return max(connection.scalars(statement), default=0)


def append_category_edits(
    connection: Connection, dataset_id: int, after: int, edits: Sequence[tuple[Kind, int, str]], author: str
) -> int:
    """Write edits (kind, id, name) behind number `after`. Returns: the number of the last one."""
    rows = [
        {"dataset_id": dataset_id, "number": number, "kind": kind, "category_id": category_id, "name": name}
        | {"author": author, "made_at": tell_time()}
        for number, (kind, category_id, name) in enumerate(edits, after + 1)
    ]
    if rows:
        connection.execute(insert(CATEGORY_EDITS), rows)
    return after + len(rows)


def follow_names(present: CategoryTable, newest_id: int, names: Iterable[str]) -> list[tuple[Kind, int, str]]:
    """Edits that make the categories those of a version, in its order; a name keeps its id, others get new ones."""
    wanted = tuple(names)
    if wanted == present.names.names:
        return []
    edits: list[tuple[Kind, int, str]] = [("remove", one.id, one.name) for one in present.list()]
    for name in wanted:
        if name not in present.names:
            newest_id += 1
        edits.append(("add", present.find_id(name) if name in present.names else newest_id, name))
    return edits


def translate_annotation(annotation: Annotation, words: Mapping[str, str]) -> Annotation:
    """The annotation with another word for its category: names to ids, or back."""
    return replace(annotation, category=words[annotation.category])


def translate_state(state: LabelState, words: Mapping[str, str]) -> LabelState:
    """All labels of a picture with other words for their categories."""
    labels = tuple(Label(id=label.id, annotation=translate_annotation(label.annotation, words)) for label in state.labels)
    return replace(state, labels=labels)


def translate_operations(operations: Iterable[Operation], words: Mapping[str, str]) -> tuple[Operation, ...]:
    """Operations with other words for the categories of what they put."""
    return tuple(
        replace(one, annotation=translate_annotation(one.annotation, words)) if isinstance(one, Put) else one
        for one in operations
    )


def tell_time() -> str:
    """Now, UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
