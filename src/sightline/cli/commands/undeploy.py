"""`sightline undeploy`: a name stops answering."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal


def undeploy_command(
    name: Annotated[str, typer.Argument(help="Name of the deployment.")],
    repository: Annotated[
        Path | None, typer.Option("--repository", help="Model repository; by default the workspace's deployments.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a deployment with all its versions; a running server stops answering under the name."""
    from sightline.serving.deployments import remove_deployment

    terminal, target = Terminal(as_json), repository or open_workspace(workspace).deployments
    remove_deployment(name, target)
    terminal.say(f"removed {name} from {target}; the artifact it came from is still there")
    terminal.finish({"removed": name, "repository": target})
