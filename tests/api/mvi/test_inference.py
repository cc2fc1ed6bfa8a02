import hashlib
from pathlib import Path

import pytest
from platform_data import HEIGHT, WIDTH, paint
from serving_fakes import write_brightness_artifact
from small_artifacts import write_halves
from vapi.base import Base

from sightline.core.annotations import MaskRle
from sightline.core.manifests import Task
from sightline.core.workspace import Workspace
from sightline.imaging.files.reading import encode_image
from sightline.imaging.rle import decode_mask
from sightline.serving.deployments import deploy_artifact


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """A dark picture on the disk."""
    path = tmp_path / "picture.png"
    path.write_bytes(encode_image(paint(0), "png"))
    return str(path)


def deploy(mvi: Base, workspace: Workspace, tmp_path: Path, task: Task) -> str:
    """The id of a Deployment of `write_halves`."""
    deploy_artifact(write_halves(tmp_path / "made" / task, task), task, workspace.deployments)
    return str(next(row["_id"] for row in mvi.deployed_models.report() if row["name"] == task))


def test_objects_are_answered_as_the_original_does(mvi: Base, workspace: Workspace, tmp_path: Path, picture: str) -> None:
    api = deploy(mvi, workspace, tmp_path, "detection")
    answer = mvi.deployed_models.infer(api, picture)
    assert answer == {
        "webAPIId": api,
        "imageUrl": "",
        "imageMd5": hashlib.md5(Path(picture).read_bytes()).hexdigest(),
        "classified": [
            {"label": "dark", "confidence": 0.5, "xmin": 0, "ymin": 0, "xmax": WIDTH // 2, "ymax": HEIGHT, "attr": [{}]}
        ],
        "result": "success",
    }
    assert mvi.deployed_models.infer(api, picture, confthre=0.6)["classified"] == []
    assert mvi.deployed_models.infer(api, picture, confthre="0.4", waitForResults=True, genCaption="x")["classified"]


def test_areas_are_answered_as_polygons_or_run_lengths(mvi: Base, workspace: Workspace, tmp_path: Path, picture: str) -> None:
    api = deploy(mvi, workspace, tmp_path, "semantic")
    left = next(row for row in mvi.deployed_models.infer(api, picture)["classified"] if row["xmin"] == 0)
    half = WIDTH // 2
    assert left["polygons"] == [[[0, 0], [half, 0], [half, HEIGHT], [0, HEIGHT]]] and "rle" not in left
    left = mvi.deployed_models.infer(api, picture, containPolygon=False, containrle=True)["classified"][0]
    assert "polygons" not in left and left["rle"]["size"] == [HEIGHT, WIDTH]
    mask = decode_mask(MaskRle(height=HEIGHT, width=WIDTH, counts=left["rle"]["counts"]))
    assert mask.sum() == half * HEIGHT


def test_as_many_categories_as_were_asked_for(mvi: Base, workspace: Workspace, tmp_path: Path, picture: str) -> None:
    deploy_artifact(write_brightness_artifact(tmp_path / "made" / "tone"), "tone", workspace.deployments)
    api = mvi.deployed_models.report()[0]["_id"]
    (best,) = mvi.deployed_models.infer(api, picture)["classified"]
    assert best["label"] == "dark" and best.keys() == {"label", "confidence"}
    both = mvi.deployed_models.infer(api, picture, clsnum=2)["classified"]
    assert [one["label"] for one in both] == ["dark", "bright"] and both[0] == best


def test_what_cannot_be_answered_is_refused(mvi: Base, workspace: Workspace, tmp_path: Path, picture: str) -> None:
    api = deploy(mvi, workspace, tmp_path, "detection")
    for fields, status in (({"containHeatMap": "true"}, 501), ({"confthre": "1.5"}, 422), ({"clsnum": "some"}, 422)):
        assert mvi.deployed_models.infer(api, picture, **fields) is None
        assert mvi.status_code() == status and next(iter(fields)) in mvi.json()["fault"]
    assert mvi.deployed_models.infer(api, __file__) is None and mvi.status_code() == 422
    assert mvi.server.get(f"/dlapis/{api}", params={"imageUrl": "http://127.0.0.1/"}) is None
    assert mvi.status_code() == 501
    assert mvi.deployed_models.infer("none", picture) is None
    assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find webapi")
    assert mvi.server.post(f"/dlapis/{api}", files=[("files", ("a", b"1")), ("files", ("b", b"2"))]) is None
    assert "one picture" in mvi.json()["fault"]
    assert [path.name for path in workspace.root.iterdir() if path.name.startswith(".upload-")] == []
