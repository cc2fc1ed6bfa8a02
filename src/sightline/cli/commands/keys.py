"""`sightline keys`: who may ask a server. Makes, lists and removes the API keys of a file that `serve --keys` reads."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, make_table

DEFAULT_FILE = "keys.json"
FileOption = Annotated[
    Path | None, typer.Option("--file", help=f"JSON file of API keys; by default {DEFAULT_FILE} in the workspace.")
]
NameArgument = Annotated[str, typer.Argument(help="Name of the key; statistics and logs show it as the tenant.")]

app = typer.Typer(help="Make, list and remove the API keys of a server.", no_args_is_help=True, rich_markup_mode=None)


@app.command("new")
def new_command(
    name: NameArgument,
    file: FileOption = None,
    weight: Annotated[float, typer.Option("--weight", help="Weight of the key's share of a busy model.")] = 1.0,
    admin: Annotated[bool, typer.Option("--admin", help="Let the key load, unload and reload models.")] = False,
    models: Annotated[str | None, typer.Option("--models", help="Models the key may use, as a,b; by default all.")] = None,
    requests_per_s: Annotated[
        float | None, typer.Option("--requests-per-s", help="Most requests per second; by default unlimited.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option("--max-concurrent", help="Most requests at once; by default unlimited.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it once; the file keeps only its hash. A running server accepts it within a moment."""
    import msgspec

    from sightline.serving.http.key_files import add_key
    from sightline.serving.http.keys import create_key

    terminal, path = Terminal(as_json), find_file(file, workspace)
    token, plain = create_key(name)
    names = None if models is None else tuple(part.strip() for part in models.split(",") if part.strip())
    record = msgspec.structs.replace(
        plain,
        weight=weight,
        is_admin=admin,
        models=names,
        requests_per_s=requests_per_s,
        max_concurrent=max_concurrent,
    )
    add_key(path, record)
    terminal.say(token)
    terminal.note(f"kept nowhere: store it now. Its hash is in {path}: sightline serve --keys {path}")
    terminal.finish({"name": name, "key": token, "file": path})


@app.command("list")
def list_command(file: FileOption = None, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the keys of a file and what each may do; the keys themselves are never shown."""
    from sightline.serving.http.keys import read_key_file

    terminal, path = Terminal(as_json), find_file(file, workspace)
    records = read_key_file(path)
    rows: list[list[object]] = [
        [
            record.name,
            "all" if record.models is None else ", ".join(record.models),
            "yes" if record.is_admin else "no",
            record.weight,
            record.requests_per_s,
            record.max_concurrent,
        ]
        for record in records
    ]
    terminal.show(make_table(["Key", "Models", "Admin", "Weight", "Requests a second", "At once"], rows, title=str(path)))
    fields = ("name", "models", "is_admin", "weight", "requests_per_s", "max_concurrent")
    terminal.finish({"file": path, "keys": [{field: getattr(record, field) for field in fields} for record in records]})


@app.command("remove")
def remove_command(
    name: NameArgument, file: FileOption = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Remove a key; a running server refuses it a moment later."""
    from sightline.serving.http.key_files import remove_key

    terminal, path = Terminal(as_json), find_file(file, workspace)
    remove_key(path, name)
    terminal.say(f"removed {name} from {path}")
    terminal.finish({"removed": name, "file": path})


for registered in app.registered_commands:  # whole: typer's own short help is cut after about 40 characters
    registered.short_help = inspect.getdoc(registered.callback)


def find_file(file: Path | None, workspace: Path | None) -> Path:
    """The file that was named, or the workspace's."""
    return file if file is not None else open_workspace(workspace).root / DEFAULT_FILE
