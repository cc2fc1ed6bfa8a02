"""Editing a dataset of four pictures; what is expected is written out by hand."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import delete, event

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.categories import Categories
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound
from sightline.data.editing import Put, Remove, Review
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import decode_image
from sightline.store import database
from sightline.store.datasets import Category, Dataset, StaleRevision
from sightline.store.tables import HEADS

RED = Annotation(category="red", box_xyxy=(1, 2, 11, 12))
BLUE = Annotation(category="blue", box_xyxy=(3, 4, 13, 14))
GUESS = Annotation(category="blue", box_xyxy=(5, 6, 15, 16), confidence=0.5, origin="model")
NEW = Annotation(category="blue", box_xyxy=(20, 20, 30, 30))

names = (f"edit-{number:08d}" for number in itertools.count())


def edit(dataset: Dataset, position, *operations, revision=None, edit_id=None, author="ann", **more):
    if revision is None:
        revision = dataset.read_item(position).revision
    return dataset.append_edit(position, edit_id or next(names), revision, operations, author, **more)


def show(item):
    return [(label.id, label.annotation) for label in item.labels]


def positions(page):
    return [item.position for item in page.items]


def test_an_opened_data_set_holds_what_its_version_does(dataset):
    summary = dataset.summarise()
    assert summary.item_count == 4
    assert summary.states == {"labelled": 2, "proposed": 1, "unlabelled": 1}
    assert summary.splits == {"train": 2, "val": 1, "unsplit": 1}
    assert summary.annotation_counts == {"red": 2, "blue": 2}
    assert summary.categories == (Category(id=1, name="red"), Category(id=2, name="blue"))
    assert summary.base_id == dataset.version.id
    assert (summary.unfrozen_edits, summary.newer_version) == (0, None)
    assert show(dataset.read_item(3)) == [("0", RED), ("1", BLUE)]
    assert dataset.read_item(2).seen_by == "nobody"


def test_an_edit_changes_the_picture_and_all_that_is_told_of_it(dataset):
    answer = edit(dataset, 2, Put(id="abcdefghij", annotation=NEW))
    assert (answer.position, answer.file_name, answer.revision, answer.state) == (2, "Part 2.png", 1, "labelled")
    assert show(answer) == [("abcdefghij", NEW)]
    assert dataset.read_item(2) == answer
    summary = dataset.summarise()
    assert summary.states == {"labelled": 3, "proposed": 1, "unlabelled": 0}
    assert summary.annotation_counts == {"red": 2, "blue": 3}
    assert summary.unfrozen_edits == 1
    (row,) = dataset.list_items(search="part 2").items
    assert (row.state, row.annotation_count, row.revision) == ("labelled", 1, 1)


def test_proposals_are_accepted_and_refused(dataset):
    accepted = edit(dataset, 1, Put(id="0", annotation=replace(GUESS, origin="human", confidence=None)))
    assert accepted.state == "labelled"
    again = edit(dataset, 1, Put(id="0", annotation=GUESS), Review(seen_by=None))
    assert again.state == "proposed"
    assert edit(dataset, 1, Remove(id="0")).state == "proposed"  # nobody said that nothing is there
    assert edit(dataset, 1, Review(seen_by="human")).state == "labelled"


def test_pictures_are_read_together_as_they_are_one_by_one(dataset, open_store):
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW), Remove(id="0"))
    edit(dataset, 2, Put(id="abcdefghij", annotation=NEW))
    for reading in (dataset, open_store().open(dataset.name)):
        assert reading.read_items([3, 0, 2, 1]) == [reading.read_item(position) for position in (3, 0, 2, 1)]
    dataset.freeze("ann")
    dataset.rename_category(2, "azure", "ann")
    together = dataset.read_items(range(4))
    assert together == [dataset.read_item(position) for position in range(4)]
    assert [label.id for label in together[3].labels] == ["1", "abcdefghij"]
    with pytest.raises(NotFound):
        dataset.read_items([4])


def test_an_edit_of_an_older_revision_is_refused_with_the_present_state(dataset):
    edit(dataset, 0, Put(id="abcdefghij", annotation=NEW))
    with pytest.raises(StaleRevision, match="revision 0 of picture 0, which is at 1 now") as caught:
        edit(dataset, 0, Remove(id="0"), revision=0)
    assert caught.value.present == dataset.read_item(0)
    assert show(caught.value.present) == [("0", RED), ("abcdefghij", NEW)]


def test_an_edit_that_is_sent_twice_is_written_once(dataset):
    first = edit(dataset, 0, Put(id="abcdefghij", annotation=NEW), revision=0, edit_id="the-only-one")
    dataset.rename_category(2, "navy", "ann")  # its category has another name when it comes again
    again = edit(dataset, 0, Put(id="abcdefghij", annotation=NEW), revision=0, edit_id="the-only-one")
    assert again.revision == first.revision == 1
    assert show(again)[1] == ("abcdefghij", replace(NEW, category="navy"))
    edit(dataset, 0, Remove(id="abcdefghij"))
    assert edit(dataset, 0, Remove(id="0"), revision=0, edit_id="the-only-one") == dataset.read_item(0)
    assert len(dataset.read_history(0)) == 2
    with pytest.raises(Conflict, match=r"was used for Part 0\.png"):
        edit(dataset, 1, Remove(id="0"), edit_id="the-only-one")


def test_edits_that_cannot_be_leave_nothing_behind(dataset):
    broken = replace(NEW, box_xyxy=None, mask=MaskRle(height=50, width=100, counts="no code"))
    for problem, operations in {
        "unknown": [Put(id="abcdefghij", annotation=replace(NEW, category="green"))],
        "mask that cannot be decoded": [Put(id="abcdefghij", annotation=broken)],
        "outside the picture": [Put(id="abcdefghij", annotation=replace(NEW, box_xyxy=(200, 0, 300, 9)))],
        "expected the id of a label": [Put(id="abcdefghij", annotation=NEW), Remove(id="absent")],
        "at least one operation": [],
    }.items():
        with pytest.raises(InvalidInput, match="category 'green'" if problem == "unknown" else problem):
            edit(dataset, 0, *operations)
    for edit_id in ("short", "a" * 65, "with spaces in it"):
        with pytest.raises(InvalidInput, match="expected an edit id"):
            edit(dataset, 0, Remove(id="0"), edit_id=edit_id)
    with pytest.raises(NotFound, match="no picture 4 in 'parts'"):
        dataset.append_edit(4, "edit-for-no-one", 0, [Remove(id="0")], "ann")
    assert dataset.read_history(0) == []
    assert dataset.summarise().unfrozen_edits == 0


def test_an_edit_for_another_picture_than_the_one_shown_is_refused(dataset):
    shown = dataset.read_item(0).blob
    with pytest.raises(Conflict, match="picture 1 of 'parts' is another by now"):
        edit(dataset, 1, Remove(id="0"), blob=shown)
    assert edit(dataset, 0, Remove(id="0"), blob=shown).revision == 1


def test_lists_are_filtered_by_all_that_is_known_now(dataset):
    assert positions(dataset.list_items()) == [0, 1, 2, 3]
    assert positions(dataset.list_items(state="labelled")) == [0, 3]
    assert positions(dataset.list_items(category="blue")) == [1, 3]
    assert positions(dataset.list_items(category="blue", state="labelled")) == [3]
    assert positions(dataset.list_items(split="train")) == [1, 2]
    assert positions(dataset.list_items(split="unsplit")) == [0]
    assert positions(dataset.list_items(search="PART 3")) == [3]
    assert positions(dataset.list_items(search=".*")) == []
    edit(dataset, 3, Remove(id="1"))
    edit(dataset, 2, Put(id="abcdefghij", annotation=NEW))
    assert positions(dataset.list_items(category="blue")) == [1, 2]
    dataset.rename_category(2, "navy", "ann")
    assert positions(dataset.list_items(category="navy")) == [1, 2]
    with pytest.raises(NotFound, match="category 'blue'"):
        dataset.list_items(category="blue")
    with pytest.raises(NotFound, match="no split 'test'"):
        dataset.list_items(split="test")
    with pytest.raises(InvalidInput, match="expected a state of labelled, proposed, unlabelled"):
        dataset.list_items(state="done")
    with pytest.raises(InvalidInput, match="expected a `limit` of 1 to 1000"):
        dataset.list_items(limit=0)


def test_pages_follow_each_other_though_pictures_leave_the_filter(dataset):
    first = dataset.list_items(limit=1, state="labelled")
    assert (positions(first), first.next_cursor, first.total) == ([0], 1, 2)
    edit(dataset, 0, Review(seen_by="nobody"), Remove(id="0"), Review(seen_by="nobody"))
    second = dataset.list_items(limit=1, state="labelled", cursor=first.next_cursor)
    assert (positions(second), second.next_cursor, second.total) == ([3], None, 1)


def test_the_history_tells_who_did_what(dataset):
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW), Remove(id="0"), author="ann")
    edit(dataset, 3, Review(seen_by="human"), author="bob")
    told = [(entry.revision, entry.author, entry.summary) for entry in dataset.read_history(3)]
    assert told == [(1, "ann", "added 1 blue; removed 1 red"), (2, "bob", "reviewed by a person")]
    assert dataset.read_history(3)[0].made_at.endswith("+00:00")


def test_an_earlier_revision_is_brought_back_by_a_further_edit(dataset):
    edit(dataset, 3, Put(id="abcdefghij", annotation=NEW, place=0), Remove(id="0"))
    before = dataset.read_item(3)
    edit(dataset, 3, Remove(id="1"), Put(id="abcdefghij", annotation=replace(NEW, box_xyxy=(0, 0, 9, 9))))
    restored = dataset.restore(3, 1, "bring-back-1", "bob")
    assert restored.revision == 3
    assert show(restored) == show(before)
    assert show(dataset.restore(3, 0, "bring-back-0", "bob")) == [("0", RED), ("1", BLUE)]
    assert dataset.restore(3, 0, "bring-back-0", "bob").revision == 4  # sent again
    assert [entry.summary for entry in dataset.read_history(3)][2:] == ["brought back revision 1", "brought back revision 0"]
    for revision in (-1, 5):
        with pytest.raises(NotFound, match="no revision"):
            dataset.restore(3, revision, "bring-back-5", "bob")
    with pytest.raises(NotFound, match="no revision 0"):
        dataset.restore(0, 0, "bring-back-x", "bob")


def test_categories_are_added_renamed_and_removed_while_unused(dataset):
    assert dataset.add_category("green", "ann") == [
        Category(id=1, name="red"),
        Category(id=2, name="blue"),
        Category(id=3, name="green"),
    ]
    edit(dataset, 2, Put(id="abcdefghij", annotation=replace(NEW, category="green")))
    dataset.rename_category(3, "lime", "ann")
    dataset.rename_category(1, "pink", "ann")
    assert dataset.read_item(2).labels[0].annotation.category == "lime"
    assert dataset.read_item(0).labels[0].annotation.category == "pink"
    assert dataset.summarise().annotation_counts == {"pink": 2, "blue": 2, "lime": 1}
    with pytest.raises(Conflict, match="1 annotations are of 'lime'"):
        dataset.remove_category(3, "ann")
    edit(dataset, 2, Remove(id="abcdefghij"))
    assert [one.name for one in dataset.remove_category(3, "ann")] == ["pink", "blue"]
    assert dataset.add_category("lime", "ann")[-1] == Category(id=4, name="lime")  # ids are not given twice
    assert dataset.summarise().unfrozen_edits == 7
    assert dataset.restore(2, 1, "bring-back-1", "ann").labels[0].annotation.category == "lime"
    dataset.restore(2, 2, "bring-back-2", "ann")
    dataset.remove_category(4, "ann")
    with pytest.raises(Conflict, match="of the category 'lime', which was removed; add it again first"):
        dataset.restore(2, 1, "bring-back-3", "ann")


def test_category_names_that_cannot_be_are_refused(dataset):
    for name in ("", " red", "a\nb", "a\0b", "x" * 201, "\ud800"):
        with pytest.raises(InvalidInput):
            dataset.add_category(name, "ann")
    for change in (lambda: dataset.add_category("red", "ann"), lambda: dataset.rename_category(2, "red", "ann")):
        with pytest.raises(Conflict, match="expected a name that no other category has, got 'red'"):
            change()
    for change in (lambda: dataset.rename_category(9, "x", "ann"), lambda: dataset.remove_category(9, "ann")):
        with pytest.raises(NotFound, match="no category 9; there is 1, 2"):
            change()
    assert dataset.rename_category(1, "red", "ann") == dataset.categories
    assert dataset.summarise().unfrozen_edits == 0


def test_a_workspace_that_is_away_for_a_moment_is_no_dataset_that_is_not_there(dataset, open_store, workspace):
    store = open_store()
    away = workspace.root.rename(workspace.root.with_name("away"))
    with pytest.raises(Exhausted, match="put it back"):
        store.open("parts")
    away.rename(workspace.root)
    assert store.open("parts").read_item(3) == dataset.read_item(3)


def test_a_picture_is_read_as_it_was_imported(dataset):
    for position in range(4):
        assert (decode_image(dataset.read_picture(position)) == 10 * position).all()
    with pytest.raises(NotFound):
        dataset.read_picture(-1)


def test_the_facts_of_a_picture_wait_for_nobody(dataset):
    with dataset._lock, ThreadPoolExecutor(1) as pool:
        facts = pool.submit(dataset.find_picture, 3).result(timeout=30)
    assert facts == dataset.list_items(cursor=3, limit=1).items[0]
    with pytest.raises(NotFound, match="no picture 99"):
        dataset.find_picture(99)


def test_what_was_edited_is_there_when_it_is_opened_again(dataset, open_store):
    edit(dataset, 2, Put(id="abcdefghij", annotation=NEW))
    edit(dataset, 3, Remove(id="0"))
    dataset.add_category("green", "ann")
    again = open_store().open("parts")
    assert again.summarise() == dataset.summarise()
    assert [again.read_item(position) for position in range(4)] == [dataset.read_item(position) for position in range(4)]


def test_of_two_processes_one_wins_and_the_other_sees_it(dataset, open_store):
    other = open_store().open("parts")
    other.read_item(0)
    edit(dataset, 0, Put(id="abcdefghij", annotation=NEW), revision=0)
    with pytest.raises(StaleRevision) as caught:
        edit(other, 0, Remove(id="0"), revision=0)
    assert caught.value.present == dataset.read_item(0)
    assert edit(other, 0, Remove(id="0"), revision=1).revision == 2
    assert show(dataset.read_item(0)) == [("abcdefghij", NEW)]
    other.add_category("green", "bob")
    assert dataset.summarise() == other.summarise()
    assert edit(dataset, 0, Put(id="klmnopqrst", annotation=replace(NEW, category="green"))).revision == 3
    assert positions(other.list_items(category="green")) == [0]


def test_many_threads_of_two_processes_lose_nothing(dataset, open_store):
    datasets = [dataset, open_store().open("parts")]

    def work(number):
        labels = [f"label-{number}-{step}" for step in range(10)]
        for label_id in labels:
            for _ in range(1000):
                revision = datasets[number % 2].read_item(0).revision
                with suppress(StaleRevision):
                    edit(datasets[number % 2], 0, Put(id=label_id, annotation=NEW), revision=revision)
                    break
        return labels

    with ThreadPoolExecutor(6) as pool:
        written = [label_id for labels in pool.map(work, range(6)) for label_id in labels]
    for one in datasets:
        item = one.read_item(0)
        assert item.revision == 60
        assert {label.id for label in item.labels} == {"0", *written}


def test_an_edit_for_which_there_is_no_room_is_refused_whole(dataset, open_store):
    edit(dataset, 0, Put(id="abcdefghij", annotation=NEW))
    shown = dataset.read_item(0)
    store = open_store()

    @event.listens_for(store.database._engine, "connect")
    def fill(connection, _):
        connection.execute("PRAGMA max_page_count = 1").close()  # as many as there are, but no more

    store.database.close()
    full = store.open("parts")
    ring = tuple(float(value) for number in range(20_000) for value in (number % 97, number % 43))
    with pytest.raises(Exhausted, match="no room left on the disk"):
        edit(full, 0, Put(id="klmnopqrst", annotation=Annotation(category="blue", polygons=(ring,))), revision=1)
    assert full.read_item(0) == dataset.read_item(0) == shown
    assert full.summarise() == dataset.summarise()
    assert edit(dataset, 0, Remove(id="abcdefghij"), revision=1).revision == full.read_item(0).revision == 2


def test_an_edit_that_another_process_holds_up_too_long_is_refused(dataset, open_store, monkeypatch):
    monkeypatch.setattr(database, "WAIT_S", 0.05)
    store = open_store()
    other = store.open("parts")
    with dataset._database.write(), pytest.raises(Exhausted, match="was kept by another process"):
        edit(other, 0, Remove(id="0"))
    assert edit(other, 0, Remove(id="0")).revision == 1


def test_a_data_set_without_pictures_is_opened(workspace, open_store):
    with VersionWriter(workspace, "empty", Categories([])) as writer:
        writer.close()
    empty = open_store().open("empty")
    assert empty.list_items(search="a", state="labelled", split="unsplit").total == 0
    empty.add_category("red", "ann")
    assert empty.list_items(category="red").items == ()
    assert empty.freeze("ann").manifest.categories == ("red",)


def test_lost_heads_are_made_anew_from_the_journal(dataset, open_store):
    edit(dataset, 2, Put(id="abcdefghij", annotation=NEW))
    edit(dataset, 3, Remove(id="0"))
    dataset.freeze("ann")
    edit(dataset, 3, Remove(id="1"))
    store = open_store()
    with store.database.write() as connection:
        connection.execute(delete(HEADS))
    again = store.open("parts")
    assert again.summarise() == dataset.summarise()
    assert again.list_items() == dataset.list_items()


def test_only_names_in_the_workspace_are_opened(open_store, write_version, tmp_path):
    version = write_version()
    store = open_store()
    assert store.names() == ["parts"]
    assert store.open("parts") is store.open("parts")
    for name in (str(version.folder), f"parts@{version.id[:16]}", "../parts", ""):
        with pytest.raises(InvalidInput, match="expected a name"):
            store.open(name)
    with pytest.raises(NotFound, match="no dataset 'cars'"):
        store.open("cars")


def test_records_are_json(dataset):
    item = msgspec.json.decode(msgspec.json.encode(dataset.read_item(0)))
    (label,) = item["labels"]
    assert (label["id"], label["annotation"]["box_xyxy"]) == ("0", [1.0, 2.0, 11.0, 12.0])
    assert item["position"] == 0
