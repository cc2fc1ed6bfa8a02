"""`sightline export`: a DatasetVersion becomes files of another format, with a report of every loss."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal
from sightline.data.formats.table import WRITTEN


def export_command(
    dataset: Annotated[str, typer.Argument(help="Dataset version: NAME, NAME@ID, or its folder.")],
    format_name: Annotated[str, typer.Option("--format", help=f"Format to write: {', '.join(WRITTEN)}.")],
    out: Annotated[Path, typer.Option("--out", help="New folder to write; a new file for formats that are one file.")],
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Export even if the format cannot hold everything; the report says what is lost."),
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a dataset version; refuses to lose anything unless --allow-loss is given."""
    from sightline.data.exporting import export_version
    from sightline.data.versions import open_version

    terminal = Terminal(as_json)
    version = open_version(open_workspace(workspace).find("datasets", dataset))
    report = export_version(version, out, format_name, allow_loss=allow_loss)
    for line in report.lines():
        terminal.tell(line)
    terminal.say(f"written: {out}")
    terminal.finish({"dataset": version.name, "id": version.id, "out": out, "report": report.to_dict()})
