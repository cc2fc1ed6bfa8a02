"""`sightline deploy`: an Artifact answers under a name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.core.workspace import Workspace


def deploy_command(
    artifact: Annotated[str, typer.Argument(help="Artifact: a name in the workspace, NAME@ID, or its folder.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name to answer under; by default its name in the workspace, else its own.")
    ] = None,
    repository: Annotated[
        Path | None, typer.Option("--repository", help="Model repository; by default the workspace's deployments.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an artifact answer under a name; a running server switches to a new version without a failed request."""
    from sightline.serving.deployments import deploy_artifact
    from sightline.serving.loading import find_artifact

    terminal, home = Terminal(as_json, workspace), open_workspace(workspace)
    folder = find_artifact(artifact, home)
    target = repository or home.deployments
    version_folder = deploy_artifact(folder, name or find_name(folder, home), target)
    name, version = version_folder.parent.name, int(version_folder.name)
    terminal.say(f"deployed {name} version {version}: {version_folder}")
    found_as = name if repository is None else target / name
    terminal.say_next(["predict", found_as, "PICTURE"], ["serve", target])
    terminal.finish({"deployment": name, "version": version, "folder": version_folder, "artifact": folder})


def find_name(folder: Path, home: "Workspace") -> str:
    """The name an Artifact lies under on its shelf, which `compile --name` gave; elsewhere the one in its manifest."""
    from sightline.serving.deployments import read_artifact

    shelf = folder.resolve().parent
    if shelf.parent == (home.root / "artifacts").resolve():
        return shelf.name
    return read_artifact(folder).name
