"""Freezing, what comes meanwhile, what crashes leave, versions from outside, and what other verbs make of a frozen version."""

import itertools
import shutil

import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound
from sightline.core.folders import write_file_atomic
from sightline.core.workspace import Workspace
from sightline.data import versions
from sightline.data.editing import Put, Remove, Review, SetAttribute
from sightline.data.exporting import export_version
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.versions import VersionWriter, open_version
from sightline.store import freezing
from sightline.store.database import open_database
from sightline.store.datasets import Dataset, DatasetStore

RED = Annotation(category="red", box_xyxy=(1, 2, 11, 12))
BLUE = Annotation(category="blue", box_xyxy=(3, 4, 13, 14))
NEW = Annotation(category="blue", box_xyxy=(20, 20, 30, 30))

names = (f"edit-{number:08d}" for number in itertools.count())


def edit(dataset: Dataset, position, *operations, edit_id=None):
    revision = dataset.read_item(position).revision
    return dataset.append_edit(position, edit_id or next(names), revision, operations, "ann")


def make_edits(dataset: Dataset):
    """One of each kind: reordered ids, a picture reviewed, proposals refused, a new label, an attribute, new category names."""
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW, place=0), Remove(id="0"))
    edit(dataset, 1, Remove(id="0"))
    edit(dataset, 2, Review(seen_by="human"), SetAttribute(key="line", value="3"))
    dataset.add_category("green", "ann")
    edit(dataset, 0, Put(id="klmnopqrst", annotation=replace(NEW, category="green")))
    dataset.rename_category(1, "pink", "ann")


def read_all(dataset: Dataset):
    return [dataset.read_item(position) for position in range(4)]


class Killed(BaseException):
    """Stands for the end of the process: nothing behind it is done."""


def kill(*_, **__):
    raise Killed


def test_a_frozen_version_holds_the_present_labels(dataset, workspace):
    base = dataset.version
    make_edits(dataset)
    shown = read_all(dataset)
    told = []
    frozen = dataset.freeze("ann", on_progress=lambda event: told.append((event.stage, event.progress)))
    assert told == [("freezing", 1.0)]
    assert workspace.find("datasets", "parts") == frozen.folder
    assert open_version(frozen.folder).id == frozen.id == dataset.version.id
    manifest = frozen.manifest
    assert manifest.source == {"made_by": "label", "parents": [base.id]}
    assert (manifest.name, manifest.unlabelled_pixels, manifest.seed) == ("parts", "ignore", 7)
    assert manifest.categories == ("pink", "blue", "green")
    assert manifest.annotation_counts == {"pink": 1, "blue": 2, "green": 1}
    before = list(base.items())
    assert list(frozen.items()) == [
        replace(before[0], annotations=(replace(RED, category="pink"), replace(NEW, category="green"))),
        replace(before[1], annotations=(), seen_by="model"),
        replace(before[2], seen_by="human", attributes={"line": "3"}),
        replace(before[3], annotations=(NEW, BLUE)),
    ]
    assert frozen.read_image(before[0]).shape == (50, 100, 3)
    assert dataset.summarise().unfrozen_edits == 0
    after = read_all(dataset)
    assert [item.labels for item in after] == [item.labels for item in shown]  # with their ids
    assert [item.revision for item in after] == [1, 1, 1, 1]
    assert not (frozen.folder.parent / freezing.FREEZING_NAME).exists()


