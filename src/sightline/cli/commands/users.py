"""`sightline users`: who may sign in to a workspace, and what they may do there; it holds at once, while a server runs."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, make_table

if TYPE_CHECKING:
    from pathlib import Path

    from sightline.store.users import User, UserStore

NameArgument = Annotated[str, typer.Argument(help="Name of the user, under which edits and jobs are kept.")]
RoleArgument = Annotated[str, typer.Argument(help="viewer: look; editor: also label and run jobs; admin: everything.")]
StdinOption = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line of standard input; by default, ask."),
]

app = typer.Typer(help="Make, list and change the users of a workspace.", no_args_is_help=True, rich_markup_mode=None)


@app.command("add")
def add_command(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help="viewer, editor or admin.")] = "editor",
    password_stdin: StdinOption = False,
    without_password: Annotated[
        bool, typer.Option("--without-password", help="Make a user who cannot sign in before they have one.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user, who can sign in from now on."""
    from sightline.store.users import check_role, check_user_name

    terminal = Terminal(as_json)
    name, known = check_user_name(name), check_role(role)
    password = None if without_password else read_password(name, password_stdin)
    with open_users(workspace) as users:
        finish(terminal, users.add(name, known, password), "made")


@app.command("list")
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the users and what each may do."""
    terminal = Terminal(as_json)
    with open_users(workspace) as users:
        found = users.list()
    rows: list[list[object]] = [
        [user.name, user.role, "disabled" if user.disabled else "", "yes" if user.has_password else "no", user.made_at]
        for user in found
    ]
    terminal.show(make_table(["User", "Role", "State", "Password", "Made"], rows))
    terminal.finish({"users": [describe_user(user) for user in found]})


@app.command("password")
def password_command(
    name: NameArgument, password_stdin: StdinOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Give a user a new password; whoever is signed in under the name is signed out."""
    with open_users(workspace) as users:
        user = users.find(name)
        changed = users.change(user.id, password=read_password(user.name, password_stdin))
    finish(Terminal(as_json), changed, "has a new password:")


@app.command("role")
def role_command(
    name: NameArgument, role: RoleArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Change what a user may do."""
    from sightline.store.users import check_role

    known = check_role(role)
    with open_users(workspace) as users:
        changed = users.change(users.find(name).id, role=known)
    finish(Terminal(as_json), changed, "changed")


@app.command("disable")
def disable_command(name: NameArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Sign a user out and let neither them nor their keys in; what they made stays."""
    with open_users(workspace) as users:
        changed = users.change(users.find(name).id, disabled=True)
    finish(Terminal(as_json), changed, "disabled")


@app.command("enable")
def enable_command(name: NameArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Let a disabled user in again."""
    with open_users(workspace) as users:
        changed = users.change(users.find(name).id, disabled=False)
    finish(Terminal(as_json), changed, "enabled")


for registered in app.registered_commands:  # whole: typer's own short help is cut after about 40 characters
    registered.short_help = inspect.getdoc(registered.callback)


@contextmanager
def open_users(workspace: "Path | None") -> "Iterator[UserStore]":
    """The users of a workspace, whose database is made where there is none."""
    import logging

    from sightline.store.database import DATABASE_NAME, open_database
    from sightline.store.users import UserStore

    logging.getLogger("alembic").setLevel(logging.WARNING)
    root = open_workspace(workspace).root
    root.mkdir(parents=True, exist_ok=True)
    database = open_database(root / DATABASE_NAME)
    try:
        yield UserStore(database)
    finally:
        database.close()


def read_password(name: str, from_stdin: bool) -> str:
    """A password from standard input, or typed twice without being shown: what stands in a command line, others can see.

    Raises: InvalidInput when the two differ, or there is no terminal to type at.
    """
    from getpass import getpass

    from sightline.core.errors import InvalidInput

    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise InvalidInput("expected a terminal at which to type the password, got none; give it with --password-stdin")
    password = getpass(f"Password for {name}: ")
    if getpass("The same again: ") != password:
        raise InvalidInput("expected the same password twice, got two; nothing was changed")
    return password


def describe_user(user: "User") -> dict[str, object]:
    """A user as JSON."""
    return {field: getattr(user, field) for field in user.__struct_fields__}


def finish(terminal: Terminal, user: "User", what: str) -> None:
    """Say what became of a user."""
    state = ", disabled" if user.disabled else "" if user.has_password else ", without a password"
    terminal.say(f"{what} {user.name} ({user.role}{state})")
    terminal.finish(describe_user(user))
