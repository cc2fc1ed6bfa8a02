"""`sightline remove`: datasets, models, artifacts and reports go into the workspace's trash."""

from contextlib import ExitStack, closing
from typing import Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal


def remove_command(
    things: Annotated[
        list[str],
        typer.Argument(help="datasets/NAME, models/NAME[@ID], artifacts/NAME[@ID] or reports/NAME[@ID]; several may be named."),
    ],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move things to the workspace's trash, from where they can be moved back; a deployment is ended by undeploy."""
    import shlex

    from sightline.cli.commands.up import find_user
    from sightline.core.workspace import Workspace
    from sightline.jobs.removing import Reference, find_dependents, remove_thing
    from sightline.store.database import DATABASE_NAME, open_database
    from sightline.store.datasets import DatasetStore
    from sightline.store.jobs import JobStore

    terminal, home = Terminal(as_json), Workspace(open_workspace(workspace).root, takes_paths=False)
    references = [Reference.parse(thing) for thing in things]
    dependents = [find_dependents(home, reference) for reference in references]  # so that all are there before one goes
    removed = []
    with ExitStack() as opened:
        datasets = jobs = None
        if (home.root / DATABASE_NAME).is_file():
            database = opened.enter_context(closing(open_database(home.root / DATABASE_NAME)))
            datasets, jobs = DatasetStore(home, database), JobStore(database)
        for reference, rest in zip(references, dependents, strict=True):
            gone = remove_thing(home, reference, find_user(), datasets, jobs)
            terminal.say(f"removed {reference.shelf}/{reference.thing}")
            if rest:
                terminal.say(f"made of it, and still there: {', '.join(rest)}")
            terminal.say(f"to bring it back: {shlex.join(['mv', str(gone.trash), str(gone.place)])}")
            removed.append({"shelf": reference.shelf, "thing": reference.thing, "dependents": rest, "trash": gone.trash})
    terminal.finish({"removed": removed})
