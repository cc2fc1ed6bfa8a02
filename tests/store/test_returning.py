"""An older version becomes the present one: its pictures and labels are there again, and nothing made since is lost."""

import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict, NotFound
from sightline.core.workspace import Workspace
from sightline.data.editing import Put
from sightline.store.datasets import ItemChanges
from sightline.store.freezing import hold_freezing
from sightline.store.returning import return_to_version

NEW = Annotation(category="blue", box_xyxy=(20, 20, 30, 30))


def test_removed_pictures_are_back_with_the_labels_that_the_version_has(dataset, open_store, workspace):
    first = dataset.version
    dataset.append_edit(3, "edit-000001", 0, [Put(id="abcdefghij", annotation=NEW)], "ann")
    second = dataset.revise(ItemChanges(removed={0: dataset.read_item(0).blob}), "ann").version
    assert return_to_version(dataset, first.id).id == first.id
    for one in (dataset, open_store().open("parts")):
        assert one.version.id == first.id
        assert [item.file_name for item in one.list_items().items] == [f"Part {n}.png" for n in range(4)]
        assert [label.annotation.category for label in one.read_item(3).labels] == ["red", "blue"]
        assert one.summarise().unfrozen_edits == 0
    assert workspace.find("datasets", "parts") == first.folder
    assert [label.id for label in dataset.restore(3, 1, "bring-back-1", "ann").labels] == ["0", "1", "abcdefghij"]
    dataset.freeze("ann")
    return_to_version(dataset, second.id[:8])
    assert dataset.summarise().item_count == 3


def test_it_waits_for_edits_to_be_in_a_version_and_for_freezes(dataset):
    first = dataset.version
    dataset.revise(ItemChanges(removed={0: dataset.read_item(0).blob}), "ann")
    dataset.add_category("green", "ann")
    with pytest.raises(Conflict, match="that are in no version yet, got 1; freeze them first"):
        return_to_version(dataset, first.id)
    dataset.freeze("ann")
    with hold_freezing(dataset.workspace, "parts"), pytest.raises(Conflict, match="is being frozen now"):
        return_to_version(dataset, first.id)
    with pytest.raises(NotFound):
        return_to_version(dataset, "0" * 64)
    assert return_to_version(dataset, dataset.version.id).id == dataset.version.id


def test_an_edit_that_comes_between_wins(dataset, monkeypatch):
    first = dataset.version
    dataset.revise(ItemChanges(removed={0: dataset.read_item(0).blob}), "ann")
    usual = Workspace.set_latest

    def edit_first(workspace, folder):
        dataset.add_category("green", "ann")
        usual(workspace, folder)

    monkeypatch.setattr(Workspace, "set_latest", edit_first)
    with pytest.raises(Conflict, match="was edited just now"):
        return_to_version(dataset, first.id)
    monkeypatch.undo()
    assert dataset.freeze("ann").manifest.item_count == 3
    assert (dataset.summarise().unfrozen_edits, dataset.summarise().newer_version) == (0, None)
