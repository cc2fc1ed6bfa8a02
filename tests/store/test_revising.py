"""Pictures that come, go and change their split: what the next version holds, their labels and history, and refusals."""

from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.data.conversion import ConversionReport
from sightline.data.editing import Put, Remove
from sightline.data.items import Item
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.store import freezing, revising
from sightline.store.datasets import Dataset, ItemChanges

RED = Annotation(category="red", box_xyxy=(1, 2, 11, 12))
DENT = Annotation(category="dent", box_xyxy=(3, 4, 13, 14))
NEW = Annotation(category="blue", box_xyxy=(20, 20, 30, 30))


@pytest.fixture
def write_added(dataset: Dataset, tmp_path):
    """Writes a version to be added: pictures of one colour each, given as (file name, shade, further facts)."""
    written = []

    def write(*pictures, categories=("dent", "red"), **facts):
        blobs = dataset.version.blobs
        target = tmp_path / f"added-{len(written)}"
        with VersionWriter(target, "parts", Categories(categories), blobs, **facts) as writer:
            for name, shade, more in pictures:
                blob = blobs.put_bytes(encode_image(np.full((50, 100, 3), shade, np.uint8), "png"))
                writer.add(Item(blob=blob, file_name=name, width=100, height=50, **more))
            written.append(writer.close())
        return written[-1]

    return write


def find_blobs(dataset: Dataset, *positions):
    return {position: dataset.read_item(position).blob for position in positions}


def read_all(dataset: Dataset):
    return [dataset.read_item(row.position) for row in dataset.list_items().items]


def edit(dataset: Dataset, position, edit_id, *operations):
    return dataset.append_edit(position, edit_id, dataset.read_item(position).revision, operations, "ann")


def test_added_pictures_come_last_and_edits_are_in_the_new_version(dataset, write_added, open_store):
    base = dataset.version
    edit(dataset, 3, "edit-000001", Put(id="abcdefghij", annotation=NEW, place=0), Remove(id="0"))
    before = read_all(dataset)
    report = ConversionReport()
    added = write_added(("x.png", 200, {"annotations": (DENT,), "split": "test"}), ("y.png", 201, {}))
    revised = dataset.revise(ItemChanges(added=added), "bob", report)
    assert (revised.added, revised.removed, revised.moved) == (2, 0, 0)
    assert revised.version.id == dataset.version.id != base.id
    assert revised.version.manifest.source == {"made_by": "label", "parents": [base.id], "added": 2}
    assert revised.version.manifest.unlabelled_pixels == "ignore"
    assert report.is_clean
    for one in (dataset, open_store().open("parts")):
        after = read_all(one)
        assert after[:4] == before  # labels with their ids, revisions, places
        assert [(item.file_name, item.split) for item in after[4:]] == [("x.png", "test"), ("y.png", None)]
        assert [label.annotation for label in after[4].labels] == [DENT]
        assert [one.name for one in one.categories] == ["red", "blue", "dent"]
        assert one.version.categories.names == ("red", "blue", "dent")
        assert one.summarise().unfrozen_edits == 0
    assert dataset.read_picture(4) == base.blobs.read(after[4].blob)
    assert dataset.list_items(category="dent").total == 1
    edit(dataset, 4, "edit-000002", Put(id="klmnopqrst", annotation=NEW))
    dataset.rename_category(3, "scar", "ann")
    assert [one.category for one in list(dataset.freeze("ann").items())[4].annotations] == ["scar", "blue"]


def test_pictures_that_are_there_are_left_out_and_told(dataset, write_added):
    report = ConversionReport()
    report.keep("image", 3)
    report.keep("annotation", 1)
    added = write_added(("again.png", 10, {"annotations": (RED,)}), ("new.png", 99, {}), ("once more.png", 30, {}))
    revised = dataset.revise(ItemChanges(added=added), "bob", report)
    assert revised.added == 1
    assert report.to_dict()["kept"] == {"image": 1, "annotation": 0}
    found = {finding.kind: (finding.count, finding.examples) for finding in report.findings()}
    assert found["annotation"] == (1, ["again.png"])
    assert [row.file_name for row in dataset.list_items(search="new").items] == ["new.png"]
    assert report.count("image", "dropped", revising.THERE_ALREADY) == 2


def test_where_all_are_there_nothing_is_written(dataset, write_added, workspace):
    base = dataset.version
    edit(dataset, 0, "edit-000001", Remove(id="0"))
    report = ConversionReport()
    revised = dataset.revise(ItemChanges(added=write_added(("again.png", 10, {}))), "bob", report)
    assert (revised.added, revised.version.id) == (0, base.id)
    assert dataset.summarise().unfrozen_edits == 1
    assert [one.name for one in dataset.categories] == ["red", "blue"]
    assert len(workspace.list("datasets", "parts")) == 1


