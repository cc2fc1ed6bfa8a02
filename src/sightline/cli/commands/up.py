"""`sightline up`: the web app in which people label the pictures of a workspace, and its interface for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import JsonOption, WorkspaceOption, open_workspace
from sightline.cli.terminal import Terminal, format_count
from sightline.core.percent import format_percent

if TYPE_CHECKING:
    from sightline.store.jobs import Job

MOST_NAMED = 3


def up_command(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Port to listen on; 0 picks a free one; by default 8000, or the next that is free."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address of this machine alone to listen on.")] = "127.0.0.1",
    author: Annotated[
        str | None,
        typer.Option("--author", help="Name that is written down for each edit; by default the one you are logged in with."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label the pictures of a workspace in a browser, until stopped; prints the link to open."""
    import logging

    from sightline.api.hosts import LOOPBACK_NAMES, Hosts
    from sightline.api.server import DEFAULT_PORT, listen, make_platform, open_parts, run_platform
    from sightline.api.session import Session
    from sightline.cli.commands.serve import configure_logging
    from sightline.serving.http.named_hosts import spell_host
    from sightline.serving.process.listening import format_url

    configure_logging()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    terminal, home = Terminal(as_json), open_workspace(workspace)
    listener = listen(host, port)
    url = format_url(listener)
    address, _, bound = url.rpartition("/")[2].rpartition(":")
    hosts = Hosts(names=LOOPBACK_NAMES | {spell_host(address.strip("[]"))}, port=int(bound))
    session = Session(port=int(bound), author=author or find_user(), hosts=hosts)
    link = f"{url}/?token={session.token}"

    def announce() -> None:
        if port is None and session.port != DEFAULT_PORT:
            terminal.note(f"port {DEFAULT_PORT} is taken, perhaps by another `sightline up`: this one is on {session.port}")
        terminal.say(f"label the pictures of {home.root} at {url if as_json else link}")  # no token among what is logged
        terminal.finish({"url": url, "token": session.token, "link": link, "workspace": home.root})

    with open_parts(home) as parts:
        run_platform(make_platform(parts, session), listener, announce, parts.jobs.begin_to_close)
        if left := parts.jobs.close():
            terminal.note(describe_left(left))


def describe_left(jobs: Sequence["Job"]) -> str:
    """What becomes of jobs that were not done when the server ended."""
    named = ", ".join(f"{job.kind} {format_percent(job.progress, 0)}" for job in jobs[:MOST_NAMED])
    more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
    return f"{format_count(len(jobs), 'job')} will go on at the next `sightline up`: {named}{more}"


def find_user() -> str:
    """The name of the user who runs this, or their number where it has none."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
