"""`sightline deploy`: an Artifact answers under a name."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal


def deploy_command(
    artifact: Annotated[str, typer.Argument(help="Artifact: a name in the workspace, NAME@ID, or its folder.")],
    name: Annotated[str | None, typer.Option("--name", help="Name it answers under; by default the artifact's own.")] = None,
    repository: Annotated[
        Path | None, typer.Option("--repository", help="Model repository; by default the workspace's deployments.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an artifact answer under a name; a running server takes a new version over without a failed request."""
    from sightline.serving.deployments import deploy_artifact, read_artifact
    from sightline.serving.loading import find_artifact

    terminal, home = Terminal(as_json), open_workspace(workspace)
    folder = find_artifact(artifact, home)
    target = repository or home.deployments
    version_folder = deploy_artifact(folder, name or read_artifact(folder).name, target)
    name, version = version_folder.parent.name, int(version_folder.name)
    terminal.say(f"deployed {name} version {version}: {version_folder}")
    terminal.say(f"next: sightline predict {name} PICTURE   or   sightline serve {target}")
    terminal.finish({"deployment": name, "version": version, "folder": version_folder, "artifact": folder})
