from pathlib import Path

import pytest
from mvi_models import shelve_model
from small_artifacts import write_halves
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, ModelManifest, compute_manifest_id
from sightline.core.shelving import shelve
from sightline.core.workspace import Workspace
from sightline.serving.deployments import deploy_artifact

UNKNOWN = "5c0d3a8e-41f6-4d0e-9d4b-6f2f6a1f7a55"

pytestmark = pytest.mark.usefixtures("idle")


@pytest.fixture
def model(running_parts: Parts, workspace: Workspace, tmp_path: Path) -> Path:
    """The folder of a Model that learned from `parts`."""
    return shelve_model(workspace, tmp_path / "plain", "found", dataset_version=running_parts.store.open("parts").version.id)


@pytest.fixture
def model_id(mvi: Base, model: Path) -> str:
    """Its id."""
    return str(mvi.trained_models.report()[0]["_id"])


def deploy_halves(workspace: Workspace, tmp_path: Path, model: Path, name: str) -> None:
    """Have an Artifact of the Model answer."""
    model_id = compute_manifest_id(read_manifest(model, ModelManifest))
    folder = write_halves(tmp_path / "made" / "halves", model_id=model_id)
    shelved = shelve(folder, workspace, "artifacts", read_manifest(folder, ArtifactManifest))
    deploy_artifact(shelved, name, workspace.deployments)


@pytest.mark.parametrize(
    ("accel_type", "device", "precision"),
    [
        (None, "cpu", "fp32"),
        ("CPU", "cpu", "fp32"),
        ("FPGA_XFDNN_8_BIT", "fpga-emulator", "int8"),
        ("FPGA_XFDNN_16_BIT", "fpga-emulator", "int16"),
    ],
)
def test_a_model_is_compiled_for_the_accelerator_and_deployed(
    mvi: Base, model: Path, model_id: str, running_parts: Parts, accel_type: str | None, device: str, precision: str
) -> None:
    wanted = {} if accel_type is None else {"accel_type": accel_type}
    made = mvi.deployed_models.create(model_id, "my api", **wanted)
    (job,) = running_parts.jobs.store.list().jobs
    arguments = job.arguments
    assert (job.kind, arguments["device"], arguments["precision"], arguments["deploy"]) == (
        "compile",
        device,
        precision,
        "my-api",
    )
    assert arguments["model"] == f"found@{model.name}"
    assert (arguments["dataset"] is None) == (precision == "fp32")
    assert made["result"] == "success" and made["webAPIId"] == made["_id"]
    (row,) = mvi.deployed_models.report()
    assert row["_id"] == made["_id"] and (row["status"], row["usage"], row["nn_arch"]) == ("starting", "cod", "center-small")
    assert (row["name"], row["trained_model_id"], row["accel_type"]) == ("my-api", model_id, accel_type or "CPU")


def test_a_deployment_that_answers_is_ready_and_goes_on_while_another_is_made(
    mvi: Base, model: Path, model_id: str, running_parts: Parts, workspace: Workspace, tmp_path: Path
) -> None:
    made = mvi.deployed_models.create(model_id, "api")
    (job,) = running_parts.jobs.store.list().jobs
    running_parts.jobs.store.change(job.id, ("queued",), state="succeeded")
    deploy_halves(workspace, tmp_path, model, "api")
    row = mvi.deployed_models.show(made["_id"])
    assert (row["status"], row["trained_model_id"], row["accel_type"], row["categories"]) == (
        "ready",
        model_id,
        "CPU",
        ["dark", "bright"],
    )
    mvi.deployed_models.create(model_id, "api")
    assert mvi.deployed_models.show(made["_id"])["status"] == "starting"
    assert mvi.deployed_models.delete(made["_id"]) == {"result": "success"}
    assert mvi.deployed_models.report() == [] and workspace.names("artifacts") == ["halves"]
    assert [one.state for one in running_parts.jobs.store.list().jobs] == ["cancelled", "succeeded"]
    assert mvi.deployed_models.show(made["_id"]) is None and mvi.json()["fault"].startswith("Could not find webapi")


def test_what_failed_says_why(mvi: Base, model_id: str, running_parts: Parts) -> None:
    made = mvi.deployed_models.create(model_id, "api")
    (job,) = running_parts.jobs.store.list().jobs
    running_parts.jobs.store.change(job.id, ("queued",), state="failed", error="no such operator")
    row = mvi.deployed_models.show(made["_id"])
    assert (row["status"], row["fault"]) == ("failed", "no such operator")
    assert mvi.deployed_models.infer(made["_id"], __file__) is None
    assert mvi.status_code() == 409 and "which is failed" in mvi.json()["fault"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"accel_type": "GPU"}, "no NVIDIA GPU"),
        ({"accel_type": "GPU_TENSORRT"}, "no NVIDIA GPU"),
        ({"accel_type": "TPU"}, "FPGA_XFDNN_8_BIT"),
        ({"save_inference": UNKNOWN}, "save_inference"),
        ({"dnnscript_id": UNKNOWN}, "dnnscript_id"),
    ],
)
def test_what_cannot_be_deployed_is_refused_at_once(mvi: Base, model_id: str, asked: dict[str, str], told: str) -> None:
    assert mvi.deployed_models.create(model_id, "api", **asked) is None
    assert mvi.status_code() in (422, 501) and told in mvi.json()["fault"]
    assert mvi.deployed_models.report() == []


def test_the_pictures_to_calibrate_on_must_be_there(mvi: Base, workspace: Workspace, tmp_path: Path) -> None:
    shelve_model(workspace, tmp_path / "other", "imported")
    imported = mvi.trained_models.report()[0]["_id"]
    assert mvi.deployed_models.create(imported, "api", accel_type="FPGA_XFDNN_8_BIT") is None
    assert mvi.status_code() == 404 and "calibrate" in mvi.json()["fault"]
