"""The model repository on disk: a folder per Deployment, in it a numbered folder per version that never changes.

    repository/NAME/manifest.json      DeploymentManifest: which version answers; the only file that is ever replaced
    repository/NAME/1/ 2/ ...          an Artifact each: its manifest.json and files, hard-linked where the disk allows

A version is complete before the manifest names it, so a server that reads the repository at any moment sees the old version
or the new one.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME, new_folder, read_kind, read_manifest, verify_files, write_manifest
from sightline.core.host import now_utc
from sightline.core.manifests import ArtifactManifest, DeploymentManifest, compute_manifest_id
from sightline.core.workspace import NAME_PATTERN, StrPath, Workspace, check_name

LOCK_NAME = ".lock"
DEPLOYMENTS_FOLDER = "deployments"  # of a workspace


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One name of a repository: its record, the folder of the version that answers, and that version's record."""

    manifest: DeploymentManifest
    folder: Path
    artifact: ArtifactManifest


def deploy_artifact(artifact: StrPath, name: str, repository: StrPath | Workspace) -> Path:
    """Make an Artifact answer under `name`: copy it in as the next version, then point the name at it.

    Args:
        artifact: folder of the Artifact, or its name if `repository` is a Workspace; it may be removed afterwards.
        name: letters, digits, '.', '_' or '-' (at most 100, a letter or a digit first), since it is part of URLs.
        repository: the model repository, which is made if it does not exist; a Workspace stands for its `deployments`.

    Returns: folder of the new version, `repository/name/VERSION`.

    Raises: InvalidInput for a Model or another kind of folder; NotFound or CorruptFile when a file of the Artifact is missing
        or changed since it was made.
    """
    if isinstance(repository, Workspace):
        artifact, repository = repository.find("artifacts", artifact), repository.deployments
    artifact, repository = Path(artifact), Path(repository)
    check_name(name)
    manifest = read_artifact(artifact)
    for file_name in manifest.files:
        if not (artifact / file_name).resolve().is_relative_to(artifact.resolve()):
            raise InvalidInput(f"expected files inside the Artifact, got {file_name!r} in its manifest; compile it again")
    verify_files(artifact, manifest.files)
    home = repository / name
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        version = max(list_versions(repository, name), default=0) + 1
        target = home / str(version)
        with new_folder(target) as folder:
            for file_name in (*manifest.files, MANIFEST_NAME):
                _link_or_copy(artifact / file_name, folder / file_name)
        write_manifest(
            home,
            DeploymentManifest(name=name, version=version, artifact_id=compute_manifest_id(manifest), created_at=now_utc()),
        )
    return target


def find_deployment(repository: Path, name: str) -> Deployment:
    """What answers under `name` now. Raises: NotFound naming what there is."""
    home = repository / name
    if not NAME_PATTERN.fullmatch(name) or not (home / MANIFEST_NAME).is_file():
        known = ", ".join(list_names(repository)) or "none yet"
        raise NotFound(f"no deployment {name!r}; there is {known}")
    manifest = read_manifest(home, DeploymentManifest)
    folder = home / str(manifest.version)
    return Deployment(manifest=manifest, folder=folder, artifact=read_manifest(folder, ArtifactManifest))


def check_repository(folder: Path) -> Path:
    """Return `folder` if it can be a model repository. Raises: NotFound; InvalidInput for the folder of one thing."""
    if not folder.is_dir():
        raise NotFound(f"expected a model repository, a folder of deployments, at {folder}; make one: sightline deploy")
    if (folder / MANIFEST_NAME).is_file():
        raise InvalidInput(
            f"expected a model repository, a folder of deployments, got one {read_kind(folder)}: {folder}; give its parent, "
            "or deploy an artifact first: sightline deploy ARTIFACT --name NAME"
        )
    if not list_names(folder) and (folder / DEPLOYMENTS_FOLDER).is_dir():
        raise InvalidInput(f"{folder} is a workspace; its model repository is {folder / DEPLOYMENTS_FOLDER}: give that")
    return folder


def list_names(repository: Path) -> list[str]:
    """Names of the Deployments, sorted; reads no manifest, so a broken one does not hide the others."""
    return sorted(
        path.parent.name for path in repository.glob(f"*/{MANIFEST_NAME}") if NAME_PATTERN.fullmatch(path.parent.name)
    )


def list_versions(repository: Path, name: str) -> list[int]:
    """Numbers of the complete versions of one Deployment, ascending."""
    home = repository / name
    numbered = (path for path in home.iterdir() if path.name.isdecimal()) if home.is_dir() else ()
    return sorted(int(path.name) for path in numbered if (path / MANIFEST_NAME).is_file())


def remove_deployment(name: str, repository: Path) -> None:
    """Take a Deployment with all its versions out of the repository. Raises: NotFound."""
    home = repository / name
    if not NAME_PATTERN.fullmatch(name) or not home.is_dir():
        find_deployment(repository, name)
    with _locked(home):
        (home / MANIFEST_NAME).unlink(missing_ok=True)  # first: no server starts to load what is about to go
        shutil.rmtree(home)


def read_artifact(folder: Path) -> ArtifactManifest:
    """The manifest of an Artifact's folder. Raises: NotFound; InvalidInput for a Model, saying what to do with it."""
    kind = read_kind(folder)
    if kind == "model":
        raise InvalidInput(
            f"expected an Artifact, got the Model {folder}; compile it first: sightline compile {folder} --data VERSION"
        )
    if kind != "artifact":
        raise InvalidInput(f"expected an Artifact, got a folder of kind {kind!r}: {folder}; deploy what `compile` made")
    return read_manifest(folder, ArtifactManifest)


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for the same bytes: made folders never change, so sharing is safe; a copy where disks differ."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the Deployment's lock: of two programs that deploy under one name, one waits for the other.

    Raises: Conflict when the Deployment was removed while waiting.
    """
    with (home / LOCK_NAME).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink == 0:
            raise Conflict(f"the deployment {home.name!r} was removed meanwhile; deploy again")
        yield
