from pathlib import Path

import pytest
from serving_fakes import write_artifact

from sightline.core.errors import CorruptFile, InvalidInput, NotFound
from sightline.core.folders import read_manifest, write_file_atomic
from sightline.core.manifests import ArtifactManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.serving.deployments import (
    check_repository,
    deploy_artifact,
    find_deployment,
    list_names,
    list_versions,
    remove_deployment,
)


def test_the_first_version_is_1_and_holds_the_artifact(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    folder = deploy_artifact(artifact, "parts", tmp_path / "repo")
    assert folder == tmp_path / "repo" / "parts" / "1"
    assert (folder / "model.onnx").read_bytes() == b"graph"
    found = find_deployment(tmp_path / "repo", "parts")
    assert found.manifest.artifact_id == compute_manifest_id(read_manifest(artifact, ArtifactManifest))


def test_an_artifact_is_deployed_by_its_name_in_a_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    artifact = write_artifact(workspace.root / "artifacts" / "parts" / "x")
    workspace.set_latest(artifact)
    assert deploy_artifact("parts", "inspect", workspace) == workspace.deployments / "inspect" / "1"
    assert deploy_artifact(artifact, "inspect", workspace) == workspace.deployments / "inspect" / "2"
    with pytest.raises(NotFound, match=r"no artifact 'holes' in .*; there is parts"):
        deploy_artifact("holes", "inspect", workspace)


def test_files_are_shared_not_copied_on_one_disk(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    folder = deploy_artifact(artifact, "parts", tmp_path / "repo")
    assert (folder / "model.onnx").stat().st_ino == (artifact / "model.onnx").stat().st_ino


def test_the_second_deploy_answers_and_the_first_version_stays(tmp_path: Path) -> None:
    deploy_artifact(write_artifact(tmp_path / "a"), "parts", tmp_path / "repo")
    deploy_artifact(write_artifact(tmp_path / "b", graph=b"other"), "parts", tmp_path / "repo")
    assert list_versions(tmp_path / "repo", "parts") == [1, 2]
    assert find_deployment(tmp_path / "repo", "parts").manifest.version == 2


def test_a_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write_file_atomic(tmp_path / "model" / "manifest.json", b'{"kind":"model"}')
    with pytest.raises(InvalidInput, match="sightline compile"):
        deploy_artifact(tmp_path / "model", "parts", tmp_path / "repo")
    assert not (tmp_path / "repo").exists()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    (artifact / "model.onnx").write_bytes(b"graqh")
    with pytest.raises(CorruptFile):
        deploy_artifact(artifact, "parts", tmp_path / "repo")


def test_a_manifest_that_names_files_outside_its_folder_is_refused(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    text = (artifact / "manifest.json").read_text().replace('"files":{"model.onnx"', '"files":{"../secret"')
    (artifact / "manifest.json").write_text(text)
    (tmp_path / "secret").write_bytes(b"graph")
    with pytest.raises(InvalidInput, match="inside the Artifact"):
        deploy_artifact(artifact, "parts", tmp_path / "repo")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 101])
def test_names_unfit_for_a_url_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        deploy_artifact(write_artifact(tmp_path / "artifact"), name, tmp_path / "repo")


def test_an_absent_repository_is_empty(tmp_path: Path) -> None:
    assert list_names(tmp_path / "nothing") == []
    assert list_versions(tmp_path / "nothing", "parts") == []


def test_an_unknown_name_says_what_there_is(tmp_path: Path) -> None:
    deploy_artifact(write_artifact(tmp_path / "artifact"), "parts", tmp_path / "repo")
    with pytest.raises(NotFound, match="there is parts"):
        find_deployment(tmp_path / "repo", "other")


def test_a_removed_deployment_is_gone_and_the_artifact_stays(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    deploy_artifact(artifact, "parts", tmp_path / "repo")
    remove_deployment("parts", tmp_path / "repo")
    assert list_names(tmp_path / "repo") == []
    assert (artifact / "model.onnx").read_bytes() == b"graph"
    with pytest.raises(NotFound):
        remove_deployment("parts", tmp_path / "repo")


def test_only_a_folder_of_deployments_is_a_repository(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    deploy_artifact(artifact, "parts", tmp_path / "repo")
    assert check_repository(tmp_path / "repo") == tmp_path / "repo"
    with pytest.raises(InvalidInput, match="got one artifact"):
        check_repository(artifact)
    with pytest.raises(InvalidInput, match="got one deployment"):
        check_repository(tmp_path / "repo" / "parts")
    with pytest.raises(NotFound):
        check_repository(tmp_path / "absent")


def test_paths_may_be_text(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    assert deploy_artifact(str(artifact), "parts", str(tmp_path / "repo")) == tmp_path / "repo" / "parts" / "1"
