import json
import zipfile
from pathlib import Path

import pytest
from platform_data import paint
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.imaging.files.reading import encode_image


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Ten pictures that `parts` has not."""
    paths = [tmp_path / f"new-{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        path.write_bytes(encode_image(paint(10 + number), "png"))
    return [str(path) for path in paths]


def test_pictures_join_a_dataset_that_was_made_empty(mvi: Base, pictures: list[str], running_parts: Parts) -> None:
    dataset = mvi.datasets.create("fresh")["dataset_id"]
    answer = mvi.files.upload(dataset, pictures)
    assert answer["result"] == "success"
    assert [one["result"] for one in answer["resultList"]] == ["success"] * 10
    files = {file["_id"]: file for file in mvi.files.report(dataset)}
    assert [files[one["_id"]]["original_file_name"] for one in answer["resultList"]] == [Path(path).name for path in pictures]
    assert running_parts.store.open("fresh").summarise().splits == {"train": 8, "val": 1, "test": 1}


def test_pictures_that_are_there_and_files_that_are_none_are_told_apart(mvi: Base, pictures: list[str], tmp_path: Path) -> None:
    (row,) = mvi.datasets.report()
    known, broken = tmp_path / "known.png", tmp_path / "broken.png"
    known.write_bytes(encode_image(paint(0), "png"))
    broken.write_bytes(b"no picture")
    answer = mvi.files.upload(row["_id"], [pictures[0], str(known), str(broken)])
    new, old, lost = answer["resultList"]
    assert (new["result"], old["result"], lost["result"]) == ("success", "success", "fail")
    assert (new["original_file_name"], old["original_file_name"], lost["fileName"]) == ("new-0.png", "0.png", "broken.png")
    assert mvi.datasets.show(row["_id"])["total_file_count"] == 7
    assert mvi.files.upload(row["_id"], [str(broken)]) is None  # the client reads nothing of what failed
    assert mvi.status_code() == 422 and mvi.json()["result"] == "fail"
    assert [one["result"] for one in mvi.json()["resultList"]] == ["fail"]


def test_an_archive_brings_its_pictures(mvi: Base, pictures: list[str], tmp_path: Path) -> None:
    (row,) = mvi.datasets.report()
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for path in pictures[:3]:
            archive.write(path, f"deep/{Path(path).name}")
    answer = mvi.files.upload(row["_id"], [str(tmp_path / "more.zip")])
    assert [one["result"] for one in answer["resultList"]] == ["success"] * 3
    assert mvi.datasets.show(row["_id"])["total_file_count"] == 9


def test_a_video_brings_its_frames(mvi: Base, shared_data: Path) -> None:
    (row,) = mvi.datasets.report()
    video = next((shared_data / "video").rglob("*.avi"))
    results = mvi.files.upload(row["_id"], [str(video)])["resultList"]
    assert results and {one["result"] for one in results} == {"success"}
    assert mvi.datasets.show(row["_id"])["total_file_count"] == 6 + len(results)


def test_labels_come_with_their_picture(mvi: Base, pictures: list[str]) -> None:
    (row,) = mvi.datasets.report()
    labels = json.dumps([{"name": "dent", "bnd_box": {"xmin": 1, "ymin": 2, "xmax": 11, "ymax": 12}}])
    (result,) = mvi.files.upload(row["_id"], pictures[:1], labels=labels)["resultList"]
    (label,) = mvi.object_labels.report(row["_id"], result["_id"])
    assert (label["name"], label["bnd_box"]["xmax"], label["generate_type"]) == ("dent", 11, "manual")


def test_metadata_come_with_all_pictures_that_are_sent_in_one_edit_each(mvi: Base, pictures: list[str]) -> None:
    (row,) = mvi.datasets.report()
    dataset = row["_id"]
    old = mvi.files.upload(dataset, pictures[:1])["resultList"][0]["_id"]
    results = mvi.files.upload(dataset, pictures[:3], **{"user-metadata": '{"line": "3", "day": 28}'})["resultList"]
    assert [one["result"] for one in results] == ["success"] * 3 and old in [one["_id"] for one in results]
    for one in results:
        assert mvi.file_metadata.report(dataset, one["_id"]) == {"day": "28", "line": "3"}
    assert mvi.file_keys.report(dataset) == [
        {"name": "day", "dataset_id": dataset, "use_count": 3},
        {"name": "line", "dataset_id": dataset, "use_count": 3},
    ]
    label = json.dumps([{"name": "dent", "bnd_box": {"xmin": 1, "ymin": 2, "xmax": 11, "ymax": 12}}])
    (result,) = mvi.files.upload(dataset, pictures[3:4], labels=label, **{"user-metadata": '{"line": "4"}'})["resultList"]
    assert len(mvi.object_labels.report(dataset, result["_id"])) == 1
    assert mvi.file_metadata.report(dataset, result["_id"]) == {"line": "4"}


@pytest.mark.parametrize(
    ("sent", "count", "told"),
    [
        ({"labels": "[]x"}, 1, "labels"),
        ({"labels": '[{"name": "hole", "bnd_box": {"xmin": 1, "ymin": 2, "xmax": 3}}]'}, 1, "labels"),
        ({"labels": '[{"name": "dent", "bnd_box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}]'}, 2, "one picture"),
        ({"user-metadata": '{"site": null}'}, 2, "user-metadata"),
        ({"user-metadata": '["site"]'}, 2, "user-metadata"),
        ({"user-metadata": '{"": "x"}'}, 2, "user-metadata"),
        ({"user-metadata": '{"a\\nb": "x"}'}, 2, "a key of one line"),
        ({"user-metadata": json.dumps(dict.fromkeys(map(str, range(201)), "x"))}, 2, "at most 200 attributes"),
    ],
)
def test_what_cannot_come_with_pictures_is_refused_before_they_join(
    mvi: Base, pictures: list[str], sent: dict[str, str], count: int, told: str
) -> None:
    (row,) = mvi.datasets.report()
    assert mvi.files.upload(row["_id"], pictures[:count], **sent) is None
    assert told in mvi.json()["fault"]
    assert mvi.datasets.show(row["_id"])["total_file_count"] == 6
