"""What a picture's labels were at an earlier revision, in the words of today."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from sightline.core.errors import Conflict, NotFound
from sightline.core.workspace import Workspace
from sightline.data.editing import LabelState
from sightline.data.items import Item
from sightline.store.bases import Base, find_base_of_edit, open_base
from sightline.store.categories import translate_state
from sightline.store.folding import fold_item
from sightline.store.journal import find_number
from sightline.store.present import Present
from sightline.store.tables import CATEGORY_EDITS


def read_earlier_state(
    connection: Connection, workspace: Workspace, dataset_id: int, present: Present, position: int, revision: int
) -> LabelState:
    """The labels at a revision (0: before all edits), with the present categories' ids.

    Raises: NotFound for a revision that was not, or whose version is gone; Conflict when the file was another picture then, or
        a category of its labels was removed since.
    """
    row = present.make_row(position)
    number = find_number(connection, dataset_id, row.file_name, revision or 1)
    if revision < 0 or number is None:
        raise NotFound(f"{row.file_name} has no revision {revision}; its edits made 1 to {row.revision}")
    base = find_base_of_edit(connection, dataset_id, number)
    item, to_ids = _find_item(workspace, present, base, row.file_name)
    if item.blob != row.blob:
        raise Conflict(f"{row.file_name} was another picture at revision {revision}; its labels do not fit the present one")
    state = fold_item(connection, dataset_id, base, to_ids, item, number if revision else number - 1)
    return translate_state(state, _find_ids(connection, dataset_id, present, state))


def _find_item(workspace: Workspace, present: Present, base: Base, file_name: str) -> tuple[Item, Mapping[str, str]]:
    """A base's item, and the ids of its version's categories. Raises: NotFound when the version is gone."""
    if base.number == present.base.number:
        return present.index.read_item(int(present.index.find_positions([file_name])[0])), present.to_ids
    version = open_base(workspace, present.name, base)
    index = version.load_index()
    position = int(index.find_positions([file_name])[0])
    if position < 0:
        raise NotFound(f"{file_name} was being removed when this revision was made, and has no labels of then; take another")
    return index.read_item(position), base.name_categories(version)


def _find_ids(connection: Connection, dataset_id: int, present: Present, state: LabelState) -> dict[str, str]:
    """The present id for each category of the labels: its own, or that of a category that has its last name by now."""
    used = {annotation.category for annotation in state.annotations}
    ids = {one: one for one in used if one in present.categories.to_names}
    names = _read_last_names(connection, dataset_id, used - ids.keys())
    for category_id, name in names.items():
        if name not in present.categories.to_ids:
            raise Conflict(f"labels of this revision are of the category {name!r}, which was removed; add it again first")
        ids[category_id] = present.categories.to_ids[name]
    return ids


def _read_last_names(connection: Connection, dataset_id: int, ids: Iterable[str]) -> dict[str, str]:
    mine = (CATEGORY_EDITS.c.dataset_id == dataset_id, CATEGORY_EDITS.c.category_id.in_([int(one) for one in ids]))
    rows = connection.execute(select(CATEGORY_EDITS).where(*mine).order_by(CATEGORY_EDITS.c.number))
    return {str(row.category_id): row.name for row in rows}
