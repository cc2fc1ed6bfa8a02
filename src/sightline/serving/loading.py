"""Open whatever answers about pictures, in this process, by name or path: `load("parts").predict("dog.jpg")`.

A bare name is looked for among the Deployments first, then the Artifacts, then the Models: the most finished thing wins.
"""

import os
from pathlib import Path

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME, read_kind
from sightline.core.settings import read_settings
from sightline.core.workspace import Shelf, StrPath, Workspace, check_identity
from sightline.runtime.plan_store import open_plan_folder
from sightline.runtime.predictor import Predictor, open_predictor
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.deployments import find_deployment, list_names
from sightline.serving.http.tls import FilePath

SHELVES: tuple[Shelf, ...] = ("artifacts", "models")


def load(reference: StrPath, workspace: StrPath | Workspace | None = None, engine: str | None = None) -> Predictor:
    """Open a Deployment, Artifact or Model. Close it, or use `with`.

    Args:
        reference: its folder, a name in the workspace, or `NAME@ID-PREFIX`.
        workspace: the workspace, or its root folder; by default the one of the settings.
        engine: name of a back end; by default the one that an Artifact was tuned for.

    Raises: NotFound; InvalidInput for a folder of another kind; CorruptFile for a changed one.
    """
    settings = read_settings()
    home = workspace if isinstance(workspace, Workspace) else Workspace(workspace or settings.workspace)
    folder = find_subject(os.fspath(reference), home)
    return open_predictor(
        folder, engine=engine, plan_folder=open_plan_folder(settings.cache), max_pixels=settings.max_image_pixels
    )


def find_subject(reference: str, workspace: Workspace) -> Path:
    """Folder of the Artifact or Model that a path or name stands for; of a Deployment, the version that answers.

    Raises: NotFound naming what there is; InvalidInput for a folder of another kind; CorruptFile for a changed manifest.
    """
    path = Path(reference)
    if workspace.takes_paths and (path / MANIFEST_NAME).is_file():
        return _find_in_folder(path)
    name = reference.partition("@")[0]
    if name == reference and name in list_names(workspace.deployments):
        return find_deployment(workspace.deployments, name).folder
    shelves: list[Shelf] = [shelf for shelf in SHELVES if name in workspace.names(shelf)]
    for shelf in shelves:
        try:
            return workspace.find(shelf, reference)
        except NotFound:  # an id may be a Model's of whose name there is an Artifact too
            if name == reference or shelf == shelves[-1]:
                raise
    known = {*list_names(workspace.deployments), *workspace.names("artifacts"), *workspace.names("models")}
    there = ", ".join(sorted(known)) or "none yet"
    raise NotFound(f"no deployment, artifact or model {reference!r} in {workspace.root}; there is {there}")


def _find_in_folder(path: Path) -> Path:
    kind = read_kind(path)
    if kind == "deployment":
        return find_deployment(path.resolve().parent, path.resolve().name).folder
    if kind not in ("artifact", "model"):
        raise InvalidInput(f"expected a Deployment, Artifact or Model, got a folder of kind {kind!r}: {path}")
    return check_identity(path)


def open_subject(
    reference: str,
    workspace: Workspace,
    url: str | None = None,
    api_key: str | None = None,
    *,
    ca_file: FilePath | None = None,
    client_certificate: FilePath | None = None,
    client_key: FilePath | None = None,
) -> Predictor | RemotePredictor:
    """Open what answers under a name: at a server when `url` is given, else in this process. Close it, or use `with`.

    Args:
        api_key, ca_file, client_certificate, client_key: for the server, see `Client`.
    """
    if url is not None:
        return RemotePredictor(
            url,
            reference,
            api_key=api_key,
            ca_file=ca_file,
            client_certificate=client_certificate,
            client_key=client_key,
        )
    return open_predictor(find_subject(reference, workspace), plan_folder=open_plan_folder(read_settings().cache))


def find_artifact(reference: str, workspace: Workspace) -> Path:
    """Folder of an Artifact by path or name. Raises: NotFound, saying so when only a Model has that name."""
    try:
        return workspace.find("artifacts", reference)
    except NotFound as error:
        if reference.partition("@")[0] in workspace.names("models"):
            raise NotFound(
                f"{reference!r} is a Model; compile it first: sightline compile {reference} --data VERSION"
            ) from error
        raise
