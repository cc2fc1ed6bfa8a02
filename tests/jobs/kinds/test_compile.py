from pathlib import Path

import pytest
from platform_data import make_dataset
from toy import make_model, make_version

from sightline.core.errors import InvalidInput
from sightline.core.manifests import ArtifactManifest, ModelManifest
from sightline.core.progress import ignore_progress
from sightline.core.shelving import read_whole, shelve
from sightline.core.workspace import Workspace
from sightline.jobs.folder import JobFolder
from sightline.jobs.kinds.compile_ import CompileArguments, prepare, run
from sightline.jobs.kinds.kind import Call
from sightline.serving.deployments import find_deployment


@pytest.fixture
def textures(tmp_path: Path) -> Workspace:
    """A workspace with the Model `textures`, as the process of a job opens it."""
    workspace = Workspace(tmp_path / "workspace", takes_paths=False)
    folder = make_model(tmp_path / "made" / "textures", make_version(tmp_path / "made" / "data", val=3))
    manifest = read_whole(folder, ModelManifest)
    assert manifest is not None
    shelve(folder, workspace, "models", manifest)
    return workspace


def test_a_job_compiles_the_model_that_its_request_named_and_deploys_it_if_it_shall(textures: Workspace) -> None:
    arguments = prepare(CompileArguments(model="textures", precision="fp32", name="plain", deploy="seen"), textures)
    call = Call(textures, "1", JobFolder(textures.root, "1"), arguments, False, ignore_progress, lambda: False)
    made = run(call)
    artifact = read_whole(textures.find("artifacts", "plain"), ArtifactManifest)
    assert artifact is not None and artifact.precision == "fp32"
    assert (made.shelf, made.name, textures.find("artifacts", f"plain@{made.id}").name) == ("artifacts", "plain", made.id)
    assert artifact.model_id.startswith(arguments.model.partition("@")[2])
    assert (made.facts["deployment"], made.facts["version"]) == ("seen", 1)
    assert find_deployment(textures.deployments, "seen").manifest.artifact_id.startswith(made.id)


def test_a_job_says_the_precision_that_its_device_has_by_default(textures: Workspace) -> None:
    make_dataset(textures)
    asked = CompileArguments(model="textures", dataset="parts")
    assert prepare(asked, textures).precision == "int8"


def test_a_name_to_deploy_under_must_be_one(textures: Workspace) -> None:
    with pytest.raises(InvalidInput, match="name of letters"):
        prepare(CompileArguments(model="textures", precision="fp32", deploy="a name"), textures)