def test_attributes_are_edits_that_outlive_freezes_and_exports(dataset, open_store, tmp_path):
    before = edit(dataset, 2, SetAttribute(key="line", value="3"), SetAttribute(key="day", value="28"))
    assert (before.attributes, before.state) == ({"day": "28", "line": "3"}, "unlabelled")
    version = dataset.freeze("ann")
    edit(dataset, 2, SetAttribute(key="day", value=None), SetAttribute(key="line", value="4"))
    assert open_store().open("parts").read_items([1, 2])[1].attributes == {"line": "4"}
    assert list(version.items())[2].attributes == before.attributes
    assert list(dataset.freeze("ann").items())[2].attributes == {"line": "4"}
    assert dataset.restore(2, 1, "restoring1", "bob").attributes == before.attributes
    assert dataset.restore(2, 0, "restoring0", "bob").attributes == {}
    told = [(entry.author, entry.summary) for entry in dataset.read_history(2)]
    assert told[:2] == [("ann", "set attributes line, day"), ("ann", "set attribute line; removed attribute day")]
    assert told[2:] == [("bob", "brought back revision 1"), ("bob", "brought back revision 0")]
    export_version(version, tmp_path / "parts.zip", "sightline")
    whole, _ = import_dataset(tmp_path / "parts.zip", tmp_path / "whole", "parts", blobs=tmp_path / "blobs")
    drawn, _ = import_dataset(tmp_path / "parts.zip", tmp_path / "drawn", "parts", blobs=tmp_path / "blobs", split="0.5/0.5/0")
    for again in (whole, drawn):
        assert [item.attributes for item in again.items()] == [{}, {}, before.attributes, {}]


def test_names_change_in_pictures_that_nobody_edited(dataset):
    dataset.rename_category(1, "pink", "ann")
    edit(dataset, 2, Review(seen_by="human"))
    first, _, _, last = dataset.freeze("ann").items()
    assert [one.category for one in (*first.annotations, *last.annotations)] == ["pink", "pink", "blue"]


def test_there_must_be_something_to_freeze(dataset):
    with pytest.raises(Conflict, match="expected edits of 'parts' since its version"):
        dataset.freeze("ann")
    dataset.add_category("green", "ann")
    assert dataset.freeze("ann").manifest.categories == ("red", "blue", "green")
    with pytest.raises(Conflict, match="expected edits"):
        dataset.freeze("ann")


def test_the_same_edits_on_two_machines_give_the_same_version(tmp_path, write_version):
    ids = []
    for machine, author in (("one", "ann"), ("two", "bob")):
        workspace = Workspace(tmp_path / machine)
        write_version(target=workspace)
        database = open_database(workspace.root / "sightline.db")
        dataset = DatasetStore(workspace, database).open("parts")
        for step in range(3):
            dataset.append_edit(3, f"{author}-edit-{step}", step, [Put(id=f"{author}-label-{step}", annotation=NEW)], author)
        ids.append(dataset.freeze(author).id)
        database.close()
    assert ids[0] == ids[1]


def test_ids_histories_and_revisions_go_on_behind_a_freeze(dataset, open_store):
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW, place=0), Remove(id="0"))  # abcdefghij, 1
    dataset.freeze("ann")
    edit(dataset, 3, Put(id="1", annotation=RED))
    edit(dataset, 2, Put(id="klmnopqrst", annotation=NEW))
    dataset.freeze("ann")  # picture 3: the ids of the first freeze; picture 2: new ones
    edit(dataset, 3, Remove(id="abcdefghij"), Put(id="0", annotation=BLUE, place=0))  # 0, 1: by position again
    dataset.freeze("ann")
    for one in (dataset, open_store().open("parts")):
        assert [label.id for label in one.read_item(3).labels] == ["0", "1"]
        assert [label.id for label in one.read_item(2).labels] == ["klmnopqrst"]
        assert [entry.revision for entry in one.read_history(3)] == [1, 2, 3]
    assert [(one.id, one.annotation) for one in dataset.restore(3, 1, "bring-back-1", "ann").labels] == [
        ("abcdefghij", NEW),
        ("1", BLUE),
    ]
    assert [(one.id, one.annotation) for one in dataset.restore(3, 0, "bring-back-0", "ann").labels] == [
        ("0", RED),
        ("1", BLUE),
    ]


def test_an_older_version_that_is_gone_is_said_when_it_is_needed(dataset):
    first = dataset.version
    edit(dataset, 0, Remove(id="0"))
    dataset.freeze("ann")
    shutil.rmtree(first.folder)
    with pytest.raises(NotFound, match=f"were made on the version {first.id[:16]}, which is not in"):
        dataset.restore(0, 0, "bring-back-0", "ann")
    assert dataset.read_item(0).labels == ()


