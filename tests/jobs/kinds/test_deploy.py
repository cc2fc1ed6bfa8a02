from pathlib import Path

import pytest
from small_artifacts import write_halves

from sightline.core.errors import NotFound
from sightline.core.manifests import ArtifactManifest
from sightline.core.progress import ignore_progress
from sightline.core.shelving import read_whole, shelve
from sightline.core.workspace import Workspace
from sightline.jobs.folder import JobFolder
from sightline.jobs.kinds.deploy import DeployArguments, prepare, run
from sightline.jobs.kinds.kind import Call


@pytest.fixture
def halves(workspace: Workspace, tmp_path: Path) -> Workspace:
    folder = write_halves(tmp_path / "made" / "halves")
    manifest = read_whole(folder, ArtifactManifest)
    assert manifest is not None
    shelve(folder, workspace, "artifacts", manifest)
    return workspace


def call(workspace: Workspace, is_restart: bool) -> Call:
    arguments = prepare(DeployArguments(artifact="halves", name="seen"), workspace)
    return Call(workspace, "1", JobFolder(workspace.root, "1"), arguments, is_restart, ignore_progress, lambda: False)


def test_each_job_makes_a_version_but_one_that_begins_again_takes_its_own(halves: Workspace) -> None:
    assert run(call(halves, False)).id == "1"
    assert run(call(halves, False)).id == "2"
    assert run(call(halves, True)).id == "2"


def test_the_artifact_gives_the_name(halves: Workspace) -> None:
    prepared = prepare(DeployArguments(artifact="halves"), halves)
    assert prepared.name == "halves" and prepared.artifact == f"halves@{halves.find('artifacts', 'halves').name}"
    with pytest.raises(NotFound, match="no artifact 'wholes'"):
        prepare(DeployArguments(artifact="wholes"), halves)