def test_another_picture_of_a_name_that_is_there_gets_a_name_of_its_own(dataset, write_added):
    report = ConversionReport()
    pictures = [("Part 1.png", 90, {}), ("Part 2.png", 91, {"split": "val"}), ("Part 1~2.png", 92, {})]
    dataset.revise(ItemChanges(added=write_added(*pictures)), "bob", report)
    names = [item.file_name for item in read_all(dataset)][4:]
    assert names == ["Part 1~2.png", "val/Part 2.png", "Part 1~2~2.png"]
    assert report.count("image", "changed", revising.RENAMED) == 3


def test_equal_pictures_of_one_addition_both_come_as_in_an_import(dataset, write_added):
    added = write_added(("one.png", 90, {}), ("two.png", 90, {}))
    dataset.revise(ItemChanges(added=added), "bob")
    assert len({row.split for row in dataset.list_items(search="o").items}) == 1
    assert dataset.summarise().item_count == 6


def test_splits_are_drawn_in_the_shares_of_the_dataset_and_told(dataset, write_added):
    report = ConversionReport()
    dataset.revise(ItemChanges(added=write_added(*((f"{n}.png", 100 + n, {}) for n in range(9)))), "bob", report)
    drawn = Counter(item.split for item in read_all(dataset)[4:])
    assert drawn == {"train": 6, "val": 3}  # as 2 to 1; pictures without a split do not count
    (found,) = report.findings()
    assert (found.reason, found.count, found.examples) == (f"{revising.DRAWN}6 train, 3 val", 9, [])


def test_frames_join_the_split_of_their_video(dataset, write_added):
    frames = [(f"{n}.png", 100 + n, {"source_video": "belt.mp4", "split": "val"}) for n in range(2)]
    dataset.revise(ItemChanges(added=write_added(*frames)), "bob")
    later = [(f"{n}.png", 100 + n, {"source_video": "belt.mp4"}) for n in range(2, 12)]
    dataset.revise(ItemChanges(added=write_added(*later)), "bob")
    assert {item.split for item in read_all(dataset)[4:]} == {"val"}


def test_shares_may_be_asked_for_and_splits_left_as_given(dataset, write_added):
    dataset.revise(ItemChanges(added=write_added(("a.png", 90, {})), split_rule="given"), "bob")
    dataset.revise(ItemChanges(added=write_added(("b.png", 91, {"split": "train"})), split_rule="0/0/1"), "bob")
    assert [item.split for item in read_all(dataset)[4:]] == [None, "test"]
    with pytest.raises(InvalidInput, match="expected shares"):
        ItemChanges(split_rule="half")


def test_a_dataset_without_splits_stays_without(dataset, write_added):
    dataset.revise(ItemChanges(removed=find_blobs(dataset, 1, 2, 3)), "ann")
    report = ConversionReport()
    dataset.revise(ItemChanges(added=write_added(("a.png", 90, {}))), "bob", report)
    assert [item.split for item in read_all(dataset)] == [None, None]
    assert report.is_clean and not list(report.findings())


def test_labels_that_mean_something_else_without_a_mask_are_told(dataset, write_added):
    outlined = Annotation(category="dent", polygons=((1, 1, 9, 1, 9, 9),))
    report = ConversionReport()
    dataset.revise(ItemChanges(added=write_added(("a.png", 90, {"annotations": (outlined,)}), ("b.png", 91, {}))), "b", report)
    assert report.count("image", "warned", revising.OTHER_GROUND) == 1


def test_removed_pictures_are_left_out_and_the_others_keep_labels_and_history(dataset, open_store):
    base = dataset.version
    edit(dataset, 3, "edit-000001", Put(id="abcdefghij", annotation=NEW, place=0))
    edit(dataset, 1, "edit-000002", Remove(id="0"))
    before = read_all(dataset)
    revised = dataset.revise(ItemChanges(removed=find_blobs(dataset, 1, 2)), "bob")
    assert (revised.removed, revised.version.manifest.source["removed"]) == (2, 2)
    for one in (dataset, open_store().open("parts")):
        assert read_all(one) == [replace(before[0], position=0), replace(before[3], position=1)]
        assert [entry.edit_id for entry in one.read_history(1)] == ["edit-000001"]
        assert one.summarise().states == {"labelled": 2, "proposed": 0, "unlabelled": 0}
    assert base.blobs.has(before[1].blob)
    assert [label.id for label in dataset.restore(1, 0, "bring-back-0", "ann").labels] == ["0", "1"]