def test_edits_that_come_while_it_freezes_are_kept_for_the_next_one(dataset, open_store, monkeypatch):
    other = open_store().open("parts")
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW, place=0))

    class Writer(versions.VersionWriter):
        def add(self, item: Item) -> None:
            if item.file_name == "Part 2.png":  # the third of four
                for position, one in ((0, dataset), (3, other)):
                    edit(one, position, Remove(id="0"))
                dataset.add_category("green", "ann")
                with pytest.raises(Conflict, match="'parts' is being frozen now"):
                    other.freeze("bob")
                other.follow()
            super().add(item)

    monkeypatch.setattr(freezing, "VersionWriter", Writer)
    frozen = list(dataset.freeze("ann").items())
    assert frozen[0].annotations == (RED,)
    assert frozen[3].annotations == (NEW, RED, BLUE)
    monkeypatch.undo()
    for one in (dataset, other, open_store().open("parts")):
        assert one.version.manifest.categories == ("red", "blue")
        assert [label.id for label in one.read_item(3).labels] == ["abcdefghij", "1"]
        assert one.read_item(0).labels == ()
        assert one.summarise().unfrozen_edits == 3
        assert one.summarise().states["labelled"] == 2
        assert [one.name for one in one.categories] == ["red", "blue", "green"]
    assert list(other.freeze("bob").items())[3].annotations == (NEW, BLUE)
    assert [label.id for label in dataset.restore(3, 1, "bring-back-1", "ann").labels] == ["abcdefghij", "0", "1"]


@pytest.mark.parametrize("at", ["write_manifest", "write_label_ids", "place_version", "set_latest", "finish_freeze"])
def test_a_process_that_dies_while_it_freezes_leaves_a_right_state(dataset, open_store, workspace, monkeypatch, at):
    base = dataset.version
    make_edits(dataset)
    shown = read_all(dataset)
    target = {"write_manifest": versions, "set_latest": Workspace}.get(at, freezing)
    monkeypatch.setattr(target, at, kill)
    with monkeypatch.context() as dead:  # nothing mends it either
        dead.setattr(freezing, "recover_freeze", lambda *_: None)
        with pytest.raises(Killed):
            dataset.freeze("ann")
    monkeypatch.undo()
    store = open_store()
    again = store.open("parts")
    is_done = at in ("set_latest", "finish_freeze")
    assert (again.version.id != base.id) == is_done
    assert again.summarise().unfrozen_edits == (0 if is_done else 6)
    assert again.summarise().newer_version is None
    assert read_all(again) == shown
    assert workspace.find("datasets", "parts") == again.version.folder
    if is_done:
        assert again.version.manifest.source["parents"] == [base.id]
    else:
        assert again.freeze("bob").manifest.source["parents"] == [base.id]
        assert [item.labels for item in read_all(again)] == [item.labels for item in shown]
    assert [path.name for path in workspace.list("datasets", "parts")] == [
        base.folder.name,
        again.version.folder.name,
    ]
    assert not [path for path in (workspace.root / "datasets" / "parts").iterdir() if path.name.startswith(".")]
    assert read_all(store.open("parts")) == read_all(dataset)


def test_the_version_is_on_the_disk_before_the_database_says_so(dataset, open_store, monkeypatch):
    done = []

    def note(name):
        original = getattr(freezing, name)

        def call(*arguments):
            done.append(name)
            return original(*arguments)

        return call

    for name in ("place_version", "sync_path", "finish_freeze"):
        monkeypatch.setattr(freezing, name, note(name))
    make_edits(dataset)
    dataset.freeze("ann")
    assert done == ["place_version", "sync_path", "finish_freeze"]
    edit(dataset, 0, Remove(id="0"))
    with monkeypatch.context() as dead:
        dead.setattr(freezing, "finish_freeze", kill)
        dead.setattr(freezing, "recover_freeze", lambda *_: None)
        with pytest.raises(Killed):
            dataset.freeze("ann")
    done.clear()
    open_store().open("parts")
    assert done == ["sync_path", "finish_freeze"]


def test_a_freeze_that_fails_is_undone_at_once(dataset, monkeypatch):
    make_edits(dataset)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions, "write_manifest", refuse)
    with pytest.raises(Exhausted, match="no room left on the disk"):
        dataset.freeze("ann")
    monkeypatch.undo()
    assert dataset.summarise().unfrozen_edits == 6
    dataset.freeze("ann")


