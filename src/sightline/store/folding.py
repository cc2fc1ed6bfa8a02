"""A picture's labels: its base's item, named by label ids, and the edits made on it since, folded. Ids stand for categories."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from sightline.data.editing import LabelState, apply_operations, number_labels
from sightline.data.item_index import ItemIndex
from sightline.data.items import Item
from sightline.store.bases import Base, read_label_ids
from sightline.store.categories import translate_annotation
from sightline.store.journal import Head, make_head, read_last_edits, read_operations


def fold_item(
    connection: Connection, dataset_id: int, base: Base, to_ids: Mapping[str, str], item: Item, through: int | None = None
) -> LabelState:
    """The labels of an item after its edits up to number `through` (all when None).

    Args:
        base: whose version the item is of.
        to_ids: from the names of that version's categories to ids; see `Base.name_categories`.
    """
    state = name_labels(base, to_ids, item, read_label_ids(connection, dataset_id, base, item.file_name))
    for operations in read_operations(connection, dataset_id, item.file_name, base.through, through):
        state = apply_operations(state, operations)
    return state


def name_labels(base: Base, to_ids: Mapping[str, str], item: Item, ids: Sequence[str] | None = None) -> LabelState:
    """The labels of an item as its base has them. Args: ids: of its annotations; None: those that they have by themselves."""
    annotations = [translate_annotation(annotation, to_ids) for annotation in item.annotations]
    labels = number_labels(annotations, ids or base.number_labels(len(annotations)))
    return LabelState(labels=labels, seen_by=item.seen_by, attributes=item.attributes)


def fold_heads(connection: Connection, dataset_id: int, base: Base, to_ids: Mapping[str, str], index: ItemIndex) -> list[Head]:
    """All heads of a Dataset, from its journal alone; of pictures whose edits the base holds, only the revision matters."""
    last = read_last_edits(connection, dataset_id)
    positions = index.find_positions([file_name for file_name, _, _ in last]).tolist()
    heads = []
    for position, (file_name, revision, number) in zip(positions, last, strict=True):
        state = LabelState()
        if number > base.through and position >= 0:  # else it was edited while it was being removed
            state = fold_item(connection, dataset_id, base, to_ids, index.read_item(position))
        heads.append(make_head(file_name, revision, number, state))
    return heads