def test_a_page_of_yesterday_removes_nothing_else(dataset):
    blobs = find_blobs(dataset, 0, 1)
    dataset.revise(ItemChanges(removed=find_blobs(dataset, 0)), "bob")
    for pictures in (blobs, {3: blobs[1]}, {-1: blobs[1]}):
        with pytest.raises(Conflict, match="is another by now, so nothing was changed"):
            dataset.revise(ItemChanges(removed=pictures), "bob")
        with pytest.raises(Conflict, match="is another by now"):
            dataset.revise(ItemChanges(moved=pictures, split="test"), "bob")
    assert dataset.summarise().item_count == 3


def test_the_last_picture_stays(dataset):
    with pytest.raises(Conflict, match="expected a picture that stays in 'parts', got none"):
        dataset.revise(ItemChanges(removed=find_blobs(dataset, 0, 1, 2, 3)), "bob")
    assert dataset.summarise().item_count == 4


def test_moved_pictures_are_in_another_split(dataset):
    before = read_all(dataset)
    revised = dataset.revise(ItemChanges(moved=find_blobs(dataset, 0, 1), split="test"), "bob")
    assert revised.moved == 2
    assert dataset.version.splits == {"train": 1, "val": 1, "test": 2}
    assert read_all(dataset) == [*(replace(item, split="test") for item in before[:2]), *before[2:]]
    assert dataset.revise(ItemChanges(moved=find_blobs(dataset, 0, 3), split=None), "bob").moved == 2
    assert dataset.revise(ItemChanges(moved=find_blobs(dataset, 0, 3), split=None), "bob").moved == 0
    assert dataset.version.splits == {"train": 1, "test": 1, "unsplit": 2}
    for split in ("unsplit", "a/b", ""):
        with pytest.raises(InvalidInput, match="split"):
            ItemChanges(split=split)


def test_a_name_that_was_removed_may_come_again(dataset, write_added, open_store):
    edit(dataset, 3, "edit-000001", Put(id="abcdefghij", annotation=NEW, place=0))
    dataset.revise(ItemChanges(removed=find_blobs(dataset, 3)), "ann")
    dataset.revise(ItemChanges(added=write_added(("Part 3.png", 90, {"annotations": (DENT,)}))), "ann")
    for one in (dataset, open_store().open("parts")):
        item = one.read_item(3)
        assert [(label.id, label.annotation) for label in item.labels] == [("0", DENT)]
        assert item.revision == 1  # revisions are never given twice
    with pytest.raises(Conflict, match="was another picture at revision 1"):
        dataset.restore(3, 1, "bring-back-1", "ann")
    assert edit(dataset, 3, "edit-000002", Put(id="klmnopqrst", annotation=NEW)).revision == 2


def test_edits_of_a_picture_that_is_being_removed_disturb_nothing(dataset, open_store, write_added, monkeypatch):
    edit(dataset, 3, "edit-000001", Put(id="abcdefghij", annotation=NEW))
    other = open_store().open("parts")

    class Writer(freezing.VersionWriter):
        def add(self, item: Item) -> None:
            if item.file_name == "Part 1.png":
                edit(other, 3, "edit-000002", Put(id="klmnopqrst", annotation=NEW))
                edit(other, 0, "edit-000003", Put(id="uvwxyzuvwx", annotation=NEW))
            super().add(item)

    monkeypatch.setattr(freezing, "VersionWriter", Writer)
    blob = dataset.read_item(3).blob
    dataset.revise(ItemChanges(removed=find_blobs(dataset, 3)), "bob")
    monkeypatch.undo()
    with dataset._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM heads")  # made anew from the journal
    for one in (dataset, other, open_store().open("parts")):
        assert [item.file_name for item in read_all(one)] == ["Part 0.png", "Part 1.png", "Part 2.png"]
        assert len(one.read_item(0).labels) == 2
        with pytest.raises(NotFound, match="no picture 3"):
            one.append_edit(3, "edit-000004", 1, [Remove(id="0")], "ann", blob=blob)
    assert len(list(dataset.freeze("ann").items())) == 3
    dataset.revise(ItemChanges(added=write_added(("Part 3.png", 40, {}))), "ann")
    with pytest.raises(NotFound, match="was being removed when this revision was made"):
        dataset.restore(3, 2, "bring-back-2", "ann")


