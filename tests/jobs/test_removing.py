"""Whole things are removed unless a job works on them, with their edits; what was made of them is named and stays."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from platform_data import make_dataset
from serving_fakes import write_brightness_artifact

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import read_manifest, write_manifest
from sightline.core.manifests import ArtifactManifest, ReportManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.data.versions import DatasetVersion
from sightline.jobs.removing import Reference, find_dependents, remove_thing
from sightline.store.database import Database
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import JobStore


@pytest.fixture
def version(workspace: Workspace) -> DatasetVersion:
    return make_dataset(workspace)


@pytest.fixture
def remove(workspace: Workspace, database: Database) -> Any:
    datasets, jobs = DatasetStore(workspace, database), JobStore(database)
    return lambda text: remove_thing(workspace, Reference.parse(text), "ann", datasets, jobs)


def make_artifact(workspace: Workspace, name: str = "bright") -> Path:
    made = write_brightness_artifact(workspace.root / "made")
    manifest = read_manifest(made, ArtifactManifest)
    place = workspace.place("artifacts", name, compute_manifest_id(manifest))
    place.parent.mkdir(parents=True)
    made.rename(place)
    workspace.set_latest(place)
    return place


def make_report(workspace: Workspace, subject: dict[str, Any], version: str | None) -> Path:
    facts: Any = {"name": "cells", "seed": 0, "precision": "fp32", "host": {}, "created_at": "", "files": {}}
    manifest = ReportManifest(subject=subject, dataset_version=version, **facts)
    place = workspace.place("reports", "cells", compute_manifest_id(manifest))
    place.mkdir(parents=True)
    write_manifest(place, manifest)
    workspace.set_latest(place)
    return place


def test_a_dataset_goes_with_its_edits_and_comes_back_with_them(
    workspace: Workspace, database: Database, version: DatasetVersion, remove: Any
) -> None:
    dataset = DatasetStore(workspace, database).open("parts")
    dataset.add_category("new", "ann")
    gone = remove("datasets/parts")
    assert workspace.names("datasets") == []
    assert len(list(gone.trash.glob("*/manifest.json"))) == 2  # it was frozen
    with pytest.raises(NotFound):
        DatasetStore(workspace, database).open("parts")
    make_dataset(workspace)  # another of the same name
    assert DatasetStore(workspace, database).open("parts").version.id == version.id
    shutil.rmtree(gone.place)
    gone.trash.rename(gone.place)
    again = DatasetStore(workspace, database).open("parts")
    assert [one.name for one in again.categories] == ["dent", "scratch", "new"]


def test_a_damaged_dataset_goes_as_it_is(workspace: Workspace, version: DatasetVersion, remove: Any) -> None:
    (version.folder / "items.parquet").unlink()
    remove("datasets/parts")
    assert workspace.names("datasets") == []


def test_what_a_job_works_on_stays(workspace: Workspace, database: Database, version: DatasetVersion, remove: Any) -> None:
    artifact = make_artifact(workspace)
    jobs = JobStore(database)
    for arguments, named in (
        ({"dataset": f"parts@{version.folder.name}"}, "datasets/parts"),
        ({"dataset": "parts"}, "datasets/parts"),
        ({"subject": f"bright@{artifact.name}"}, "artifacts/bright"),
        ({"with": "bright"}, f"artifacts/bright@{artifact.name[:6]}"),
    ):
        job = jobs.add("measure", arguments, "ann")
        with pytest.raises(Conflict, match=f"the job {job.id} .measure. works on"):
            remove(named)
        jobs.change(job.id, ("queued",), state="cancelled")
    jobs.add("measure", {"subject": f"bright@{'0' * 16}", "dataset": "other"}, "ann")
    assert remove("artifacts/bright").place == artifact.parent
    assert remove("datasets/parts").place == version.folder.parent


def test_what_was_made_of_it_is_named_and_stays(workspace: Workspace, version: DatasetVersion, remove: Any) -> None:
    artifact = make_artifact(workspace)
    manifest = read_manifest(artifact, ArtifactManifest)
    report = make_report(workspace, {"id": compute_manifest_id(manifest)}, version.id)
    named = f"reports/cells@{report.name}"
    assert find_dependents(workspace, Reference.parse("datasets/parts")) == [named]
    assert find_dependents(workspace, Reference.parse("artifacts/bright")) == [named]
    assert find_dependents(workspace, Reference.parse(named)) == []
    remove("artifacts/bright")
    remove("datasets/parts")
    assert workspace.find("reports", "cells") == report


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parts", "expected SHELF/NAME"),
        ("pictures/parts", "expected SHELF/NAME"),
        ("deployments/parts", "sightline undeploy parts"),
        ("datasets/parts@12", "expected a whole dataset"),
    ],
)
def test_what_names_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Reference.parse(text)
