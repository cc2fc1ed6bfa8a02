from uuid import UUID

import pytest
from vapi.base import Base

from sightline.api.parts import Parts


def fault(mvi: Base) -> str:
    """What the server refused the last call with."""
    assert not mvi.rsp_ok()
    told = mvi.json()
    assert told["result"] == "fail"
    return str(told["fault"])


def test_datasets_are_listed_with_their_counts_and_ids_that_stay(mvi: Base) -> None:
    (row,) = mvi.datasets.report()
    assert (row["name"], row["total_file_count"], row["owner"]) == ("parts", 6, "ada")
    assert str(UUID(row["_id"])) == row["_id"]
    shown = mvi.datasets.show(row["_id"])
    assert shown == row == mvi.datasets.report(sortby="name DESC")[0]
    assert mvi.datasets.report(pg_id="5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55") == []


def test_an_unknown_dataset_is_refused_in_the_words_that_scripts_look_for(mvi: Base) -> None:
    for call in (mvi.datasets.show, mvi.datasets.export):
        assert call("5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55") is None
        assert mvi.status_code() == 404 and fault(mvi).startswith("Could not find dataset")


def test_a_dataset_is_made_without_pictures_under_a_name_that_fits(mvi: Base, running_parts: Parts) -> None:
    made = mvi.datasets.create("Metal parts (2026)", purpose="anomaly")
    shown = mvi.datasets.show(made["dataset_id"])
    assert (shown["name"], shown["total_file_count"]) == ("Metal-parts-2026", 0)
    assert running_parts.store.names() == ["Metal-parts-2026", "parts"]
    assert mvi.datasets.create("Metal parts (2026)") is None
    assert mvi.status_code() == 409 and "Metal-parts-2026" in fault(mvi)
    assert mvi.datasets.create("(!)") is None and "letters or digits" in fault(mvi)


def test_what_a_dataset_cannot_become_is_refused(mvi: Base) -> None:
    (row,) = mvi.datasets.report()
    assert mvi.datasets.update(row["_id"], project_group_id="", purpose="x")["name"] == "parts"
    assert mvi.datasets.update(row["_id"], project_group_id="p") is None
    assert mvi.status_code() == 501 and "project groups" in fault(mvi)
    assert mvi.datasets.update(row["_id"], name="other") is None and "clone" in fault(mvi)


def test_a_dataset_is_removed_and_its_name_can_be_given_again(mvi: Base, running_parts: Parts) -> None:
    (row,) = mvi.datasets.report()
    file = mvi.files.report(row["_id"])[0]
    assert mvi.datasets.delete(row["_id"]) == {"result": "success"}
    assert mvi.datasets.report() == [] and list((running_parts.workspace.root / "trash").iterdir())
    assert mvi.datasets.delete(row["_id"]) is None and fault(mvi).startswith("Could not find dataset")
    assert mvi.files.delete(row["_id"], file["_id"]) is None and fault(mvi).startswith("Unknown dataset")
    again = mvi.datasets.create("parts")["dataset_id"]
    assert again == row["_id"] and mvi.files.report(again) == []


@pytest.mark.usefixtures("idle")
def test_a_dataset_that_a_training_works_on_is_not_removed(mvi: Base) -> None:
    (row,) = mvi.datasets.report()
    mvi.dl_tasks.create("m", row["_id"], "cod")
    assert mvi.datasets.delete(row["_id"]) is None and mvi.status_code() == 409 and "cancel it" in fault(mvi)


def test_a_clone_has_the_labels_as_they_are_now(mvi: Base, running_parts: Parts) -> None:
    (row,) = mvi.datasets.report()
    first = mvi.files.report(row["_id"], sortby="original_file_name")[0]
    (tag, _) = mvi.object_tags.report(row["_id"])
    box = {"bnd_box": {"xmin": 30, "ymin": 10, "xmax": 50, "ymax": 40}}
    assert mvi.object_labels.create(row["_id"], first["_id"], tag["_id"], box)["result"] == "success"
    cloned = mvi.datasets.clone(row["_id"], "twin")["dataset_id"]
    assert cloned != row["_id"]
    labels = mvi.object_labels.report(cloned)
    assert len(labels) == len(mvi.object_labels.report(row["_id"])) == 5
    assert [one["bnd_box"] for one in labels if one["bnd_box"]["xmin"] == 30] == [box["bnd_box"]]
    assert {one["file_id"] for one in labels}.isdisjoint(file["_id"] for file in mvi.files.report(row["_id"]))
    assert mvi.datasets.clone(row["_id"], "twin") is None and mvi.status_code() == 409
