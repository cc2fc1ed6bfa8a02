"""Whole Datasets, Models, Artifacts and Reports are removed: into the trash, unless a job works on them.

What was made of them stays and works on, since it holds copies and ids; `find_dependents` names it. A Dataset is frozen first
where it has edits that are in no version, so that all of it lies in the trash.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec

from sightline.core.errors import Conflict, CorruptFile, InvalidInput, NotFound, SightlineError
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, ModelManifest, ReportManifest
from sightline.core.trash import Removed, find_removable, move_to_trash
from sightline.core.workspace import Shelf, Workspace
from sightline.store.datasets import DatasetStore
from sightline.store.jobs import Job, JobStore
from sightline.store.settling import freeze_rest

# The arguments of jobs that name something, and the shelves on which that may lie.
NAMED: dict[str, tuple[Shelf, ...]] = {
    "dataset": ("datasets",),
    "model": ("models",),
    "artifact": ("artifacts",),
    "subject": ("artifacts", "models"),
    "with": ("artifacts", "models"),
}


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of a workspace, or all of its name. Attributes: thing: `NAME` or `NAME@ID-PREFIX`."""

    shelf: Shelf
    thing: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read `SHELF/NAME` or `SHELF/NAME@ID`. Raises: InvalidInput."""
        word, _, thing = text.partition("/")
        shelf = next((one for one in get_args(Shelf) if one == word), None)
        if word == "deployments":
            raise InvalidInput(f"expected no deployment, got {thing!r}; end it with: sightline undeploy {thing}")
        if shelf is None:
            known = ", ".join(get_args(Shelf))
            raise InvalidInput(f"expected SHELF/NAME or SHELF/NAME@ID, a shelf of {known}, got {text!r}; write models/NAME")
        if shelf == "datasets" and "@" in thing:
            raise InvalidInput(f"expected a whole dataset, got one version, {text!r}, which others need; leave out its id")
        return cls(shelf=shelf, thing=thing)


def find_dependents(workspace: Workspace, reference: Reference) -> list[str]:
    """What was made of something, as `SHELF/NAME@ID`; all of it stays when that is removed. Raises: NotFound, InvalidInput."""
    gone = set(find_removable(workspace, reference.shelf, reference.thing))
    ids = tuple(folder.name for folder in gone)
    return [
        f"{shelf}/{folder.parent.name}@{folder.name}"
        for shelf, folder, sources in _list_sources(workspace)
        if folder not in gone and any(source.startswith(ids) for source in sources)
    ]


def remove_thing(
    workspace: Workspace, reference: Reference, author: str, datasets: DatasetStore | None, jobs: JobStore | None
) -> Removed:
    """Move something to the trash.

    Args:
        author: of the freeze, if a Dataset must be frozen.
        datasets, jobs: None where the workspace has no database.

    Raises: NotFound, InvalidInput; Conflict while a job works on it, or something is made under its name.
    """
    folders = find_removable(workspace, reference.shelf, reference.thing)
    if jobs is not None and (job := next(_find_jobs(jobs, reference.shelf, folders), None)) is not None:
        raise Conflict(
            f"the job {job.id} ({job.kind}) works on {reference.thing!r}, state {job.state}; cancel it or wait for it"
        )
    if datasets is not None and reference.shelf == "datasets":
        _freeze_rest(datasets, reference.thing, author)
        folders = find_removable(workspace, reference.shelf, reference.thing)
    return move_to_trash(workspace, reference.shelf, folders, datetime.now(UTC))


def _freeze_rest(datasets: DatasetStore, name: str, author: str) -> None:
    try:
        dataset = datasets.open(name)
    except (NotFound, CorruptFile):  # damaged: what is left of it goes as it is
        return
    freeze_rest(dataset, author)


def _find_jobs(jobs: JobStore, shelf: Shelf, folders: list[Path]) -> Iterator[Job]:
    """Jobs that have not ended and name one of these folders, or their name without an id."""
    name, ids = folders[0].parent.name, {folder.name for folder in folders}
    for job in jobs.list_open():
        for argument, shelves in NAMED.items():
            named, _, thing_id = str(job.arguments.get(argument)).partition("@")
            if shelf in shelves and named == name and (not thing_id or thing_id in ids):
                yield job


def _list_sources(workspace: Workspace) -> Iterator[tuple[Shelf, Path, list[str]]]:
    """All Models, Artifacts and Reports that can be read, with the ids of what they were made of."""
    for model in _walk(workspace, "models", ModelManifest):
        yield "models", model[0], _list_texts(model[1].dataset_version)
    for artifact in _walk(workspace, "artifacts", ArtifactManifest):
        yield "artifacts", artifact[0], _list_texts(artifact[1].model_id, artifact[1].calibration.get("dataset_version"))
    for report in _walk(workspace, "reports", ReportManifest):
        yield "reports", report[0], _list_texts(report[1].dataset_version, report[1].subject.get("id"))


def _walk(workspace: Workspace, shelf: Shelf, kind: Any) -> Iterator[tuple[Path, Any]]:
    for name in workspace.names(shelf):
        for folder in workspace.list(shelf, name):
            try:
                yield folder, read_manifest(folder, kind)
            except (SightlineError, OSError):  # a damaged one depends on nothing
                continue


def _list_texts(*values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)]