def test_a_data_set_follows_to_a_version_from_outside_while_nothing_is_unfrozen(dataset, open_store, write_version):
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW, place=0))
    dataset.freeze("ann")
    outside = write_version(categories=("blue", "white", "red"), order=(3, 2, 1, 0))
    store = open_store()
    for one in (store.open("parts"), dataset):
        one.follow()
        assert one.version.id == outside.id
        assert one.summarise().newer_version is None
        assert [label.id for label in one.read_item(0).labels] == ["3-0", "3-1"]  # named by the base that came from outside
        assert [one.id for one in one.categories] == [2, 3, 1]  # a name keeps its id
        assert [item.revision for item in one.list_items().items] == [1, 0, 0, 0]
    assert edit(dataset, 0, Put(id="uvwxyzuvwx", annotation=NEW)).revision == 2
    assert [label.id for label in dataset.restore(0, 1, "bring-back-1", "ann").labels] == ["abcdefghij", "0", "1"]


def test_an_edit_of_labels_of_before_an_import_touches_no_other_labels(dataset, workspace):
    before = dataset.read_item(3)
    turned = [replace(item, annotations=item.annotations[::-1]) for item in dataset.version.items()]
    with VersionWriter(
        workspace, "parts", dataset.version.categories, dataset.version.blobs, unlabelled_pixels="ignore"
    ) as writer:
        for item in turned:
            writer.add(item)
        writer.close()
    dataset.follow()
    with pytest.raises(InvalidInput, match="expected the id of a label of this picture, got '1'"):
        dataset.append_edit(3, "edit-000001", before.revision, [Remove(id="1")], "ann", blob=before.blob)
    edit(dataset, 3, Put(id="0", annotation=NEW))
    assert [label.annotation for label in dataset.read_item(3).labels] == [*turned[3].annotations, NEW]
    dataset.freeze("ann")
    assert [label.id for label in dataset.read_item(3).labels] == ["2-0", "2-1", "0"]
    assert [label.id for label in dataset.read_item(0).labels] == ["2-0"]


def test_with_unfrozen_edits_it_stays_and_says_so(dataset, open_store, write_version):
    base = dataset.version
    edit(dataset, 3, Remove(id="0"))
    outside = write_version(order=(3, 2, 1, 0))
    for one in (open_store().open("parts"), dataset):
        one.follow()
        assert one.version.id == base.id
        assert one.summarise().newer_version == outside.id
    frozen = dataset.freeze("ann")
    dataset.follow()
    assert dataset.version.id == frozen.id
    assert dataset.summarise().newer_version is None


def test_labels_of_another_picture_of_the_same_name_are_not_brought_back(dataset, write_version):
    edit(dataset, 3, Remove(id="0"))
    dataset.freeze("ann")
    write_version(shade=1)
    dataset.follow()
    with pytest.raises(Conflict, match=r"Part 3\.png was another picture at revision 0"):
        dataset.restore(3, 0, "bring-back-0", "ann")


def test_a_data_set_that_was_deleted_and_imported_anew_is_opened(dataset, open_store, write_version, workspace):
    edit(dataset, 3, Remove(id="0"))
    frozen = dataset.freeze("ann")
    shutil.rmtree(workspace.root / "datasets" / "parts")
    store = open_store()
    with pytest.raises(NotFound, match="no dataset 'parts'"):
        store.open("parts")
    assert not (workspace.root / "datasets" / "parts").exists()
    anew = write_version(order=(0, 1, 2))
    assert store.open("parts").version.id == anew.id
    edit(store.open("parts"), 0, Remove(id="3-0"))
    shutil.rmtree(anew.folder)
    write_version()
    with pytest.raises(NotFound, match=f"were made on the version {anew.id[:16]}"):
        open_store().open("parts")
    assert frozen.id != anew.id


def test_a_version_that_was_changed_is_not_edited(dataset, open_store):
    write_file_atomic(dataset.version.folder / "manifest.json", b"{}")
    with pytest.raises(Exception, match="was changed since it was made"):
        open_store().open("parts")
