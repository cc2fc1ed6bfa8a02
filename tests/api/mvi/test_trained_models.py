import io
import zipfile
from pathlib import Path

import pytest
from mvi_models import shelve_model
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.core.workspace import Workspace

UNKNOWN = "5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55"


@pytest.fixture
def model(running_parts: Parts, workspace: Workspace, tmp_path: Path) -> Path:
    """The folder of a Model that learned from `parts`."""
    version = running_parts.store.open("parts").version
    return shelve_model(
        workspace, tmp_path / "plain", "found", dataset_version=version.id, metrics={"map": 0.5, "primary": "map"}
    )


def test_models_are_listed_with_what_they_learned_from(mvi: Base, model: Path, workspace: Workspace, tmp_path: Path) -> None:
    shelve_model(workspace, tmp_path / "other", "seen", task="classification", created_at="2026-02-01T00:00:00+00:00")
    newest, row = mvi.trained_models.report()
    assert (newest["name"], newest["usage"], newest["dataset_id"]) == ("seen", "cic", None)
    assert (row["name"], row["usage"], row["nn_arch"], row["status"]) == ("found", "cod", "center-small", "trained")
    assert (row["dataset_id"], row["production_status"]) == (mvi.datasets.report()[0]["_id"], "untested")
    assert row["metrics"] == {"map": 0.5, "primary": "map"}
    assert [one["name"] for one in mvi.trained_models.report(usage="cod")] == ["found"]
    assert mvi.trained_models.report(production_status="production") == [] == mvi.trained_models.report(pg_id=UNKNOWN)
    assert mvi.trained_models.show(row["_id"]) == row


@pytest.mark.usefixtures("idle")
def test_a_model_is_found_by_the_training_that_made_it(mvi: Base, model: Path, running_parts: Parts) -> None:
    task = mvi.dl_tasks.create("found", mvi.datasets.report()[0]["_id"], "cod")["task_id"]
    (job,) = running_parts.jobs.store.list().jobs
    made = {"shelf": "models", "name": "found", "id": model.name, "facts": {}}
    running_parts.jobs.store.change(job.id, ("queued",), state="succeeded", made=made)
    assert mvi.dl_tasks.show(task)["status"] == "trained"
    assert mvi.trained_models.show(task)["_id"] == mvi.trained_models.report()[0]["_id"] != task
    assert mvi.trained_models.delete(task) == {"result": "success"}
    assert mvi.trained_models.report() == [] == mvi.dl_tasks.report()


def test_models_are_removed_together_and_counted(mvi: Base, model: Path, workspace: Workspace) -> None:
    row = mvi.trained_models.report()[0]
    answer = mvi.server.post("/trained-models/action", json={"action": "delete", "model_list": [row["_id"], UNKNOWN]})
    assert answer == {"success_count": 1, "fail_count": 1, "result": "success"}
    assert workspace.names("models") == [] and mvi.trained_models.delete(row["_id"]) is None
    assert mvi.json()["fault"].startswith("Could not find trainedModel")
    assert mvi.server.post("/trained-models/action", json={"action": "turn"}) is None


def test_a_model_and_its_graph_are_given_away(mvi: Base, model: Path, tmp_path: Path) -> None:
    row = mvi.trained_models.report()[0]
    path = mvi.trained_models.export(row["_id"], str(tmp_path / "model.zip"))
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["found/manifest.json", "found/model.onnx"]
        assert archive.read("found/model.onnx") == b"graph"
    mvi.trained_models.download_asset(row["_id"], "onnx", str(tmp_path / "model.onnx"))
    assert (tmp_path / "model.onnx").read_bytes() == b"graph"
    mvi.trained_models.download_asset(row["_id"], "coreml", str(tmp_path / "model.mlmodel"))
    assert mvi.status_code() == 501 and "onnx" in mvi.json()["fault"]


def test_what_a_model_cannot_become_is_refused(mvi: Base, model: Path, tmp_path: Path) -> None:
    row = mvi.trained_models.report()[0]
    assert mvi.trained_models.update(row["_id"], production_status="untested")["_id"] == row["_id"]
    assert mvi.trained_models.update(row["_id"], production_status="production") is None and mvi.status_code() == 501
    assert mvi.trained_models.update(row["_id"], pg_id="p") is None and "project groups" in mvi.json()["fault"]
    with zipfile.ZipFile(io.BytesIO(), "w"), (tmp_path / "m.zip").open("wb"):
        pass
    assert mvi.trained_models.import_model(str(tmp_path / "m.zip")) is None and "sightline import" in mvi.json()["fault"]
    assert mvi.trained_models.show(UNKNOWN) is None
    assert mvi.status_code() == 404 and mvi.json()["fault"].startswith("Could not find trainedModel")
