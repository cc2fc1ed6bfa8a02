import shutil
from pathlib import Path

import pytest
from platform_data import make_dataset
from starlette.testclient import TestClient

from sightline.core.workspace import Workspace


def test_an_empty_workspace_has_no_datasets_and_is_made(api: TestClient, workspace: Workspace) -> None:
    assert api.get("/v1/datasets").json() == {"datasets": [], "broken": {}}
    assert workspace.root.is_dir()
    assert api.get("/v1/datasets/parts").status_code == 404


def test_a_dataset_tells_how_far_its_labels_are(api: TestClient, parts: Workspace) -> None:
    (version,) = parts.list("datasets", "parts")
    summary = api.get("/v1/datasets/parts").json()
    assert api.get("/v1/datasets").json() == {"datasets": [summary], "broken": {}}
    assert summary.pop("base_id").startswith(version.name)
    assert summary == {
        "name": "parts",
        "item_count": 6,
        "states": {"labelled": 4, "proposed": 1, "unlabelled": 1},
        "splits": {"train": 3, "val": 3},
        "annotation_counts": {"dent": 3, "scratch": 1},
        "categories": [
            {"id": 1, "name": "dent", "colour": "#f23d3d"},  # hue 0 and hue 0.618 at 0.75 and 0.95, by hand
            {"id": 2, "name": "scratch", "colour": "#3d72f2"},
        ],
        "unfrozen_edits": 0,
        "newer_version": None,
    }


def test_a_damaged_dataset_does_not_hide_the_others(api: TestClient, parts: Workspace) -> None:
    make_dataset(parts, "torn")
    (folder,) = parts.list("datasets", "torn")
    (folder / "items.parquet").write_bytes(b"torn")
    listed = api.get("/v1/datasets").json()
    assert [summary["name"] for summary in listed["datasets"]] == ["parts"]
    assert "items.parquet" in listed["broken"]["torn"]


def test_a_folder_where_the_server_was_started_is_not_taken_for_the_dataset_of_its_name(
    parts: Workspace, api: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = make_dataset(Workspace(tmp_path / "other"), labels=[()])
    elsewhere.folder.rename(tmp_path / "parts")
    monkeypatch.chdir(tmp_path)
    assert api.get("/v1/datasets/parts").json()["item_count"] == 6


def test_a_dataset_that_is_made_meanwhile_is_there(api: TestClient, workspace: Workspace) -> None:
    assert api.get("/v1/datasets").json()["datasets"] == []
    make_dataset(workspace)
    assert [summary["name"] for summary in api.get("/v1/datasets").json()["datasets"]] == ["parts"]


@pytest.mark.usefixtures("parts")
def test_categories_are_added_renamed_and_removed(api: TestClient) -> None:
    url = "/v1/datasets/parts/categories"
    made = api.post(url, json={"name": "rust"})
    assert made.status_code == 201
    assert [category["name"] for category in made.json()["categories"]] == ["dent", "scratch", "rust"]
    renamed = api.patch(f"{url}/2", json={"name": "scrape"}).json()["categories"]
    assert [category["name"] for category in renamed] == ["dent", "scrape", "rust"]
    assert api.get("/v1/datasets/parts/items/1").json()["labels"][0]["annotation"]["category"] == "scrape"
    left = api.delete(f"{url}/3").json()["categories"]
    assert [category["name"] for category in left] == ["dent", "scrape"]


@pytest.mark.usefixtures("parts")
def test_categories_that_cannot_be_are_refused(api: TestClient) -> None:
    url = "/v1/datasets/parts/categories"
    assert api.post(url, json={"name": "dent"}).status_code == 409
    assert api.delete(f"{url}/1").status_code == 409  # in use
    assert api.delete(f"{url}/77").status_code == 404
    assert api.patch(f"{url}/1", json={"name": "scratch"}).status_code == 409
    for name in ("", " dent", "a\nb", "x" * 300, None, 5):
        assert api.post(url, json={"name": name}).status_code == 422, name


def test_freezing_makes_a_version_that_everything_else_uses(api: TestClient, parts: Workspace) -> None:
    url = "/v1/datasets/parts/versions"
    assert api.post(url).status_code == 409  # nothing to freeze
    (before,) = api.get(url).json()["versions"]
    put = {"kind": "put", "id": "new0", "annotation": {"category": "scratch", "box_xyxy": [1, 2, 11, 12]}}
    api.post("/v1/datasets/parts/items/4/edits", json={"edit_id": "edit-000001", "revision": 0, "operations": [put]})
    assert api.get("/v1/datasets/parts").json()["unfrozen_edits"] == 1
    frozen = api.post(url)
    assert frozen.status_code == 201
    version = frozen.json()
    assert (version["item_count"], version["annotation_counts"]) == (6, {"dent": 3, "scratch": 2})
    assert (version["made_by"], version["parents"]) == ("label", [before["id"]])
    assert api.get(url).json() == {"versions": [before, version], "broken": {}}
    summary = api.get("/v1/datasets/parts").json()
    assert (summary["base_id"], summary["unfrozen_edits"]) == (version["id"], 0)
    assert parts.find("datasets", "parts").name == version["id"][:16]
    item = api.get("/v1/datasets/parts/items/4").json()
    assert (item["labels"][0]["id"], item["revision"]) == ("new0", 1)


def test_a_version_that_cannot_be_read_does_not_hide_the_others(api: TestClient, parts: Workspace) -> None:
    (folder,) = parts.list("datasets", "parts")
    torn = folder.parent / ("0" * 16)
    shutil.copytree(folder, torn)
    (torn / "manifest.json").write_text("{")
    listed = api.get("/v1/datasets/parts/versions").json()
    assert len(listed["versions"]) == 1 and list(listed["broken"]) == ["0" * 16]
