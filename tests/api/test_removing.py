from pathlib import Path

from serving_fakes import write_brightness_artifact
from starlette.testclient import TestClient

from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, compute_manifest_id
from sightline.core.workspace import Workspace


def test_a_dataset_is_removed_and_comes_back_by_a_move(api: TestClient, parts: Workspace) -> None:
    before = api.get("/v1/datasets/parts").json()
    assert api.get("/v1/datasets/parts/dependents").json() == {"dependents": []}
    gone = api.delete("/v1/datasets/parts").json()
    assert gone["place"] == "datasets/parts" and gone["trash"].startswith("trash/")
    assert api.get("/v1/datasets").json() == {"datasets": [], "broken": {}}
    assert api.delete("/v1/datasets/parts").status_code == 404
    (parts.root / gone["trash"]).rename(parts.root / gone["place"])
    assert api.get("/v1/datasets/parts").json() == before


def test_what_was_made_is_removed(api: TestClient, workspace: Workspace, tmp_path: Path) -> None:
    made = write_brightness_artifact(tmp_path / "bright")
    place = workspace.place("artifacts", "bright", compute_manifest_id(read_manifest(made, ArtifactManifest)))
    place.parent.mkdir(parents=True)
    made.rename(place)
    workspace.set_latest(place)
    path = f"/v1/artifacts/bright/{place.name}"
    assert api.get(f"{path}/dependents").json() == {"dependents": []}
    assert api.delete(f"/v1/models/bright/{place.name}").status_code == 404
    assert api.delete("/v1/deployments/bright/1").status_code == 422
    assert api.delete(path).json()["place"] == "artifacts/bright"
    assert workspace.names("artifacts") == []
    assert api.delete(path).status_code == 404
