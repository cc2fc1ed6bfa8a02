import shutil
from pathlib import Path
from typing import Any

import pytest
from platform_data import HEIGHT, WIDTH
from serving_fakes import write_brightness_artifact
from small_artifacts import write_halves
from starlette.testclient import TestClient

from sightline.api import predicting
from sightline.core.folders import MANIFEST_NAME
from sightline.core.manifests import ArtifactManifest
from sightline.core.shelving import read_whole, shelve
from sightline.core.workspace import Workspace
from sightline.serving.deployments import deploy_artifact

pytestmark = pytest.mark.usefixtures("parts")
LEFT = [0, 0, WIDTH / 2, HEIGHT]


def shelve_artifact(workspace: Workspace, tmp_path: Path, name: str, **fields: Any) -> None:
    folder = write_halves(tmp_path / name, **fields)
    manifest = read_whole(folder, ArtifactManifest)
    assert manifest is not None
    shelve(folder, workspace, "artifacts", manifest)


@pytest.fixture
def deployed(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The deployment `halves`, which sees a dent in the left half of every picture."""
    deploy_artifact(write_halves(tmp_path / "halves", categories=("dent", "scratch")), "halves", workspace.deployments)
    return workspace


def predict(api: TestClient, position: int, subject: str, **fields: Any) -> Any:
    return api.post(f"/v1/datasets/parts/items/{position}/predictions", json={"with": subject} | fields)


def test_what_gives_annotations_is_listed_by_name(api: TestClient, deployed: Workspace, tmp_path: Path) -> None:
    deploy_artifact(write_brightness_artifact(tmp_path / "brightness"), "brightness", deployed.deployments)
    deploy_artifact(write_halves(tmp_path / "broken"), "broken", deployed.deployments)
    (deployed.deployments / "broken" / MANIFEST_NAME).write_text("{")
    listed = api.get("/v1/predictors").json()["predictors"]
    assert listed == [
        {"name": "brightness", "kind": "deployment", "task": "classification", "categories": ["dark", "bright"]},
        {"name": "halves", "kind": "deployment", "task": "detection", "categories": ["dent", "scratch"]},
    ]


def test_a_workspace_without_predictors_has_none(api: TestClient) -> None:
    assert api.get("/v1/predictors").json() == {"predictors": []}
    refused = predict(api, 0, "halves")
    assert refused.status_code == 404 and "none yet" in refused.json()["detail"]


def test_proposals_are_a_models_and_are_not_stored(api: TestClient, deployed: Workspace) -> None:
    found = predict(api, 4, "halves").json()
    assert found == {
        "annotations": [{"category": "dent", "box_xyxy": LEFT, "confidence": 0.5, "origin": "model"}],
        "unknown_categories": {},
    }
    assert api.get("/v1/datasets/parts/items/4").json()["labels"] == []
    assert predict(api, 4, "halves", confidence_threshold=0.6).json()["annotations"] == []


def test_what_people_labelled_already_is_not_proposed_again(api: TestClient, deployed: Workspace) -> None:
    put = {"kind": "put", "id": "new0", "annotation": {"category": "dent", "box_xyxy": [1, 1, 31, 47]}}
    edit = {"edit_id": "edit-000001", "revision": 0, "operations": [put]}
    assert api.post("/v1/datasets/parts/items/4/edits", json=edit).status_code == 200
    assert predict(api, 4, "halves").json()["annotations"] == []


def test_categories_that_the_dataset_lacks_are_counted_and_named(api: TestClient, workspace: Workspace, tmp_path: Path) -> None:
    deploy_artifact(write_halves(tmp_path / "rusty", categories=("rust", "scratch")), "rusty", workspace.deployments)
    assert predict(api, 4, "rusty").json() == {"annotations": [], "unknown_categories": {"rust": 1}}
    api.post("/v1/datasets/parts/categories", json={"name": "rust"})
    assert len(predict(api, 4, "rusty").json()["annotations"]) == 1


def test_one_predictor_is_kept_open_and_a_new_version_of_it_takes_over(
    api: TestClient, deployed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    closed: list[str] = []

    def open_counted(name: str, workspace: Workspace) -> Any:
        opened.append(name)
        predictor = open_subject(name, workspace)
        close = predictor.close

        def close_counted() -> None:
            closed.append(name)
            close()

        monkeypatch.setattr(predictor, "close", close_counted)
        return predictor

    open_subject = predicting.open_subject
    monkeypatch.setattr(predicting, "open_subject", open_counted)
    deploy_artifact(write_halves(tmp_path / "other", categories=("scratch", "dent")), "other", deployed.deployments)
    for name in ("halves", "halves", "other", "other", "halves"):
        assert predict(api, 4, name).status_code == 200
    assert (opened, closed) == (["halves", "other", "halves"], ["halves", "other"])
    deploy_artifact(write_halves(tmp_path / "newer", categories=("scratch", "dent")), "halves", deployed.deployments)
    assert predict(api, 4, "halves").json()["annotations"][0]["category"] == "scratch"


@pytest.mark.parametrize("name", ["../../halves", "/tmp", "halves/1", ".", "a" * 150])
def test_a_path_is_no_name(api: TestClient, deployed: Workspace, name: str) -> None:
    assert predict(api, 4, name).status_code == 404


def test_a_predictor_that_is_damaged_says_so_and_others_go_on(api: TestClient, deployed: Workspace, tmp_path: Path) -> None:
    folder = deploy_artifact(write_halves(tmp_path / "torn"), "torn", deployed.deployments)
    shutil.copy(folder / "model.onnx", tmp_path / "kept.onnx")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(b"torn")
    assert predict(api, 4, "torn").status_code == 422
    assert predict(api, 4, "halves").status_code == 200


def test_wrong_wishes_are_refused(api: TestClient, deployed: Workspace) -> None:
    for fields in ({"confidence_threshold": 2}, {"threshold": 0.5}, {"with": ""}, {"with": None}):
        assert predict(api, 4, "halves", **fields).status_code == 422
