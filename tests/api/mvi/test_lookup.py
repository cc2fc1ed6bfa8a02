from platform_data import make_dataset

from sightline.api.mvi.identifiers import find_half
from sightline.api.mvi.lookup import FileIndexes, find_item, make_file_id, walk_items, walk_rows
from sightline.api.server import open_parts
from sightline.core.workspace import Workspace
from sightline.store.datasets import ItemChanges


def test_an_index_lasts_as_long_as_the_version_and_ids_outlive_it(workspace: Workspace) -> None:
    make_dataset(workspace)
    with open_parts(workspace) as parts:
        dataset, indexes = parts.store.open("parts"), FileIndexes()
        before = indexes.read(dataset)
        dataset.add_category("new", "ada")
        assert indexes.read(dataset) is before
        rows = list(walk_rows(dataset))
        assert before.ids == [make_file_id("parts", row.file_name, row.blob) for row in rows]
        dataset.revise(ItemChanges(removed={1: rows[1].blob}), "ada")
        after = indexes.read(dataset)
        assert after.ids == [one for one in before.ids if one != before.ids[1]]
        assert find_item(indexes, dataset, find_half(before.ids[1])) is None
        found = find_item(indexes, dataset, find_half(before.ids[2]))
        assert found is not None and (found.position, found.file_name) == (1, rows[2].file_name)
        assert [item.file_name for item in walk_items(dataset)] == [row.file_name for row in rows if row.position != 1]
