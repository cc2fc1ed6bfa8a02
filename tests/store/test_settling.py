"""Edits go into a version, also while somebody else freezes, and nothing is refused for want of edits."""

import pytest

from sightline.core.errors import Conflict
from sightline.data.editing import Review
from sightline.store import freezing, settling
from sightline.store.datasets import ItemChanges
from sightline.store.settling import freeze_rest


def edit(dataset, number):
    dataset.append_edit(0, f"edit-{number:08d}", dataset.read_item(0).revision, [Review(seen_by="human")], "bob")


def test_what_is_edited_is_frozen_once(dataset, workspace):
    freeze_rest(dataset, "ann")
    assert len(workspace.list("datasets", "parts")) == 1
    edit(dataset, 1)
    freeze_rest(dataset, "ann")
    freeze_rest(dataset, "ann")
    assert len(workspace.list("datasets", "parts")) == 2
    assert dataset.summarise().unfrozen_edits == 0


@pytest.mark.parametrize("is_frozen_by_it", [True, False])
def test_a_freeze_that_runs_is_waited_for(dataset, open_store, monkeypatch, is_frozen_by_it):
    edit(dataset, 1)
    other = open_store().open("parts")
    held = freezing.hold_freezing(dataset.workspace, "parts")
    held.__enter__()

    def end_it(_):
        held.__exit__(None, None, None)
        monkeypatch.undo()
        if is_frozen_by_it:
            other.revise(ItemChanges(removed={1: other.read_item(1).blob}), "bob")

    monkeypatch.setattr(freezing.time, "sleep", end_it)
    freeze_rest(dataset, "ann")
    assert dataset.summarise().unfrozen_edits == 0
    assert dataset.summarise().item_count == (3 if is_frozen_by_it else 4)


def test_edits_that_come_meanwhile_are_not_waited_for(dataset, monkeypatch):
    edit(dataset, 1)
    usual = freezing.place_version

    def edit_again(*arguments):
        edit(dataset, 2)
        return usual(*arguments)

    monkeypatch.setattr(freezing, "place_version", edit_again)
    freeze_rest(dataset, "ann")
    assert dataset.summarise().unfrozen_edits == 1


def test_one_that_takes_too_long_is_said(dataset, monkeypatch):
    edit(dataset, 1)
    monkeypatch.setattr(settling, "WAIT_S", 0.0)
    with freezing.hold_freezing(dataset.workspace, "parts"), pytest.raises(Conflict, match="is being frozen now"):
        freeze_rest(dataset, "ann")