def test_categories_wait_while_others_come_with_pictures(dataset, open_store, write_added, monkeypatch):
    other = open_store().open("parts")
    added = write_added(("x.png", 200, {"annotations": (DENT,)}))

    class Writer(freezing.VersionWriter):
        def add(self, item: Item) -> None:
            if item.file_name == "Part 1.png":
                with pytest.raises(Conflict, match="pictures with new categories are being added to 'parts' now"):
                    other.add_category("dent", "ann")
            super().add(item)

    monkeypatch.setattr(freezing, "VersionWriter", Writer)
    dataset.revise(ItemChanges(added=added), "bob")
    assert [(one.id, one.name) for one in other.categories] == [(1, "red"), (2, "blue"), (3, "dent")]
    assert [(one.id, one.name) for one in other.add_category("scar", "ann")][3:] == [(4, "scar")]


def test_a_category_whose_name_is_too_long_is_refused_before_anything_is_written(dataset, write_added):
    with pytest.raises(InvalidInput, match="expected a name of at most 200 characters"):
        dataset.revise(ItemChanges(added=write_added(("x.png", 200, {}), categories=("d" * 201,))), "bob")
    assert dataset.summarise().item_count == 4
    dataset.add_category("dent", "ann")


def test_changes_wait_for_a_freeze_that_runs(dataset, open_store, write_added, monkeypatch):
    added = write_added(("x.png", 200, {}))
    waited = []
    with freezing.hold_freezing(dataset.workspace, "parts"):
        monkeypatch.setattr(freezing, "WAIT_S", 0.1)
        with pytest.raises(Conflict, match="'parts' is being frozen now"):
            dataset.revise(ItemChanges(added=added), "bob")
    monkeypatch.undo()
    held = freezing.hold_freezing(dataset.workspace, "parts")
    held.__enter__()

    def open_lock(seconds):
        waited.append(seconds)
        held.__exit__(None, None, None)

    monkeypatch.setattr(freezing.time, "sleep", open_lock)
    assert dataset.revise(ItemChanges(added=added), "bob").added == 1
    assert waited == [freezing.LOOK_AGAIN_S]


@pytest.mark.parametrize("at", ["begin_freeze", "write_label_ids", "place_version", "finish_freeze"])
def test_a_process_that_dies_leaves_the_old_or_the_new_dataset(dataset, open_store, write_added, workspace, monkeypatch, at):
    class Killed(BaseException):
        """Stands for the end of the process."""

    def kill(*_, **__):
        raise Killed

    base = dataset.version
    edit(dataset, 3, "edit-000001", Put(id="abcdefghij", annotation=NEW, place=0))
    before = read_all(dataset)
    changes = ItemChanges(
        added=write_added(("x.png", 200, {"annotations": (DENT,)})),
        removed=find_blobs(dataset, 1),
        moved=find_blobs(dataset, 0),
        split="test",
    )
    monkeypatch.setattr(freezing, at, kill)
    with monkeypatch.context() as dead:
        dead.setattr(freezing, "recover_freeze", lambda *_: None)
        with pytest.raises(Killed):
            dataset.revise(changes, "ann")
    monkeypatch.undo()
    again = open_store().open("parts")
    if at == "finish_freeze":
        assert again.version.manifest.source["parents"] == [base.id]
        assert [one.name for one in again.categories] == ["red", "blue", "dent"]
    else:
        assert again.version.id == base.id
        assert read_all(again) == before
        assert [one.name for one in again.categories] == ["red", "blue"]
        again.revise(changes, "ann")
    assert [item.file_name for item in read_all(again)] == ["Part 0.png", "Part 2.png", "Part 3.png", "x.png"]
    assert [label.id for label in again.read_item(2).labels] == ["abcdefghij", "0", "1"]
    assert again.summarise().unfrozen_edits == 0
    assert [(one.id, one.name) for one in again.add_category("scar", "ann")] == [
        (1, "red"),
        (2, "blue"),
        (3, "dent"),
        (4, "scar"),
    ]
    assert workspace.find("datasets", "parts") == again.version.folder
    assert [one.category for one in list(again.freeze("ann").items())[3].annotations] == ["dent"]


def test_a_dataset_that_was_removed_meanwhile_stays_removed(dataset, write_added, workspace):
    added = write_added(("x.png", 200, {}))
    removed = workspace.root / "datasets" / "parts"
    removed.rename(workspace.root / "elsewhere")
    with pytest.raises(NotFound, match="no dataset 'parts'"):
        dataset.revise(ItemChanges(added=added), "bob")
    assert not removed.exists()
    (workspace.root / "elsewhere").rename(removed)
    assert dataset.revise(ItemChanges(added=added), "bob").added == 1
