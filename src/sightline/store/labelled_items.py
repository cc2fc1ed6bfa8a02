"""Pictures with their labels, made from what is in memory; one that was never edited costs the database no question."""

from collections.abc import Collection

from msgspec.structs import asdict

from sightline.data.editing import LabelState
from sightline.store.categories import CategoryTable, translate_state
from sightline.store.folding import name_labels
from sightline.store.present import Present
from sightline.store.records import ItemRow, LabelledItem


def make_item(row: ItemRow, state: LabelState, categories: CategoryTable) -> LabelledItem:
    """A picture as it is answered. Args: state: with ids for categories."""
    labels = translate_state(state, categories.to_names).labels
    return LabelledItem(**asdict(row), labels=labels, seen_by=state.seen_by, attributes=state.attributes)


def make_untouched(present: Present, position: int, named: Collection[str]) -> LabelledItem | None:
    """A picture as its version has it; None for one that was ever edited. Raises: NotFound.

    Args: named: files whose labels have ids of their own; see `read_named_labels`.
    """
    row = present.make_row(present.check_position(position))
    if row.revision or row.file_name in named:
        return None
    return make_item(row, name_labels(present.base, present.to_ids, present.index.read_item(position)), present.categories)
