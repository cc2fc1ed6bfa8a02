import pytest
from platform_data import HEIGHT, WIDTH
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.core.annotations import Annotation
from sightline.data.editing import Put

BOX = {"xmin": 30, "ymin": 10, "xmax": 50, "ymax": 40}


def test_labels_of_every_geometry_are_told_in_whole_pixels(mvi: Base, dataset: str, files: list[str], dent: str) -> None:
    box, polygon, mask, proposal = mvi.object_labels.report(dataset)
    assert (box["name"], box["tag_id"], box["file_id"], box["generate_type"]) == ("dent", dent, files[0], "manual")
    assert box["bnd_box"] == {"xmin": 2, "ymin": 3, "xmax": 20, "ymax": 30} and "segment_polygons" not in box
    assert polygon["segment_polygons"] == [[[1, 1], [30, 2], [12, 40]]]  # 30.5 rounds to the even one
    assert mask["segment_polygons"] == [[[5, 10], [15, 10], [15, 20], [5, 20]]]
    assert (proposal["generate_type"], proposal["confidence"]) == ("auto", 0.75)


def test_labels_are_found_by_what_they_are(mvi: Base, dataset: str, files: list[str], dent: str) -> None:
    def places(**wanted: object) -> list[int]:
        return [files.index(label["file_id"]) for label in mvi.object_labels.report(dataset, **wanted)]

    assert places(tag_ids=[dent]) == [0, 2, 3]
    assert places(generate_type="auto") == [3] == places(max_conf=0.8)
    assert places(min_conf=0.8) == [0, 1, 2]
    assert places(file_ids=f"{files[2]},{files[0]}") == [2, 0]
    assert places(skip=1, limit=2) == [1, 2]
    assert [label["file_id"] for label in mvi.object_labels.report(dataset, files[1])] == [files[1]]
    assert mvi.object_labels.report(dataset, model_id=dent) is None and mvi.status_code() == 501


def test_a_label_is_made_changed_and_removed_through_the_journal(
    mvi: Base, dataset: str, files: list[str], dent: str, running_parts: Parts
) -> None:
    made = mvi.object_labels.create(dataset, files[5], dent, {"bnd_box": BOX, "generate_type": "manual"})["id"]
    assert mvi.object_labels.show(dataset, made)["bnd_box"] == BOX
    polygon = [[[1, 2], [11, 2], [11, 22]]]
    assert mvi.object_labels.update(dataset, made, segment_polygons=polygon) == {"result": "success"}
    changed = mvi.object_labels.show(dataset, made, files[5])
    assert (changed["segment_polygons"], changed["bnd_box"]["xmax"], changed["_id"]) == (polygon, 11, made)
    assert mvi.object_labels.update(dataset, made, files[5], bnd_box=BOX, generate_type="auto") is not None
    changed = mvi.object_labels.show(dataset, made)
    assert (changed["generate_type"], changed["bnd_box"]) == ("auto", BOX) and "segment_polygons" not in changed
    assert mvi.object_labels.delete(dataset, made, files[5]) == {"result": "success"}
    for label_id in (made, files[5], "x"):
        assert mvi.object_labels.show(dataset, label_id) is None
        assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find label")
    history = running_parts.store.open("parts").read_history(5)
    assert {entry.author for entry in history} == {"ada"}
    assert [entry.summary for entry in history] == ["added 1 dent", "changed 1 dent", "changed 1 dent", "removed 1 dent"]


def test_ids_of_labels_stay_when_labels_are_frozen(
    mvi: Base, dataset: str, files: list[str], dent: str, running_parts: Parts
) -> None:
    made = mvi.object_labels.create(dataset, files[4], dent, {"bnd_box": BOX})["id"]
    before = {label["_id"] for label in mvi.object_labels.report(dataset)}
    running_parts.store.open("parts").freeze("ada")
    assert {label["_id"] for label in mvi.object_labels.report(dataset)} == before
    assert mvi.object_labels.show(dataset, made)["file_id"] == files[4]


def test_an_edit_that_another_made_meanwhile_is_kept(
    mvi: Base, dataset: str, files: list[str], dent: str, running_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = running_parts.store.open("parts")
    append = opened.append_edit
    theirs = [Put(id="theirs", annotation=Annotation(category="dent", box_xyxy=(0, 0, 9, 9)))]

    def meet(position: int, edit_id: str, revision: int, *others: object, **blob: str) -> object:
        if revision == 0:
            append(position, "another-edit", 0, theirs, "eve")
        return append(position, edit_id, revision, *others, **blob)  # type: ignore[arg-type]

    monkeypatch.setattr(opened, "append_edit", meet)
    made = mvi.object_labels.create(dataset, files[5], dent, {"bnd_box": BOX})["id"]
    labels = mvi.object_labels.report(dataset, files[5])
    assert [label["bnd_box"]["xmax"] for label in labels] == [9, 50] and labels[1]["_id"] == made


def test_all_labels_of_a_picture_are_replaced_but_not_its_category(
    mvi: Base, dataset: str, files: list[str], dent: str
) -> None:
    category = mvi.categories.report(dataset)[1]["_id"]
    mvi.files.action(dataset, files[0], action="change_category", target_category_id=category)
    new = [{"tag_id": dent, "bnd_box": BOX}, {"name": "scratch", "bndbox": BOX | {"xmin": 0}}]
    assert mvi.object_labels.savelabels(dataset, files[0], new)["result"] == "success"
    labels = mvi.object_labels.getlabels(dataset, files[0])
    assert [(label["name"], label["bnd_box"]["xmin"]) for label in labels] == [("dent", 30), ("scratch", 0)]
    assert mvi.files.show(dataset, files[0])["category_id"] == category
    assert mvi.object_labels.savelabels(dataset, files[0], [])["ids"] == [] == mvi.object_labels.getlabels(dataset, files[0])


def test_labels_are_removed_by_a_filter(mvi: Base, dataset: str, files: list[str], dent: str) -> None:
    assert mvi.object_labels.delete(dataset, generate_type="auto") == {"deleted_count": 1, "result": "success"}
    assert mvi.object_labels.delete(dataset, file_id=files[0])["deleted_count"] == 1
    assert [files.index(label["file_id"]) for label in mvi.object_labels.report(dataset)] == [1, 2]
    assert mvi.object_labels.delete(dataset)["deleted_count"] == 2


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ({"bnd_box": {"xmin": 50, "ymin": 0, "xmax": 10, "ymax": 9}}, "expected an annotation that fits"),
        ({"bnd_box": {"xmin": WIDTH + 5, "ymin": 0, "xmax": WIDTH + 9, "ymax": HEIGHT}}, "fits 64 x 48 pixels"),
        ({"bnd_box": {"xmin": 1}}, "ymin"),
        ({"generate_type": "manual"}, "bnd_box or segment_polygons"),
        ({"bnd_box": BOX, "generate_type": "guessed"}, "generate_type"),
        ({"segment_polygons": [[[1, 2], [3]]]}, "segment_polygons"),
        ({"bnd_box": BOX, "tag_id": "none"}, "Could not find tag"),
    ],
)
def test_what_is_no_label_is_refused(
    mvi: Base, dataset: str, files: list[str], dent: str, label: dict[str, object], told: str
) -> None:
    assert mvi.object_labels.create(dataset, files[0], dent, label) is None
    assert mvi.status_code() in (400, 404, 422) and told in mvi.json()["fault"]
