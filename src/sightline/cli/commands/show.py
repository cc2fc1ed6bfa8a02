"""`sightline show`: what the workspace holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, make_table

if TYPE_CHECKING:
    from sightline.core.workspace import Workspace


def show_command(
    reference: Annotated[
        str | None, typer.Argument(help="Folder of a dataset version, model, artifact or report: print its manifest.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List datasets, models, artifacts, deployments and reports of the workspace, or print one manifest."""
    terminal = Terminal(as_json)
    if reference is not None:
        show_manifest(terminal, Path(reference))
        return
    home = open_workspace(workspace)
    content = list_workspace(home)
    rows = [
        [noun, entry["name"], entry["id"], entry["folder"] or entry["detail"]]
        for noun, entries in content.items()
        for entry in entries
    ]
    if rows:
        terminal.show(make_table(["", "Name", "Newest", "Folder"], rows, title=f"workspace {home.root}"))
    else:
        terminal.say(f"the workspace {home.root} is empty; begin with: sightline sample parts, or sightline import FOLDER")
    terminal.finish({"workspace": home.root, **content})


def list_workspace(workspace: "Workspace") -> dict[str, list[dict[str, Any]]]:
    """Names on each shelf with the id and folder of the newest; deployments with their version."""
    from sightline.core.errors import SightlineError
    from sightline.core.workspace import Shelf
    from sightline.serving.deployments import find_deployment, list_names

    content: dict[str, list[dict[str, Any]]] = {}
    for shelf in get_args(Shelf):
        content[shelf] = []
        for name in workspace.names(shelf):
            try:
                folder = workspace.find(shelf, name)
                content[shelf].append({"name": name, "id": folder.name, "folder": str(folder)})
            except SightlineError as error:
                content[shelf].append({"name": name, "id": None, "folder": None, "detail": str(error)})
    content["deployments"] = []
    for name in list_names(workspace.deployments):
        found = find_deployment(workspace.deployments, name)
        content["deployments"].append({"name": name, "id": f"version {found.manifest.version}", "folder": str(found.folder)})
    return content


def show_manifest(terminal: Terminal, folder: Path) -> None:
    """Print the manifest of any folder of ours."""
    import json

    from sightline.core.folders import MANIFEST_NAME
    from sightline.serving.deployments import read_kind

    read_kind(folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    terminal.say(json.dumps(manifest, indent=2, ensure_ascii=False))
    terminal.finish({"folder": folder, "manifest": manifest})
