from pathlib import Path

import pytest
from platform_data import HEIGHT, WIDTH, paint
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.imaging.files.reading import decode_image, encode_image

UNKNOWN = "5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55"


def test_files_tell_their_labels(mvi: Base, dataset: str) -> None:
    files = {file["original_file_name"]: file for file in mvi.files.report(dataset)}
    assert list(files) == [f"{number}.png" for number in range(6)]
    first = files["0.png"]
    assert (first["file_type"], first["dataset_id"], first["owner"]) == ("image", dataset, "ada")
    assert first["file_name"] == f"{first['_id']}.png" and first["metadata"] == {"width": WIDTH, "height": HEIGHT}
    assert [(tag["tag_name"], tag["tag_count"]) for tag in first["tag_list"]] == [("dent", 1)]
    types = [files[f"{number}.png"]["label_type"] for number in (0, 3, 4)]
    assert types == ["manual", "auto", None]
    assert mvi.files.show(dataset, first["_id"]) == first


def test_files_are_found_by_queries_and_cut(mvi: Base, dataset: str) -> None:
    def names(**wanted: object) -> list[str]:
        return [file["original_file_name"] for file in mvi.files.report(dataset, **wanted)]

    assert names(query='original_file_name >= "3", label_type == "auto"') == ["3.png"]
    assert names(sortby="original_file_name DESC", skip=1, limit=2) == ["4.png", "3.png"]
    assert names(parent_id=UNKNOWN) == []
    assert mvi.files.report(dataset, query="name ~ 3") is None and mvi.status_code() == 422
    assert mvi.files.report(dataset, limit="many") is None and mvi.status_code() == 400
    assert mvi.json()["fault"].startswith("limit: ")


def test_the_category_of_a_picture_is_its_own_label(mvi: Base, dataset: str, running_parts: Parts) -> None:
    category = mvi.categories.create(dataset, "good")["dataset_category_id"]
    last = mvi.files.report(dataset)[4]
    assert last["category_id"] is None
    assert mvi.files.action(dataset, last["_id"], action="change_category", target_category_id=category) == {
        "result": "success"
    }
    changed = mvi.files.show(dataset, last["_id"])
    assert (changed["category_id"], changed["category_name"], changed["tag_list"]) == (category, "good", [])
    assert [file["_id"] for file in mvi.files.report(dataset, category_id=category)] == [last["_id"]]
    assert mvi.categories.action(dataset, category, action="calculate")["size"] == 1
    (entry,) = running_parts.store.open("parts").read_history(4)
    assert (entry.author, entry.summary) == ("ada", "added 1 good")
    mvi.files.action(dataset, last["_id"], action="change_category", target_category_id="")
    assert mvi.files.show(dataset, last["_id"])["category_id"] is None
    assert mvi.files.action(dataset, last["_id"], action="rotate") is None and "change_category" in mvi.json()["fault"]
    assert mvi.files.action(dataset, last["_id"], action="change_category", target_category_id=UNKNOWN) is None
    assert mvi.json()["fault"].startswith("Could not find category")


def test_pictures_and_thumbnails_are_where_the_client_looks_for_them(mvi: Base, dataset: str) -> None:
    file = mvi.files.report(dataset)[1]
    place = f"/uploads/{file['owner']}/datasets/{dataset}"
    mvi.server.get(f"{place}/files/{file['file_name']}")
    assert mvi.raw_http_response().content == encode_image(paint(1), "png")
    mvi.server.get(f"{place}/thumbnails/{file['_id']}.jpg")
    assert mvi.raw_http_response().headers["content-type"] == "image/jpeg"
    assert decode_image(mvi.raw_http_response().content).shape == (HEIGHT, WIDTH, 3)
    mvi.server.get(f"{place}/files/{file['_id']}.größe-日")
    assert mvi.raw_http_response().content == encode_image(paint(1), "png")
    for path in (f"{place}/thumbnails/{UNKNOWN}.jpg", f"{place}/files/{UNKNOWN}.png", f"{place}/files/x"):
        assert mvi.server.get(path) is None
        assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find file")


@pytest.mark.parametrize("words", ["sortby=" + ",".join(["_id"] * 60), "query=" + ",".join(["_id!='a'"] * 300)])
def test_what_orders_or_narrows_a_list_is_short(mvi: Base, dataset: str, words: str) -> None:
    assert mvi.server.get(f"/datasets/{dataset}/files?{words}") is None
    assert mvi.status_code() == 400 and "at most" in mvi.json()["fault"]


def test_the_download_of_the_client_never_arrives(mvi: Base, dataset: str, tmp_path: Path) -> None:
    file = mvi.files.report(dataset)[0]  # defect of the client: it puts https:// before an address that has http:// already
    assert mvi.files.download(dataset, file["_id"], False, str(tmp_path / "0.png")) is None
    assert mvi.status_code() is None and not (tmp_path / "0.png").exists()


def test_an_unknown_file_is_refused_in_the_words_that_scripts_look_for(mvi: Base, dataset: str) -> None:
    for unknown in (UNKNOWN, "0.png", "x" * 300):
        assert mvi.files.show(dataset, unknown) is None
        assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find file")
