from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from platform_data import make_dataset
from small_artifacts import write_halves
from starlette.testclient import TestClient

from sightline.core.folders import MANIFEST_NAME, hash_files, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec, InputSpec, ModelManifest
from sightline.core.shelving import read_whole, shelve
from sightline.core.workspace import Workspace
from sightline.imaging.files.reading import decode_image
from sightline.serving.deployments import deploy_artifact

REPORT = b'{"verdict": "int8 is the best that passes", "flip_count": 3, "comparison": {"change": -0.01, "rows": []}}'


@pytest.fixture
def halves(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The artifact `halves` with pages of its own, deployed as `seen`."""
    folder = write_halves(tmp_path / "plain" / "halves")
    manifest = read_whole(folder, ArtifactManifest)
    assert manifest is not None
    (folder / "report.json").write_bytes(REPORT)
    (folder / "report.html").write_text("<p>a page</p><script>no</script>")
    manifest = replace(manifest, files=hash_files(folder))
    write_manifest(folder, manifest)
    deploy_artifact(shelve(folder, workspace, "artifacts", manifest), "seen", workspace.deployments)
    return workspace


def test_an_empty_workspace_has_empty_shelves(api: TestClient) -> None:
    for shelf in ("models", "artifacts", "deployments", "reports"):
        assert api.get(f"/v1/{shelf}").json() == {shelf: [], "broken": {}}


def test_artifacts_and_deployments_are_listed_with_what_their_manifests_say(api: TestClient, halves: Workspace) -> None:
    (artifact,) = api.get("/v1/artifacts").json()["artifacts"]
    identity = halves.find("artifacts", "halves").name
    assert (artifact["name"], artifact["id"], artifact["is_latest"], artifact["task"]) == (
        "halves",
        identity,
        True,
        "detection",
    )
    assert artifact["report"] == {"verdict": "int8 is the best that passes", "flip_count": 3, "change": -0.01}
    assert artifact["files"] == ["report.html", "report.json"]
    (deployment,) = api.get("/v1/deployments").json()["deployments"]
    assert (deployment["name"], deployment["version"], deployment["versions"]) == ("seen", 1, [1])
    assert deployment["artifact_id"].startswith(identity)


def test_a_model_tells_how_it_was_trained_wherever_that_was_asked_for(
    api: TestClient, workspace: Workspace, tmp_path: Path
) -> None:
    version = make_dataset(workspace)
    shelve_model(workspace, tmp_path, "trained", dataset_version=version.id, seed=7, recipe={"budget": "60cpu-s", "seed": 7})
    shelve_model(workspace, tmp_path, "moved", dataset_version="0" * 64, seed=0, recipe={"budget": "3it"})
    shelve_model(workspace, tmp_path, "imported", network="keras/net")
    told = {
        one["name"]: [one[word] for word in ("dataset", "budget", "seed")] for one in api.get("/v1/models").json()["models"]
    }
    assert told == {"trained": ["parts", "60cpu-s", 7], "moved": [None, "3it", 0], "imported": [None, None, None]}


def test_what_is_broken_does_not_hide_the_rest(api: TestClient, halves: Workspace) -> None:
    broken = halves.root / "artifacts" / "torn" / "0123456789abcdef"
    broken.mkdir(parents=True)
    (broken / MANIFEST_NAME).write_text("{")
    listed = api.get("/v1/artifacts").json()
    assert [one["name"] for one in listed["artifacts"]] == ["halves"]
    assert list(listed["broken"]) == ["torn@0123456789abcdef"]


def test_a_file_that_was_taken_away_is_told_and_does_not_hide_the_rest(api: TestClient, halves: Workspace) -> None:
    folder = halves.find("artifacts", "halves")
    (folder / "report.html").unlink()
    assert api.get(f"/v1/artifacts/halves/{folder.name}/files/report.html").status_code == 404
    (folder / "report.json").unlink()
    listed = api.get("/v1/artifacts").json()
    assert listed["artifacts"] == [] and "report.json" in listed["broken"][f"halves@{folder.name}"]


def test_files_are_shown_in_a_sandbox_and_no_others(api: TestClient, halves: Workspace) -> None:
    place = f"/v1/artifacts/halves/{halves.find('artifacts', 'halves').name}/files"
    page = api.get(f"{place}/report.html")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups; default-src 'none'") and "script-src" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for file in ("model.onnx", "manifest.json", "%2e%2e/latest", "..%2f..%2flatest", "none.html"):
        assert api.get(f"{place}/{file}").status_code == 404
    assert api.get("/v1/datasets/halves/0123456789abcdef/files/items.parquet").status_code in (404, 422)
    assert api.get(place.replace("halves", "others", 1) + "/report.html").status_code == 404


def test_a_deployment_answers_about_a_picture_that_is_sent(api: TestClient, halves: Workspace) -> None:
    make_dataset(halves)
    content = api.get("/v1/datasets/parts/items/0/picture").content
    height, width = decode_image(content).shape[:2]
    answer = api.post("/v1/deployments/seen/predict", content=content).json()
    assert (answer["deployment"], answer["width"], answer["height"]) == ("seen", width, height)
    (found,) = answer["annotations"]
    assert found["box_xyxy"] == [0, 0, width / 2, height] and found["confidence"] == 0.5
    assert api.post("/v1/deployments/seen/predict?confidence=0.9", content=content).json()["annotations"] == []
    drawn = api.post("/v1/deployments/seen/predict?format=png", content=content)
    assert drawn.headers["content-type"] == "image/png" and decode_image(drawn.content).shape == (height, width, 3)
    assert api.post("/v1/deployments/seen/predict", content=b"no picture").status_code == 422
    assert api.post("/v1/deployments/none/predict", content=content).status_code == 404


def shelve_model(workspace: Workspace, tmp_path: Path, name: str, **recorded: Any) -> None:
    """A Model of which nothing matters but its manifest."""
    folder = tmp_path / "plain" / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    facts: dict[str, Any] = {"network": "resnet18", "created_at": "2026-01-01T00:00:00+00:00", **recorded}
    manifest = ModelManifest(
        name=name,
        task="classification",
        categories=("dent",),
        input=InputSpec(name="image", width=32, height=32),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        parameter_count=1,
        files=hash_files(folder),
        **facts,
    )
    write_manifest(folder, manifest)
    shelve(folder, workspace, "models", manifest)
