"""User metadata by IBM's client: attributes of pictures, whose every change is an edit that the store's history tells."""

import csv

import pytest
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.data.editing import SetAttribute
from sightline.store.datasets import JournalEntry


def read_history(parts: Parts, position: int) -> list[JournalEntry]:
    return parts.store.open("parts").read_history(position)


def test_what_is_added_is_told_and_is_an_edit_in_the_history(
    mvi: Base, dataset: str, files: list[str], running_parts: Parts
) -> None:
    assert mvi.file_metadata.report(dataset, files[1]) == {}
    added = mvi.file_metadata.add(dataset, files[1], {"line": "3", "day": 20261128, "size": 2.5, "checked": True})
    assert added == {"checked": "true", "day": "20261128", "line": "3", "size": "2.5"}
    assert mvi.file_metadata.add(dataset, files[1], {"line": "4"}) == added | {"line": "4"}
    assert mvi.file_metadata.report(dataset, files[1]) == added | {"line": "4"}
    assert mvi.file_metadata.show(dataset, files[1], "day") == {"day": "20261128"}
    assert mvi.file_metadata.delete(dataset, files[1], ["day", "size", "day", "absent"]) == ["day", "size"]
    assert mvi.files.show(dataset, files[1])["user_metadata"] == {"checked": "true", "line": "4"}
    entries = read_history(running_parts, 1)
    assert [entry.summary for entry in entries] == [
        "set attributes line, day, size, checked",
        "set attribute line",
        "removed attributes day, size",
    ]
    assert {entry.author for entry in entries} == {"ada"}
    assert running_parts.store.open("parts").restore(1, 1, "restoring1", "ada").attributes == added
    assert mvi.file_metadata.report(dataset, files[1]) == added


def test_what_changes_nothing_is_no_edit(mvi: Base, dataset: str, files: list[str], running_parts: Parts) -> None:
    mvi.file_metadata.add(dataset, files[0], {"line": "3"})
    assert mvi.file_metadata.add(dataset, files[0], {"line": "3"}) == {"line": "3"}
    assert mvi.file_metadata.add(dataset, files[0], {}) == {"line": "3"}
    assert mvi.file_metadata.delete(dataset, files[0], ["absent"]) == []
    assert len(read_history(running_parts, 0)) == 1


def test_what_is_set_in_the_editor_is_told_here_and_outlives_freezes_copies_and_clones(
    mvi: Base, dataset: str, files: list[str], running_parts: Parts
) -> None:
    store = running_parts.store.open("parts")
    store.append_edit(2, "edit-of-the-editor", 0, [SetAttribute(key="line", value="3")], "ada")
    assert mvi.file_metadata.report(dataset, files[2]) == {"line": "3"}
    store.freeze("ada")
    mvi.file_metadata.add(dataset, files[2], {"day": "28"})  # in no version yet
    other = mvi.datasets.create("other")["dataset_id"]
    (moved,) = mvi.files.copymove("copy", dataset, other, [files[2]])["result_list"]
    assert mvi.file_metadata.report(other, moved["new_file_id"]) == {"day": "28", "line": "3"}
    clone = mvi.datasets.clone(dataset, "clone")["dataset_id"]
    assert [file["user_metadata"] for file in mvi.files.report(clone)][2] == {"day": "28", "line": "3"}


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ({"line": None}, "line"),
        ({"line": ["3"]}, "line"),
        ({"": "3"}, "at least 1 character"),
        ({"a\nb": "3"}, "a key of one line"),
        ({"line": "3" * 10_001}, "at most 10000 characters"),
        (["line"], "dictionary"),
    ],
)
def test_metadata_that_cannot_be_kept_are_refused(
    mvi: Base, dataset: str, files: list[str], pairs: dict[str, object], told: str
) -> None:
    assert mvi.file_metadata.add(dataset, files[0], pairs) is None
    assert mvi.status_code() in (400, 422) and told in mvi.json()["fault"]
    assert mvi.file_metadata.report(dataset, files[0]) == {}
    assert mvi.file_metadata.show(dataset, files[0], "line") is None
    assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find key 'line' of '0.png'")


