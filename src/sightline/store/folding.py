"""A picture's labels: its base's item, named by label ids, and the edits made on it since, folded. Ids stand for categories."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from sightline.data.editing import LabelState, apply_operations, number_labels
from sightline.data.items import Item
from sightline.store.bases import Base, find_base_of_edit, read_label_ids
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
    ids = read_label_ids(connection, dataset_id, base, item.file_name)
    annotations = [translate_annotation(annotation, to_ids) for annotation in item.annotations]
    state = LabelState(labels=number_labels(annotations, ids), seen_by=item.seen_by)
    for operations in read_operations(connection, dataset_id, item.file_name, base.through, through):
        state = apply_operations(state, operations)
    return state


def fold_heads(connection: Connection, dataset_id: int, fold: Callable[[Base, str, int], LabelState]) -> list[Head]:
    """All heads of a Dataset, from its journal alone.

    Args: fold: the labels of the picture of this name, of this base, after edits up to this number.
    """
    heads = []
    for file_name, revision, number in read_last_edits(connection, dataset_id):
        state = fold(find_base_of_edit(connection, dataset_id, number), file_name, number)
        heads.append(make_head(file_name, revision, number, state))
    return heads