def test_keys_are_those_that_pictures_have(mvi: Base, dataset: str, files: list[str]) -> None:
    key = {"name": "line", "dataset_id": dataset, "use_count": 0}
    assert mvi.file_keys.report(dataset) == []
    assert mvi.file_keys.create(dataset, "line", description="of the plant") == {**key, "result": "success"}
    for number, file in enumerate(files[:3]):
        mvi.file_metadata.add(dataset, file, {"line": str(number), "b": "x"} if number else {"line": "0"})
    assert mvi.file_keys.report(dataset) == [{**key, "name": "b", "use_count": 2}, {**key, "use_count": 3}]
    assert mvi.file_keys.show(dataset, "line") == {**key, "use_count": 3}
    assert mvi.file_keys.delete(dataset, "line")["deleted_count"] == 3
    assert mvi.file_keys.report(dataset) == [{**key, "name": "b", "use_count": 2}]
    assert mvi.file_metadata.report(dataset, files[1]) == {"b": "x"}
    assert mvi.file_keys.delete(dataset, "line")["deleted_count"] == 0
    assert mvi.file_keys.show(dataset, "line") is None
    assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find key 'line'")
    assert mvi.file_keys.create(dataset, "a" * 101) is None and mvi.status_code() == 400


@pytest.mark.parametrize("key", ["lens/f", "größe in mm", "a.b", "user-keys"])
def test_a_key_may_be_any_line(mvi: Base, dataset: str, files: list[str], key: str) -> None:
    mvi.file_metadata.add(dataset, files[0], {key: "3"})
    assert mvi.file_metadata.show(dataset, files[0], key) == {key: "3"}
    assert mvi.file_keys.show(dataset, key)["use_count"] == 1
    assert mvi.file_keys.update(dataset, key, name="other")["use_count"] == 1
    mvi.file_keys.update(dataset, "other", name=key)
    assert mvi.file_keys.delete(dataset, key)["deleted_count"] == 1


def test_a_key_gets_another_name_in_all_pictures(mvi: Base, dataset: str, files: list[str], running_parts: Parts) -> None:
    mvi.file_metadata.add(dataset, files[0], {"line": "3", "day": "28"})
    mvi.file_metadata.add(dataset, files[3], {"line": "4"})
    assert mvi.file_keys.update(dataset, "line", name="belt")["use_count"] == 2
    assert mvi.file_metadata.report(dataset, files[0]) == {"belt": "3", "day": "28"}
    assert mvi.file_metadata.report(dataset, files[3]) == {"belt": "4"}
    assert read_history(running_parts, 3)[-1].summary == "set attribute belt; removed attribute line"
    assert mvi.file_keys.update(dataset, "belt", name="belt")["use_count"] == 2
    assert len(read_history(running_parts, 3)) == 2
    for change, status, told in (
        ({"name": "day"}, 409, "choose another"),
        ({"description": "where it ran"}, 501, "no descriptions"),
        ({"name": ""}, 400, "at least 1 character"),
    ):
        assert mvi.file_keys.update(dataset, "belt", **change) is None
        assert mvi.status_code() == status and told in mvi.json()["fault"]
    assert mvi.file_keys.update(dataset, "absent", name="new") is None and mvi.status_code() == 404


def test_metadata_are_exported_as_csv(mvi: Base, dataset: str, files: list[str]) -> None:
    mvi.file_metadata.add(dataset, files[0], {"größe": "3, 4", "note": 'a "b"|\nc'})
    mvi.file_metadata.add(dataset, files[2], {"line": "7"})
    text = mvi.file_metadata.export(dataset)
    header, *rows = csv.reader(text.splitlines(keepends=True))
    assert text.endswith("\n") and header == ["#file_id", "größe", "line", "note"]
    assert rows == [
        [files[0], "3, 4", "", 'a "b"|\nc'],
        *([file, "", "7" if place == 2 else "", ""] for place, file in enumerate(files) if place),
    ]
    chosen = mvi.file_metadata.export(dataset, fmt="pipe", keys="line, absent", query='user_metadata.line == "7"')
    assert chosen == f"#file_id|line|absent\n{files[2]}|7|\n"
    mvi.file_metadata.export(dataset, fmt="tab")
    assert mvi.status_code() == 400 and "format" in mvi.json()["fault"]


def test_pictures_are_found_by_their_metadata(mvi: Base, dataset: str, files: list[str]) -> None:
    for number, file in enumerate(files[:3]):
        mvi.file_metadata.add(dataset, file, {"inspection_date": 20210301 + number, "lens.f": "8", "width": "odd"})
    for query, found in {
        "metadata.inspection_date > 20210302": files[2:3],  # as IBM's example asks
        "user_metadata.inspection_date <= 20210302": files[:2],
        'user_metadata.lens.f == "8", user_metadata.inspection_date != 20210302': [files[0], files[2]],
        'user_metadata.width == "odd"': files[:3],
        'metadata.width == "odd"': [],
    }.items():
        assert [file["_id"] for file in mvi.files.report(dataset, query=query)] == found, query
